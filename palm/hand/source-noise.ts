// The noise of the image that a region of interest was cut from. Cutting smooths it until it looks like fine lines, so it
// is measured before. Pure.
//
// Invariants: looks at one small square in the middle of the region, inside the image; its copy is zeroed.
import { noiseVarianceOf, SIDE_PX } from "../line-energy.js";
import { sidePxOf } from "./measures.js";
import type { HandImage, Quad } from "./types.js";

const WINDOW_PX = 64;
/** What bilinear sampling leaves of the variance that a mean over the same pixels would have. */
const SAMPLING_GAIN = 0.62;

/** @returns variance of the noise in a region that was cut to SIDE_PX; 0 where the image is too small to tell */
export function noiseInCut(image: HandImage, corners: Quad): number {
  const [a, , c] = corners;
  const left = startOf((a.x + c.x) / 2, image.width);
  const top = startOf((a.y + c.y) / 2, image.height);
  if (left === undefined || top === undefined) return 0;
  const window = new Uint8Array(WINDOW_PX * WINDOW_PX);
  copyLuma(image, left, top, window);
  const variance = noiseVarianceOf(window, WINDOW_PX);
  window.fill(0);
  const shrink = Math.max(1, sidePxOf(corners) / SIDE_PX);
  return (SAMPLING_GAIN * variance) / (shrink * shrink);
}

/** First row or column of a window about the middle; undefined where none fits or the middle is nowhere. */
function startOf(middle: number, sizePx: number): number | undefined {
  if (!Number.isFinite(middle) || sizePx < WINDOW_PX) return undefined;
  return Math.min(sizePx - WINDOW_PX, Math.max(0, Math.round(middle - WINDOW_PX / 2)));
}

function copyLuma({ width, channels, pixels }: HandImage, left: number, top: number, to: Uint8Array): void {
  for (let y = 0, next = 0; y < WINDOW_PX; y++) {
    let at = ((top + y) * width + left) * channels;
    for (let x = 0; x < WINDOW_PX; x++, at += channels, next++) {
      const first = pixels[at] as number;
      to[next] =
        channels === 1 ? first : (first + 2 * (pixels[at + 1] as number) + (pixels[at + 2] as number)) >> 2;
    }
  }
}
