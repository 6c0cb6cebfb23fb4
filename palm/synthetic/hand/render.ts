// One picture of a made-up hand: the identity's palm printed onto a shell, then light and sensor. Pure and seeded: the
// same identity, shell and options give the same bytes on every machine.
//
// The print multiplies the shell's brightness, so that its light, shadows and skin stay.
import type { HandImage, HandSide, Quad } from "../../hand/types.js";
import type { PalmIdentity } from "../identity.js";
import { seededRandom } from "../random.js";
import { GRID_NODES, type HandShell, type SkinGrid, skinCorners } from "./shell.js";
import { type PalmTexture, palmTexture } from "./texture.js";

export interface HandOptions {
  /** Another seed is another look at the same scene. */
  seed: number;
  /** Brightness of the whole picture, 1 as rendered; left out: by the seed, 0.9 to 1.1. */
  light?: number;
  /** Standard deviation of the sensor's noise, grey values (default 3). */
  noise?: number;
  /** Standard deviation of the lens's blur, pixels (default 0). */
  blur?: number;
}

export interface RenderedHand {
  image: HandImage;
  side: HandSide;
  /** True corners of the palm's skin square in the image; none where it is not all on the hand. */
  corners?: Quad;
}

const DEFAULT_NOISE = 3;
/** How much darker a crease is in each channel: blood shows through, so red keeps the most. */
const RGB_DEPTH = [0.85, 1.08, 1.1] as const;
/** Blur is drawn out to so many standard deviations. */
const BLUR_REACH = 3;

export function renderHand(identity: PalmIdentity, shell: HandShell, options: HandOptions): RenderedHand {
  const { image, grid, side } = shell;
  const random = seededRandom(identity.seed, options.seed, 0x4a2d);
  const light = options.light ?? random.between(0.9, 1.1);
  const printed = new Float32Array(image.pixels.length);
  for (let i = 0; i < printed.length; i++) printed[i] = (image.pixels[i] as number) * light;
  if (grid) print(printed, image, grid, palmTexture(identity, side));
  const seen = options.blur ? blurred(printed, image, options.blur) : printed;
  const pixels = withNoise(seen, image, options.noise ?? DEFAULT_NOISE, options.seed);
  const corners = grid && skinCorners(grid);
  return { image: { ...image, pixels }, side, ...(corners && { corners }) };
}

/** Multiplies the palm onto the hand, cell by cell of the grid, two triangles each. */
function print(values: Float32Array, image: HandImage, grid: SkinGrid, texture: PalmTexture): void {
  // By pixel, for neighbouring triangles may share one: it must not be darkened twice.
  const factors = new Float32Array(image.width * image.height).fill(1);
  for (let row = 0; row < GRID_NODES - 1; row++) {
    for (let column = 0; column < GRID_NODES - 1; column++) {
      const node = row * GRID_NODES + column;
      printTriangle(factors, image, grid, texture, [node, node + 1, node + GRID_NODES]);
      printTriangle(factors, image, grid, texture, [node + GRID_NODES + 1, node + GRID_NODES, node + 1]);
    }
  }
  const depth = image.channels === 1 ? [1] : RGB_DEPTH;
  for (let pixel = 0; pixel < factors.length; pixel++) {
    const factor = factors[pixel] as number;
    if (factor === 1) continue;
    for (let channel = 0; channel < depth.length; channel++) {
      const at = pixel * image.channels + channel;
      values[at] = (values[at] as number) * Math.max(0, 1 + (factor - 1) * (depth[channel] as number));
    }
  }
}

function printTriangle(
  factors: Float32Array,
  { width, height }: HandImage,
  grid: SkinGrid,
  texture: PalmTexture,
  [a, b, c]: readonly [number, number, number],
): void {
  const [ax, ay] = [grid.x[a] as number, grid.y[a] as number];
  const [bx, by] = [grid.x[b] as number, grid.y[b] as number];
  const [cx, cy] = [grid.x[c] as number, grid.y[c] as number];
  const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  const [wa, wb, wc] = [grid.weight[a] as number, grid.weight[b] as number, grid.weight[c] as number];
  // Also true for NaN: a node that is not on the hand.
  if (!(Math.abs(area) > 0) || wa + wb + wc === 0) return;
  const [toU, toV] = [nodeToTexel(a, b, c, texture, column), nodeToTexel(a, b, c, texture, rowOf)];
  const lastX = Math.min(width - 1, Math.floor(Math.max(ax, bx, cx)));
  const lastY = Math.min(height - 1, Math.floor(Math.max(ay, by, cy)));
  for (let y = Math.max(0, Math.floor(Math.min(ay, by, cy))); y <= lastY; y++) {
    for (let x = Math.max(0, Math.floor(Math.min(ax, bx, cx))); x <= lastX; x++) {
      const [dx, dy] = [x + 0.5 - ax, y + 0.5 - ay];
      const p = (dx * (cy - ay) - dy * (cx - ax)) / area;
      const q = (dy * (bx - ax) - dx * (by - ay)) / area;
      if (p < 0 || q < 0 || p + q > 1) continue;
      const value = sample(
        texture,
        toU.at + p * toU.alongB + q * toU.alongC,
        toV.at + p * toV.alongB + q * toV.alongC,
      );
      factors[y * width + x] = 1 + (value - 1) * (wa + p * (wb - wa) + q * (wc - wa));
    }
  }
}

const column = (node: number) => node % GRID_NODES;
const rowOf = (node: number) => Math.floor(node / GRID_NODES);

/** One texture coordinate over a triangle: at its first corner, and its growth towards the others. */
function nodeToTexel(a: number, b: number, c: number, { sidePx }: PalmTexture, of: (node: number) => number) {
  const scale = sidePx / (GRID_NODES - 1);
  return {
    at: of(a) * scale - 0.5,
    alongB: (of(b) - of(a)) * scale,
    alongC: (of(c) - of(a)) * scale,
  };
}

/** Bilinear; outside, the edge goes on. */
function sample({ values, sidePx }: PalmTexture, x: number, y: number): number {
  const [atX, atY] = [Math.min(sidePx - 1, Math.max(0, x)), Math.min(sidePx - 1, Math.max(0, y))];
  const [left, top] = [Math.min(sidePx - 2, Math.floor(atX)), Math.min(sidePx - 2, Math.floor(atY))];
  const [right, down] = [atX - left, atY - top];
  const at = top * sidePx + left;
  const upper = (1 - right) * (values[at] as number) + right * (values[at + 1] as number);
  const lower = (1 - right) * (values[at + sidePx] as number) + right * (values[at + sidePx + 1] as number);
  return (1 - down) * upper + down * lower;
}

/** Gaussian blur, rows then columns; the picture's edge goes on outside. */
function blurred(values: Float32Array, { width, height, channels }: HandImage, blurPx: number): Float32Array {
  const reach = Math.ceil(BLUR_REACH * blurPx);
  const bell = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * blurPx ** 2)),
  );
  const total = bell.reduce((sum, value) => sum + value, 0);
  const kernel = Float32Array.from(bell, (value) => value / total);
  const pass = (from: Float32Array, length: number, lines: number, step: number, lineStep: number) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        for (let channel = 0; channel < channels; channel++) {
          let sum = 0;
          for (let k = -reach; k <= reach; k++) {
            const at = Math.min(length - 1, Math.max(0, i + k));
            sum += (kernel[k + reach] as number) * (from[line * lineStep + at * step + channel] as number);
          }
          to[line * lineStep + i * step + channel] = sum;
        }
      }
    }
    return to;
  };
  const rows = pass(values, width, height, channels, width * channels);
  return pass(rows, height, width, width * channels, channels);
}

/** Standard normal numbers, drawn once: a picture needs a million of them, and each row starts elsewhere in the table. */
const NOISE_COUNT = 1 << 16;
let noiseTable: Float32Array | undefined;
function noise(): Float32Array {
  if (!noiseTable) {
    const random = seededRandom(0x5e4504);
    noiseTable = Float32Array.from({ length: NOISE_COUNT }, () => random.normal());
  }
  return noiseTable;
}

function withNoise(
  values: Float32Array,
  { width, channels }: HandImage,
  deviation: number,
  seed: number,
): Uint8Array {
  const table = noise();
  const random = seededRandom(seed, 0x401e);
  const rowLength = width * channels;
  // Rounds and clamps by itself.
  const pixels = new Uint8ClampedArray(values.length);
  for (let row = 0; row < values.length; row += rowLength) {
    const start = Math.floor(random.next() * NOISE_COUNT);
    for (let i = 0; i < rowLength; i++) {
      const grain = table[(start + i) & (NOISE_COUNT - 1)] as number;
      pixels[row + i] = (values[row + i] as number) + deviation * grain;
    }
  }
  return new Uint8Array(pixels.buffer);
}
