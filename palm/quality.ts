// How good a region of interest is, before anything is computed from it. Pure.
//
// In the spirit of ISO/IEC 29794-1: a score of 0..100 that predicts matching, and the reason of the worst component.
// Components: exposure (mean grey and clipped share), contrast (standard deviation), sharpness (variance of the
// Laplacian relative to the variance of grey: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000).
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
/** Variance of the Laplacian over the variance of grey. */
const SHARPNESS = { full: 0.02, none: 0.002 };

/** Sharpness is measured at the scale at which palms are compared: a larger image is brought down to it first. */
const REFERENCE_SIDE_PX = 128;

/** @param roi at least 3 x 3 pixels */
export function assessQuality(roi: GreyImage): Quality {
  if (Math.max(roi.width, roi.height) <= REFERENCE_SIDE_PX) return assess(roi);
  const pixels = new Uint8Array(REFERENCE_SIDE_PX * REFERENCE_SIDE_PX);
  resizeSquare(roi, REFERENCE_SIDE_PX, pixels);
  const quality = assess({ width: REFERENCE_SIDE_PX, height: REFERENCE_SIDE_PX, pixels });
  pixels.fill(0);
  return quality;
}

function assess(roi: GreyImage): Quality {
  const { mean, deviation, clipped, laplacian } = measure(roi);
  const variance = deviation * deviation;
  const components: [QualityReason, number][] = [
    ["TOO_DARK", ramp(mean, DARK)],
    ["TOO_BRIGHT", Math.min(ramp(mean, BRIGHT), ramp(clipped, CLIPPED_SHARE))],
    ["LOW_CONTRAST", ramp(deviation, CONTRAST)],
    ["BLURRED", variance > 0 ? ramp(laplacian / variance, SHARPNESS) : 0],
  ];
  const [reason, worst] = components.reduce((low, each) => (each[1] < low[1] ? each : low));
  const score = Math.round(100 * worst);
  return { score, reason: score >= QUALITY_FLOOR ? "OK" : reason };
}

/** 1 at `full`, 0 at `none`, linear between; works in both directions. */
function ramp(value: number, { full, none }: { full: number; none: number }): number {
  return Math.min(1, Math.max(0, (value - none) / (full - none)));
}

function measure({ width, height, pixels }: GreyImage) {
  let sum = 0;
  let squares = 0;
  let clippedCount = 0;
  for (const value of pixels) {
    sum += value;
    squares += value * value;
    if (value >= CLIPPED_FROM) clippedCount += 1;
  }
  let laplacianSum = 0;
  let laplacianSquares = 0;
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      const value =
        4 * (pixels[at] as number) -
        (pixels[at - 1] as number) -
        (pixels[at + 1] as number) -
        (pixels[at - width] as number) -
        (pixels[at + width] as number);
      laplacianSum += value;
      laplacianSquares += value * value;
    }
  }
  const count = pixels.length;
  const inner = (width - 2) * (height - 2);
  const mean = sum / count;
  return {
    mean,
    deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)),
    clipped: clippedCount / count,
    laplacian: laplacianSquares / inner - (laplacianSum / inner) ** 2,
  };
}
