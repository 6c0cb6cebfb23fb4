// The competitive code, the classic training-free palm template: a yardstick for the signature, not part of the hot path.
//
// Kong and Zhang, "Competitive coding scheme for palmprint verification", ICPR 2004: six oriented filters compete at
// every cell, the winner (the orientation in which a dark line runs) is the code. Orientations are written on three bit
// planes so that the Hamming distance of two codes is their angular distance on the circle, 0 .. 3 steps of 30 degrees.
//
// Invariants: a code depends on the pixels only; the distance is symmetric, 0 for the same code, and at most 1.
import { type GreyImage, resizeSquare } from "./image.js";

/** Cells on one side; a row of cells is one 32-bit word per plane. */
export const COMPETITIVE_CODE_SIDE = 32;
/** Two captures of one palm lie at most this many cells apart in each direction. */
export const MAX_SHIFT_CELLS = 4;

/** Words: plane * 32 + row; bit x of a word is the cell in column x. */
export type CompetitiveCode = Uint32Array;

const SIDE = COMPETITIVE_CODE_SIDE;
const PLANES = 3;
/** Neighbours differ in one bit, opposites in three (table 1 of the paper). */
const PLANE_BITS = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100] as const;
const ORIENTATIONS = PLANE_BITS.length;

/** The image is brought to this side, and one pixel of each 2 x 2 cell is coded. */
const IMAGE_SIDE_PX = 64;
const STEP_PX = IMAGE_SIDE_PX / SIDE;
// In pixels of the 64 x 64 image; more than twice as coarse as the signature's filters (model/make_gabor.py).
const GABOR_RADIUS_PX = 12;
const GABOR_SIDE_PX = 2 * GABOR_RADIUS_PX + 1;
const GABOR_SIGMA_PX = 4;
const GABOR_WAVELENGTH_PX = 14;
const GABOR_ASPECT = 0.6;

const BANK: readonly Float64Array[] = Array.from({ length: ORIENTATIONS }, (_, i) =>
  gabor((Math.PI * i) / ORIENTATIONS),
);

/**
 * Codes one region of interest of any size, fingers up.
 * An image of one grey has no lines: every filter answers zero and the first orientation wins everywhere.
 * @returns 96 words
 */
export function competitiveCode(roi: GreyImage): CompetitiveCode {
  const image = new Uint8Array(IMAGE_SIDE_PX * IMAGE_SIDE_PX);
  resizeSquare(roi, IMAGE_SIDE_PX, image);
  const padded = reflected(image);
  const code = new Uint32Array(PLANES * SIDE);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const bits = PLANE_BITS[winnerAt(padded, column * STEP_PX, row * STEP_PX)] ?? 0;
      for (let plane = 0; plane < PLANES; plane++) {
        const word = plane * SIDE + row;
        code[word] = (code[word] as number) | (((bits >> plane) & 1) << column);
      }
    }
  }
  image.fill(0);
  padded.fill(0);
  return code;
}

/**
 * Mean angular distance over the cells that overlap, least over all shifts up to MAX_SHIFT_CELLS.
 * @returns 0 the same .. 1 every cell at right angles
 */
export function competitiveDistance(a: CompetitiveCode, b: CompetitiveCode): number {
  let least = 1;
  for (let down = -MAX_SHIFT_CELLS; down <= MAX_SHIFT_CELLS; down++) {
    for (let across = 0; across <= MAX_SHIFT_CELLS; across++) {
      least = Math.min(least, shiftedDistance(a, b, across, down));
      if (across > 0) least = Math.min(least, shiftedDistance(b, a, across, down));
    }
  }
  return least;
}

/** Compares the cell (x + across, y + down) of `a` with the cell (x, y) of `b`. @param across 0 or more */
function shiftedDistance(a: CompetitiveCode, b: CompetitiveCode, across: number, down: number): number {
  const overlap = 0xffffffff >>> across;
  const from = Math.max(0, -down);
  const to = SIDE - Math.max(0, down);
  let bits = 0;
  for (let row = from; row < to; row++) {
    const x = differences(a, b, row, across, down) & overlap;
    const y = differences(a, b, row + SIDE, across, down) & overlap;
    const z = differences(a, b, row + 2 * SIDE, across, down) & overlap;
    // A full adder: two counts do for three words.
    bits += onesTwos(x ^ y ^ z, (x & y) | (z & (x ^ y)));
  }
  return bits / (PLANES * (to - from) * (SIDE - across));
}

const differences = (a: CompetitiveCode, b: CompetitiveCode, word: number, across: number, down: number) =>
  ((a[word + down] as number) >>> across) ^ (b[word] as number);

/** Bits set in `once`, plus twice those in `twice` (fields of 2, 4, 8 bits: Warren, "Hacker's Delight", 5-1). */
function onesTwos(once: number, twice: number): number {
  const m = once - ((once >>> 1) & 0x55555555);
  const n = twice - ((twice >>> 1) & 0x55555555);
  const ofFour =
    (m & 0x33333333) + ((m >>> 2) & 0x33333333) + 2 * ((n & 0x33333333) + ((n >>> 2) & 0x33333333));
  return Math.imul((ofFour & 0x0f0f0f0f) + ((ofFour >>> 4) & 0x0f0f0f0f), 0x01010101) >>> 24;
}

/** Orientation whose filter, laid at this pixel, answers most strongly to a dark line. */
function winnerAt(padded: Float64Array, x: number, y: number): number {
  let winner = 0;
  let strongest = Number.NEGATIVE_INFINITY;
  for (const [orientation, kernel] of BANK.entries()) {
    const answer = answerAt(padded, kernel, x, y);
    if (answer > strongest) {
      strongest = answer;
      winner = orientation;
    }
  }
  return winner;
}

function answerAt(padded: Float64Array, kernel: Float64Array, x: number, y: number): number {
  const width = IMAGE_SIDE_PX + 2 * GABOR_RADIUS_PX;
  let sum = 0;
  for (let row = 0; row < GABOR_SIDE_PX; row++) {
    const at = (y + row) * width + x;
    const kernelAt = row * GABOR_SIDE_PX;
    for (let i = 0; i < GABOR_SIDE_PX; i++)
      sum += (kernel[kernelAt + i] as number) * (padded[at + i] as number);
  }
  return sum;
}

/** The image with a border as wide as a filter's radius, mirrored at the edges. */
function reflected(image: Uint8Array): Float64Array {
  const side = IMAGE_SIDE_PX + 2 * GABOR_RADIUS_PX;
  const last = IMAGE_SIDE_PX - 1;
  const inside = (at: number) => {
    const distance = Math.abs(at - GABOR_RADIUS_PX);
    return distance > last ? 2 * last - distance : distance;
  };
  return Float64Array.from({ length: side * side }, (_, at) => {
    const [x, y] = [inside(at % side), inside(Math.floor(at / side))];
    return image[y * IMAGE_SIDE_PX + x] as number;
  });
}

/** Even Gabor filter of a dark line that runs across `theta`, without DC. */
function gabor(theta: number): Float64Array {
  const envelope = new Float64Array(GABOR_SIDE_PX * GABOR_SIDE_PX);
  const wave = new Float64Array(envelope.length);
  for (let at = 0; at < envelope.length; at++) {
    const x = (at % GABOR_SIDE_PX) - GABOR_RADIUS_PX;
    const y = Math.floor(at / GABOR_SIDE_PX) - GABOR_RADIUS_PX;
    const across = x * Math.cos(theta) + y * Math.sin(theta);
    const along = GABOR_ASPECT * (y * Math.cos(theta) - x * Math.sin(theta));
    envelope[at] = Math.exp(-(across ** 2 + along ** 2) / (2 * GABOR_SIGMA_PX ** 2));
    wave[at] = Math.cos((2 * Math.PI * across) / GABOR_WAVELENGTH_PX);
  }
  const total = envelope.reduce((sum, each) => sum + each, 0);
  const level = envelope.reduce((sum, each, at) => sum + each * (wave[at] ?? 0), 0) / total;
  return envelope.map((each, at) => -each * ((wave[at] ?? 0) - level));
}
