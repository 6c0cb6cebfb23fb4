// How much of a region of interest is lines, and how much is noise: what sharpness is judged by. Pure.
//
// Lines are measured by second derivatives at half the side, where creases are still lines: their mean square over all
// directions, and in the weakest direction, for a moving hand is smeared along one direction only. Noise is estimated
// (Immerkaer, "Fast noise variance estimation", 1996) and its part taken out, or a noisy picture of nothing would count
// as sharp.
//
// Invariants: all sums are of whole numbers, so exact; the halved copy of the palm is zeroed.

export const SIDE_PX = 128;
const HALF_PX = SIDE_PX / 2;
/** Pixels in a cell of half the side; a mean of them has a quarter of the noise's variance. */
const CELL_PIXELS = 4;
/** Grey values are whole: the steps that this leaves in a smooth slope are no lines, and too regular to be estimated. */
const ROUNDING_VARIANCE = 1 / 12;
/** Directions in which lines are looked at; blur at half a step from one still shows. */
const DIRECTIONS = 8;

export interface LineEnergy {
  /** Mean square of the Laplacian: the second derivatives along all directions together, squared grey values. */
  all: number;
  /** Mean square of the second derivative along the direction in which it is least. */
  weakest: number;
  /** Variance of the noise at full side, squared grey values. */
  noise: number;
}

/**
 * @param pixels SIDE_PX * SIDE_PX
 * @param leastNoise variance of noise that is known to be in there; resampling makes it too smooth to be estimated
 */
export function lineEnergyOf(pixels: Uint8Array, leastNoise: number): LineEnergy {
  const half = halved(pixels);
  const moments = momentsOf(half);
  half.fill(0);
  const noise = Math.max(ROUNDING_VARIANCE, leastNoise, noiseVarianceOf(pixels, SIDE_PX));
  const energies = STEERED.map((direction) => energyAlong(moments, direction, noise));
  const { xx, yy, xxyy } = moments;
  return {
    all: xx + 2 * xxyy + yy - (LAPLACIAN_GAIN * noise) / CELL_PIXELS,
    weakest: Math.min(...energies),
    noise,
  };
}

/** Variance of the Laplacian of white noise of variance 1: 4 * 4 + 4 * 1. */
const LAPLACIAN_GAIN = 20;

/** Means of products of the second derivatives, in squared grey values of the halved image. */
interface Moments {
  xx: number;
  yy: number;
  xy: number;
  xxyy: number;
  xxxy: number;
  yyxy: number;
}

/** f_xx = 1 -2 1 along the row, f_yy the same down the column, f_xy = the four corners, +1 -1 / -1 +1, over 4. */
function momentsOf(half: Int16Array): Moments {
  let [xx, yy, xy, xxyy, xxxy, yyxy] = [0, 0, 0, 0, 0, 0];
  for (let y = 1; y < HALF_PX - 1; y++) {
    const row = y * HALF_PX;
    for (let at = row + 1; at < row + HALF_PX - 1; at++) {
      const [up, down] = [at - HALF_PX, at + HALF_PX];
      const twice = 2 * px(half, at);
      const a = px(half, at - 1) - twice + px(half, at + 1);
      const b = px(half, up) - twice + px(half, down);
      const c = px(half, up - 1) - px(half, up + 1) - px(half, down - 1) + px(half, down + 1);
      xx += a * a;
      yy += b * b;
      xy += c * c;
      xxyy += a * b;
      xxxy += a * c;
      yyxy += b * c;
    }
  }
  // Cells are sums of four pixels, and corners are not yet divided by 4.
  const count = (HALF_PX - 2) ** 2 * CELL_PIXELS ** 2;
  return {
    xx: xx / count,
    yy: yy / count,
    xy: xy / (16 * count),
    xxyy: xxyy / count,
    xxxy: xxxy / (4 * count),
    yyxy: yyxy / (4 * count),
  };
}

/** Weights of f_xx, f_xy and f_yy in the second derivative along a direction. */
const STEERED = Array.from({ length: DIRECTIONS }, (_, i) => {
  const [cos, sin] = [Math.cos((Math.PI * i) / DIRECTIONS), Math.sin((Math.PI * i) / DIRECTIONS)];
  return { a: cos * cos, c: 2 * cos * sin, b: sin * sin };
});

function energyAlong(m: Moments, { a, b, c }: { a: number; b: number; c: number }, noise: number): number {
  const energy =
    a * a * m.xx + b * b * m.yy + c * c * m.xy + 2 * (a * b * m.xxyy + a * c * m.xxxy + b * c * m.yyxy);
  // Of white noise of variance 1: f_xx and f_yy have 6 each and 4 in common, f_xy a quarter.
  const gain = 6 * (a * a + b * b) + 8 * a * b + (c * c) / 4;
  return energy - (gain * noise) / CELL_PIXELS;
}

/**
 * Immerkaer's estimate: the mean answer of a filter that no straight edge and no slope moves.
 * @param pixels side * side, of any side from 3 on
 */
export function noiseVarianceOf(pixels: Uint8Array, side: number): number {
  let sum = 0;
  for (let y = 1; y < side - 1; y++) {
    const row = y * side;
    // The filter is a second difference of second differences: one column's is the next one's neighbour.
    let left = bendAt(pixels, row, side);
    let middle = bendAt(pixels, row + 1, side);
    for (let at = row + 2; at < row + side; at++) {
      const right = bendAt(pixels, at, side);
      sum += Math.abs(left - 2 * middle + right);
      left = middle;
      middle = right;
    }
  }
  return (Math.PI / 2) * (sum / (6 * (side - 2) ** 2)) ** 2;
}

/** Second difference down the column. */
const bendAt = (pixels: Uint8Array, at: number, side: number) =>
  px(pixels, at - side) - 2 * px(pixels, at) + px(pixels, at + side);

/** Sums of 2 x 2 pixels. */
function halved(pixels: Uint8Array): Int16Array {
  const half = new Int16Array(HALF_PX * HALF_PX);
  for (let y = 0, to = 0; y < SIDE_PX; y += 2) {
    const row = y * SIDE_PX;
    for (let at = row; at < row + SIDE_PX; at += 2, to++) {
      const down = at + SIDE_PX;
      half[to] = px(pixels, at) + px(pixels, at + 1) + px(pixels, down) + px(pixels, down + 1);
    }
  }
  return half;
}

const px = (image: Uint8Array | Int16Array, at: number) => image[at] as number;
