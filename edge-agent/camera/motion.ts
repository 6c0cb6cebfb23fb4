// Has something moved in front of the camera? Cheap enough to be asked of every image while nobody is there.
//
// How: the grey image as a grid of cell means (a few samples each), compared with the grid of the last image that was
// looked at in vain. The median difference is taken out first, so that the camera's own exposure control is no motion.
// A slow approach counts as well, for the reference stays until there is another look.
//
// Pure but for its reference; measured: below 0.1 ms an image of 640 x 480.

export const MOTION_GRID = { columns: 32, rows: 24 } as const;
const CELLS = MOTION_GRID.columns * MOTION_GRID.rows;
/** Samples to a cell's side. */
const SAMPLES = 4;
/** A cell has changed when its mean moved by more grey levels than this: thrice what a noisy sensor does. */
const CELL_CHANGE_LEVELS = 8;
/** So many changed cells are more than a fly: 1 % of the image, a hand that just enters. */
const MIN_CHANGED_CELLS = 8;

export interface GreyView {
  widthPx: number;
  heightPx: number;
  luma: Uint8Array;
}

/** What is before the camera, as far as motion is concerned. */
export type Scene = Float32Array;

export class MotionDetector {
  #reference: Scene | undefined;

  /** Whether the scene differs from the one of the last vain look; without one it does. */
  moved(scene: Scene): boolean {
    const reference = this.#reference;
    return !reference || changedCells(scene, reference) >= MIN_CHANGED_CELLS;
  }

  /** This is what nobody looks like. */
  settle(scene: Scene): void {
    this.#reference = scene;
  }
}

/** Mean grey of each cell, from SAMPLES x SAMPLES of its pixels. */
export function sceneOf({ widthPx, heightPx, luma }: GreyView): Scene {
  const { columns, rows } = MOTION_GRID;
  const grid = new Float32Array(CELLS);
  const stepX = widthPx / (columns * SAMPLES);
  const stepY = heightPx / (rows * SAMPLES);
  for (let y = 0; y < rows * SAMPLES; y++) {
    const line = Math.floor((y + 0.5) * stepY) * widthPx;
    const row = Math.floor(y / SAMPLES) * columns;
    for (let x = 0; x < columns * SAMPLES; x++) {
      const cell = row + Math.floor(x / SAMPLES);
      grid[cell] = (grid[cell] as number) + (luma[line + Math.floor((x + 0.5) * stepX)] as number);
    }
  }
  return grid.map((sum) => sum / (SAMPLES * SAMPLES));
}

function changedCells(scene: Scene, reference: Scene): number {
  const differences = scene.map((mean, i) => mean - (reference[i] as number));
  const median = Float32Array.from(differences).sort()[CELLS >> 1] as number;
  return differences.reduce((count, d) => count + (Math.abs(d - median) > CELL_CHANGE_LEVELS ? 1 : 0), 0);
}
