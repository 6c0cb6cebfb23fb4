// How good a region of interest is, before anything is computed from it. Pure.
//
// In the spirit of ISO/IEC 29794-1: a score of 0..100 that predicts matching, and the reason of the worst component.
// Components: exposure (mean grey and clipped share), contrast (standard deviation), sharpness (variance of the
// Laplacian relative to the variance of grey: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000).
// Sharpness is taken at half the side, where creases are still lines, and without what the sensor's noise adds: noise
// is estimated (Immerkaer, "Fast noise variance estimation", 1996), or a noisy picture of nothing would count as sharp.
//
// Invariants: every image is judged at the scale at which palms are compared, whatever its resolution; the copies made
// for that are zeroed.
import { type GreyImage, resizeSquare } from "./image.js";

export type QualityReason = "OK" | "TOO_DARK" | "TOO_BRIGHT" | "BLURRED" | "LOW_CONTRAST";

export interface Quality {
  /** 0 useless .. 100 as good as it gets. */
  score: number;
  /** OK from QUALITY_FLOOR on; below, the worst component. */
  reason: QualityReason;
}

/** Below this score a region of interest is not signed. */
export const QUALITY_FLOOR = 40;

/** Mean grey at which exposure starts to cost, and at which nothing is left. */
const DARK = { full: 50, none: 15 };
const BRIGHT = { full: 215, none: 245 };
const CLIPPED_SHARE = { full: 0.1, none: 0.6 };
const CLIPPED_FROM = 252;
/** Standard deviation of grey. */
const CONTRAST = { full: 7, none: 1.5 };
/** Variance of the Laplacian over the variance of grey; mated similarity falls from a blur of 3 px (standard deviation) on. */
const SHARPNESS = { full: 0.05, none: 0.01 };

const SIDE_PX = 128;
const HALF_PX = SIDE_PX / 2;
/** Pixels in a cell of half the side. */
const CELL_PIXELS = 4;
/** Variance of the Laplacian of white noise of variance 1: 4 * 4 + 4 * 1. A mean of four pixels has a quarter of it. */
const NOISE_GAIN = 20 / 4;

/** @param roi of any size */
export function assessQuality(roi: GreyImage): Quality {
  if (roi.width === SIDE_PX && roi.height === SIDE_PX) return assess(roi.pixels);
  const pixels = new Uint8Array(SIDE_PX * SIDE_PX);
  resizeSquare(roi, SIDE_PX, pixels);
  const quality = assess(pixels);
  pixels.fill(0);
  return quality;
}

/** @param pixels SIDE_PX * SIDE_PX */
function assess(pixels: Uint8Array): Quality {
  const { mean, deviation, clipped } = exposureOf(pixels);
  const components: [QualityReason, number][] = [
    ["TOO_DARK", ramp(mean, DARK)],
    ["TOO_BRIGHT", Math.min(ramp(mean, BRIGHT), ramp(clipped, CLIPPED_SHARE))],
    ["LOW_CONTRAST", ramp(deviation, CONTRAST)],
    ["BLURRED", deviation > 0 ? ramp(lineEnergyOf(pixels) / deviation ** 2, SHARPNESS) : 0],
  ];
  const [reason, worst] = components.reduce((low, each) => (each[1] < low[1] ? each : low));
  const score = Math.round(100 * worst);
  return { score, reason: score >= QUALITY_FLOOR ? "OK" : reason };
}

/** 1 at `full`, 0 at `none`, linear between; works in both directions. What is not a number is worth 0. */
export function ramp(value: number, { full, none }: { full: number; none: number }): number {
  const share = (value - none) / (full - none);
  return share > 0 ? Math.min(1, share) : 0;
}

function exposureOf(pixels: Uint8Array) {
  let sum = 0;
  let squares = 0;
  let clippedCount = 0;
  for (const value of pixels) {
    sum += value;
    squares += value * value;
    if (value >= CLIPPED_FROM) clippedCount += 1;
  }
  const count = pixels.length;
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  return { mean, deviation, clipped: clippedCount / count };
}

/**
 * Variance of the Laplacian at half the side, without the noise's part. Half the side: means of 2 x 2 pixels, held as
 * sums, for rounding is noise too and whole numbers add up fast.
 */
function lineEnergyOf(pixels: Uint8Array): number {
  const half = halved(pixels);
  let sum = 0;
  let squares = 0;
  for (let y = 1; y < HALF_PX - 1; y++) {
    const row = y * HALF_PX;
    for (let at = row + 1; at < row + HALF_PX - 1; at++) {
      const around = px(half, at - 1) + px(half, at + 1) + px(half, at - HALF_PX) + px(half, at + HALF_PX);
      const value = 4 * px(half, at) - around;
      sum += value;
      squares += value * value;
    }
  }
  half.fill(0);
  const count = (HALF_PX - 2) ** 2;
  const variance = squares / count - (sum / count) ** 2;
  return variance / CELL_PIXELS ** 2 - NOISE_GAIN * noiseVarianceOf(pixels);
}

/** Immerkaer's estimate: the mean answer of a filter that no straight edge and no slope moves. */
function noiseVarianceOf(pixels: Uint8Array): number {
  let sum = 0;
  for (let y = 1; y < SIDE_PX - 1; y++) {
    const row = y * SIDE_PX;
    // The filter is a second difference of second differences: one column's is the next one's neighbour.
    let left = bendAt(pixels, row);
    let middle = bendAt(pixels, row + 1);
    for (let at = row + 2; at < row + SIDE_PX; at++) {
      const right = bendAt(pixels, at);
      sum += Math.abs(left - 2 * middle + right);
      left = middle;
      middle = right;
    }
  }
  return (Math.PI / 2) * (sum / (6 * (SIDE_PX - 2) ** 2)) ** 2;
}

/** Second difference down the column. */
const bendAt = (pixels: Uint8Array, at: number) =>
  px(pixels, at - SIDE_PX) - 2 * px(pixels, at) + px(pixels, at + SIDE_PX);

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
