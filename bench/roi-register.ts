// How far apart two crops of one palm were cut, measured on the images themselves: the lines of the palm are laid onto
// each other, and where the corners of one crop then lie, seen from the other, is the difference of the cuts. Pure.
//
// Crops are taken with a margin, levelled (local mean and spread taken out) and cut into patches. Each patch of one is
// looked for in the other (normalised correlation), first coarsely and far, then finely and near; a similarity is fitted
// to the ways of the patches by consensus (Fischler and Bolles, "Random sample consensus", 1981; every pair of patches is
// tried, so that nothing is random).
//
// Invariants: the same crops give the same answer; where too few patches agree, there is none.
import type { GreyImage } from "../palm/index.js";

/** Side of a crop inside its margin: the unit of every answer, pixels. */
export const CROP_SIDE_PX = 128;
const MARGIN_PX = 16;
/** Side of the images that are compared, and how much larger than the crop they are. */
export const CONTEXT_SIDE_PX = CROP_SIDE_PX + 2 * MARGIN_PX;
export const CONTEXT_SCALE = CONTEXT_SIDE_PX / CROP_SIDE_PX;

const LEVEL_RADIUS_PX = 7;
const PATCH_PX = 32;
const PATCH_STEP_PX = 16;
const COARSE = 2;
const COARSE_REACH_PX = 18;
const FINE_REACH_PX = 3;
/** Patches that went the same way to so many pixels agree. */
const [COARSE_TOLERANCE_PX, FINE_TOLERANCE_PX] = [4, 2.5];
/** By chance six of 49 patches agree, seldom. */
const MIN_AGREEING = 12;

export interface Levelled {
  side: number;
  values: Float32Array;
}

/** (x, y) -> (cos x - sin y + dx, sin x + cos y + dy); cos and sin hold the scale too. */
export interface Similarity {
  cos: number;
  sin: number;
  dx: number;
  dy: number;
}

/** Local mean out, local spread to one. @param context CONTEXT_SIDE_PX to a side */
export function levelled({ width: side, pixels }: GreyImage): Levelled {
  const plain = Float32Array.from(pixels);
  const mean = boxBlur(plain, side, LEVEL_RADIUS_PX);
  const high = plain.map((value, at) => value - (mean[at] as number));
  const power = boxBlur(
    high.map((value) => value * value),
    side,
    2 * LEVEL_RADIUS_PX,
  );
  return { side, values: high.map((value, at) => value / (1 + Math.sqrt(power[at] as number))) };
}

/** @returns where a point of `a` lies in `b`, pixels of the context; undefined when too few patches agree */
export function register(a: Levelled, b: Levelled): Similarity | undefined {
  const [coarseA, coarseB] = [halved(a), halved(b)];
  const coarse = fitted(
    moves(coarseA, coarseB, COARSE_REACH_PX / COARSE, COARSE),
    COARSE_TOLERANCE_PX / COARSE,
  );
  if (!coarse) return undefined;
  const rough = { ...coarse, dx: coarse.dx * COARSE, dy: coarse.dy * COARSE };
  const fine = fitted(moves(a, warped(b, rough), FINE_REACH_PX, 1), FINE_TOLERANCE_PX);
  return fine && after(rough, fine);
}

/** Mean square of the ways of the four corners of the crop, pixels squared. */
export function cornerSquare({ cos, sin, dx, dy }: Similarity): number {
  let sum = 0;
  for (const x of [MARGIN_PX, MARGIN_PX + CROP_SIDE_PX]) {
    for (const y of [MARGIN_PX, MARGIN_PX + CROP_SIDE_PX]) {
      sum += (cos * x - sin * y + dx - x) ** 2 + (sin * x + cos * y + dy - y) ** 2;
    }
  }
  return sum / 4;
}

/** First `first`, then `second`, as one. */
function after(second: Similarity, first: Similarity): Similarity {
  const { cos, sin } = second;
  return {
    cos: cos * first.cos - sin * first.sin,
    sin: sin * first.cos + cos * first.sin,
    dx: cos * first.dx - sin * first.dy + second.dx,
    dy: sin * first.dx + cos * first.dy + second.dy,
  };
}

/** A patch's middle in a and where it was found in b. */
interface Move {
  x: number;
  y: number;
  toX: number;
  toY: number;
}

function moves(a: Levelled, b: Levelled, reachPx: number, shrunk: number): Move[] {
  const patch = PATCH_PX / shrunk;
  const [first, last] = [MARGIN_PX / shrunk, (MARGIN_PX + CROP_SIDE_PX) / shrunk - patch];
  const all: Move[] = [];
  for (let y = first; y <= last; y += PATCH_STEP_PX / shrunk) {
    for (let x = first; x <= last; x += PATCH_STEP_PX / shrunk) {
      const to = bestPlace(a, b, { x, y, patch }, reachPx);
      all.push({ x: x + patch / 2, y: y + patch / 2, toX: to.x + patch / 2, toY: to.y + patch / 2 });
    }
  }
  return all;
}

function bestPlace(
  a: Levelled,
  b: Levelled,
  { x, y, patch }: { x: number; y: number; patch: number },
  reachPx: number,
): { x: number; y: number } {
  const reach = Math.round(reachPx);
  const width = 2 * reach + 1;
  const scores = new Float64Array(width * width).fill(Number.NEGATIVE_INFINITY);
  let best = reach * width + reach;
  for (let at = 0; at < scores.length; at++) {
    const toX = x + (at % width) - reach;
    const toY = y + Math.floor(at / width) - reach;
    if (toX < 0 || toY < 0 || toX + patch > b.side || toY + patch > b.side) continue;
    scores[at] = correlation(a, y * a.side + x, b, toY * b.side + toX, patch);
    if ((scores[at] as number) > (scores[best] as number)) best = at;
  }
  const [column, row] = [best % width, Math.floor(best / width)];
  return {
    x: x + column - reach + peak(scores, best, 1, column > 0 && column < width - 1),
    y: y + row - reach + peak(scores, best, width, row > 0 && row < width - 1),
  };
}

/** Top of the parabola through three scores, -0.5 .. 0.5. */
function peak(scores: Float64Array, best: number, step: number, inside: boolean): number {
  if (!inside) return 0;
  const [low, top, high] = [scores[best - step], scores[best], scores[best + step]] as [
    number,
    number,
    number,
  ];
  const curve = low - 2 * top + high;
  return Number.isFinite(curve) && curve < 0 ? (0.5 * (low - high)) / curve : 0;
}

function correlation(a: Levelled, fromA: number, b: Levelled, fromB: number, patch: number): number {
  let [ab, bb] = [0, 1e-9];
  for (let y = 0; y < patch; y++) {
    const [rowA, rowB] = [fromA + y * a.side, fromB + y * b.side];
    for (let x = 0; x < patch; x++) {
      const value = b.values[rowB + x] as number;
      ab += (a.values[rowA + x] as number) * value;
      bb += value * value;
    }
  }
  return ab / Math.sqrt(bb);
}

/** The similarity that most moves agree on, least squares over those. */
function fitted(all: readonly Move[], tolerancePx: number): Similarity | undefined {
  let most: Move[] = [];
  for (const [i, p] of all.entries()) {
    for (const q of all.slice(i + 1)) {
      const guess = leastSquares([p, q]);
      if (!isPlausible(guess)) continue;
      const agreeing = all.filter((move) => misses(guess, move) <= tolerancePx);
      if (agreeing.length > most.length) most = agreeing;
    }
  }
  return most.length >= MIN_AGREEING ? leastSquares(most) : undefined;
}

/** Cuts differ by less than this in scale and rotation, else a crop is of something else. */
const [MIN_COS, MAX_COS, MAX_SIN] = [0.6, 1.6, 0.5];
const isPlausible = ({ cos, sin }: Similarity) => cos > MIN_COS && cos < MAX_COS && Math.abs(sin) < MAX_SIN;

const misses = ({ cos, sin, dx, dy }: Similarity, { x, y, toX, toY }: Move) =>
  Math.hypot(cos * x - sin * y + dx - toX, sin * x + cos * y + dy - toY);

function leastSquares(moves: readonly Move[]): Similarity {
  const mean = (pick: (move: Move) => number) =>
    moves.reduce((sum, move) => sum + pick(move), 0) / moves.length;
  const [x, y, toX, toY] = [mean((m) => m.x), mean((m) => m.y), mean((m) => m.toX), mean((m) => m.toY)];
  let [spread, along, across] = [0, 0, 0];
  for (const move of moves) {
    const [ax, ay, bx, by] = [move.x - x, move.y - y, move.toX - toX, move.toY - toY];
    spread += ax * ax + ay * ay;
    along += ax * bx + ay * by;
    across += ax * by - ay * bx;
  }
  const [cos, sin] = [along / spread, across / spread];
  return { cos, sin, dx: toX - cos * x + sin * y, dy: toY - sin * x - cos * y };
}

/** b, seen where the similarity says: the point (x, y) of the answer is b's at similarity(x, y). */
function warped({ side, values }: Levelled, { cos, sin, dx, dy }: Similarity): Levelled {
  const out = new Float32Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [fx, fy] = [cos * x - sin * y + dx, sin * x + cos * y + dy];
      const [x0, y0] = [Math.floor(fx), Math.floor(fy)];
      if (x0 < 0 || y0 < 0 || x0 >= side - 1 || y0 >= side - 1) continue;
      const at = y0 * side + x0;
      const [u, v] = [fx - x0, fy - y0];
      const top = (1 - u) * (values[at] as number) + u * (values[at + 1] as number);
      const bottom = (1 - u) * (values[at + side] as number) + u * (values[at + side + 1] as number);
      out[y * side + x] = (1 - v) * top + v * bottom;
    }
  }
  return { side, values: out };
}

function halved({ side, values }: Levelled): Levelled {
  const half = side / COARSE;
  const out = new Float32Array(half * half);
  for (let at = 0; at < side * side; at++) {
    const to = Math.floor(at / side / COARSE) * half + Math.floor((at % side) / COARSE);
    out[to] = (out[to] as number) + (values[at] as number) / COARSE ** 2;
  }
  return { side: half, values: out };
}

/** Mean over (2 radius + 1) squared, fewer at the edge. */
function boxBlur(values: Float32Array, side: number, radius: number): Float32Array {
  const once = blurRows(values, side, radius);
  return transposed(blurRows(transposed(once, side), side, radius), side);
}

function blurRows(values: Float32Array, side: number, radius: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < side; row++) {
    for (let x = 0; x < side; x++) {
      const [from, to] = [Math.max(0, x - radius), Math.min(side, x + radius + 1)];
      let sum = 0;
      for (let i = from; i < to; i++) sum += values[row * side + i] as number;
      out[row * side + x] = sum / (to - from);
    }
  }
  return out;
}

const transposed = (values: Float32Array, side: number) =>
  values.map((_, at) => values[(at % side) * side + Math.floor(at / side)] as number);
