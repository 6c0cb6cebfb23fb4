// Grey images and the one resampling that palm/ needs. Pure.

/** Row-major grey image, 0 black .. 255 white; pixels.length === width * height. */
export interface GreyImage {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/**
 * Resamples to side x side into `target`: area mean when shrinking, bilinear when growing.
 * Same size copies. Values stay inside the range of the input.
 * @param target Uint8Array of side * side, overwritten
 */
export function resizeSquare(image: GreyImage, side: number, target: Uint8Array): void {
  const { width, height, pixels } = image;
  if (width === side && height === side) {
    target.set(pixels);
    return;
  }
  const columns = spans(width, side);
  const rows = spans(height, side);
  for (let y = 0; y < side; y++) {
    const row = rows[y] as Span;
    for (let x = 0; x < side; x++) {
      const column = columns[x] as Span;
      let sum = 0;
      for (let i = 0; i < row.weights.length; i++) {
        const offset = (row.from + i) * width + column.from;
        let line = 0;
        for (let j = 0; j < column.weights.length; j++) {
          line += (column.weights[j] as number) * (pixels[offset + j] as number);
        }
        sum += (row.weights[i] as number) * line;
      }
      target[y * side + x] = Math.round(sum);
    }
  }
}

/** The input samples that make one output sample, weights summing to one. */
interface Span {
  from: number;
  weights: number[];
}

function spans(size: number, side: number): Span[] {
  const scale = size / side;
  const reach = Math.max(1, scale);
  return Array.from({ length: side }, (_, index) => {
    const centre = (index + 0.5) * scale;
    // A triangle of half-width 1 is bilinear; a box of width `scale` is the area mean.
    const weightOf =
      scale > 1
        ? (sample: number) => overlap(sample, centre - scale / 2, centre + scale / 2)
        : (sample: number) => Math.max(0, 1 - Math.abs(sample + 0.5 - centre));
    const from = Math.max(0, Math.floor(centre - reach));
    const to = Math.min(size - 1, Math.ceil(centre + reach));
    const raw = Array.from({ length: to - from + 1 }, (_, i) => weightOf(from + i));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { from, weights: raw.map((weight) => weight / total) };
  });
}

const overlap = (sample: number, from: number, to: number) =>
  Math.max(0, Math.min(sample + 1, to) - Math.max(sample, from));
