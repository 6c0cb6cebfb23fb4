// How good a region of interest is, before anything is computed from it. Pure.
//
// In the spirit of ISO/IEC 29794-1: a score of 0..100 that predicts matching, and the reason of the worst component.
// Components: exposure (mean grey and clipped share), contrast (standard deviation), sharpness and noise (line-energy.ts).
// docs/quality.md shows how well the score predicts, and where the ramps come from.
//
// Invariants: every image is judged at the scale at which palms are compared, whatever its resolution; the copies made
// for that are zeroed.
import { type GreyImage, resizeSquare } from "./image.js";
import { lineEnergyOf, SIDE_PX } from "./line-energy.js";

export type QualityReason = "OK" | "TOO_DARK" | "TOO_BRIGHT" | "BLURRED" | "LOW_CONTRAST";

export interface Quality {
  /** 0 useless .. 100 as good as it gets. */
  score: number;
  /** OK from QUALITY_FLOOR on; below, the worst component. */
  reason: QualityReason;
}

/** Below this score a region of interest is not signed. */
export const QUALITY_FLOOR = 40;

/** Where a component starts to cost, and where nothing is left of it. */
/** Mean grey. */
const DARK = { full: 40, none: 8 };
const BRIGHT = { full: 215, none: 245 };
const CLIPPED_SHARE = { full: 0.1, none: 0.6 };
const CLIPPED_FROM = 252;
/** Standard deviation of grey. */
const CONTRAST = { full: 5, none: 0.5 };
/**
 * Line energy in the weakest direction over the standard deviation of grey, times its ratio to that of all directions: a
 * moving hand is sharp across its way, and matches worse than a picture that is out of focus and as faint. Grey values,
 * by the logarithm.
 */
const SHARPNESS = { full: 0.05, none: 7e-4 };
/** Line energy over the variance of noise, by its logarithm. */
const SIGNAL_TO_NOISE = { full: 20, none: 0.04 };
/** From this share of noise in the variance of grey on, want of light is what hides the lines, not blur. */
const NOISY_SHARE = 0.5;

/**
 * @param roi of any size
 * @param leastNoise variance of the noise that is known to be in it, squared grey values at SIDE_PX
 */
export function assessQuality(roi: GreyImage, leastNoise = 0): Quality {
  if (roi.width === SIDE_PX && roi.height === SIDE_PX) return assess(roi.pixels, leastNoise);
  const pixels = new Uint8Array(SIDE_PX * SIDE_PX);
  resizeSquare(roi, SIDE_PX, pixels);
  const quality = assess(pixels, leastNoise);
  pixels.fill(0);
  return quality;
}

/** @param pixels SIDE_PX * SIDE_PX */
function assess(pixels: Uint8Array, leastNoise: number): Quality {
  const { mean, variance, clipped } = exposureOf(pixels);
  const { all, weakest, noise } = lineEnergyOf(pixels, leastNoise);
  const deviation = Math.sqrt(Math.max(0, variance - noise));
  const sharpness = weakest > 0 ? weakest ** 2 / (all * deviation) : 0;
  const components: [QualityReason, number][] = [
    ["TOO_DARK", ramp(mean, DARK)],
    ["TOO_BRIGHT", Math.min(ramp(mean, BRIGHT), ramp(clipped, CLIPPED_SHARE))],
    ["LOW_CONTRAST", ramp(Math.sqrt(variance), CONTRAST)],
    [noise > NOISY_SHARE * variance ? "TOO_DARK" : "BLURRED", logarithmicRamp(sharpness, SHARPNESS)],
    ["TOO_DARK", logarithmicRamp(all / noise, SIGNAL_TO_NOISE)],
  ];
  const [reason, worst] = components.reduce((low, each) => (each[1] < low[1] ? each : low));
  const score = Math.round(100 * worst);
  return { score, reason: score >= QUALITY_FLOOR ? "OK" : reason };
}

interface Ramp {
  full: number;
  none: number;
}

/** 1 at `full`, 0 at `none`, linear between; works in both directions. What is not a number is worth 0. */
export function ramp(value: number, { full, none }: Ramp): number {
  const share = (value - none) / (full - none);
  return share > 0 ? Math.min(1, share) : 0;
}

const logarithmicRamp = (value: number, { full, none }: Ramp) =>
  ramp(Math.log(value), { full: Math.log(full), none: Math.log(none) });

function exposureOf(pixels: Uint8Array) {
  let sum = 0;
  let squares = 0;
  let clippedCount = 0;
  for (let at = 0; at < pixels.length; at++) {
    const value = pixels[at] as number;
    sum += value;
    squares += value * value;
    if (value >= CLIPPED_FROM) clippedCount += 1;
  }
  const count = pixels.length;
  const mean = sum / count;
  return { mean, variance: Math.max(0, squares / count - mean * mean), clipped: clippedCount / count };
}
