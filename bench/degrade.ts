// Makes images worse in one way at a time, as bad light, bad lenses and moving hands do. Pure and seeded.
//
// Invariants: the image given is left as it is; strength 0 changes next to nothing, 1 leaves next to nothing; lengths go
// by `unitPx` (the side of the region of interest in this image), so that a strength does the same at every resolution.
import type { HandImage } from "../palm/hand/types.js";
import { gaussian } from "./seeded.js";

/** Ways that a crop can be bad, too. */
export const LIGHT_AND_LENS = ["dark", "bright", "flat", "blur", "motion", "small", "noise"] as const;
/** Ways that need a whole hand. */
export const PLACE = ["tilt", "outside"] as const;
export type Degradation = (typeof LIGHT_AND_LENS)[number] | (typeof PLACE)[number];

/** Largest standard deviation of blur, and length of motion, in units of 128 to a region's side. */
const MAX_BLUR = 10 / 128;
const MAX_MOTION = 40 / 128;
/** Smallest side of the region that is left, pixels. */
const MIN_SIDE_PX = 16;
const MAX_NOISE = 60;
/** What a sensor adds however little light there is, standard deviation in grey values. */
const READ_NOISE = 1.5;
const MAX_TILT_RAD = Math.PI / 3;
/** Furthest shift out of the image, in sides of the region. */
const MAX_SHIFT = 1.6;
/** Focal length of the lens before which a hand is tilted, in widths of the image: about 40 degrees across. */
const FOCAL = 1.4;

type Worse = (image: HandImage, strength: number, unitPx: number, random: () => number) => HandImage;

const WORSE: Record<Degradation, Worse> = {
  dark: (image, strength, _, random) =>
    mapped(image, (grey) => grey * (1 - strength) + READ_NOISE * gaussian(random)),
  bright: (image, strength) => mapped(image, (grey) => grey * (1 + 2 * strength) + 200 * strength),
  flat: (image, strength, _, random) =>
    mapped(image, (grey) => 128 + (grey - 128) * (1 - strength) + READ_NOISE * gaussian(random)),
  blur: (image, strength, unitPx) => {
    const kernel = bellKernel(strength * MAX_BLUR * unitPx);
    return alongLine(alongLine(image, kernel, 1, 0), kernel, 0, 1);
  },
  motion: (image, strength, unitPx, random) => {
    const angle = Math.PI * random();
    const lengthPx = Math.max(1, Math.round(strength * MAX_MOTION * unitPx));
    return alongLine(image, new Float64Array(lengthPx).fill(1 / lengthPx), Math.cos(angle), Math.sin(angle));
  },
  small: (image, strength, unitPx) => resized(image, (MIN_SIDE_PX / unitPx) ** strength),
  noise: (image, strength, _, random) =>
    mapped(image, (grey) => grey + strength * MAX_NOISE * gaussian(random)),
  tilt: (image, strength, _, random) => tilted(image, strength * MAX_TILT_RAD, 2 * Math.PI * random()),
  outside: (image, strength, unitPx, random) => {
    const angle = 2 * Math.PI * random();
    const way = strength * MAX_SHIFT * unitPx;
    return warped(image, (x, y) => ({ x: x + way * Math.cos(angle), y: y + way * Math.sin(angle) }));
  },
};

/** @param strength 0..1 @param unitPx side of the region of interest, pixels */
export function degrade(
  image: HandImage,
  kind: Degradation,
  strength: number,
  unitPx: number,
  random: () => number,
): HandImage {
  return WORSE[kind](image, strength, unitPx, random);
}

function mapped(image: HandImage, change: (grey: number) => number): HandImage {
  return { ...image, pixels: new Uint8Array(Uint8ClampedArray.from(image.pixels, change).buffer) };
}

/** Weights of a Gaussian, out to three standard deviations. */
function bellKernel(deviationPx: number): Float64Array {
  const reach = Math.ceil(3 * deviationPx);
  const raw = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    deviationPx === 0 ? 1 : Math.exp(-(((i - reach) / deviationPx) ** 2) / 2),
  );
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}

/** Each pixel becomes the weighted mean of those on a line through it; the edges go on as they end. */
function alongLine(image: HandImage, kernel: Float64Array, stepX: number, stepY: number): HandImage {
  const { width, height, channels, pixels } = image;
  const middle = (kernel.length - 1) / 2;
  const steps = Array.from(kernel, (weight, i) => ({
    weight,
    dx: Math.round((i - middle) * stepX),
    dy: Math.round((i - middle) * stepY),
  }));
  const out = new Uint8ClampedArray(pixels.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++, at++) {
        let sum = 0;
        for (const { weight, dx, dy } of steps) {
          const fromX = Math.min(width - 1, Math.max(0, x + dx));
          const fromY = Math.min(height - 1, Math.max(0, y + dy));
          sum += weight * (pixels[(fromY * width + fromX) * channels + c] as number);
        }
        out[at] = sum;
      }
    }
  }
  return { ...image, pixels: new Uint8Array(out.buffer) };
}

/** Fewer pixels: each is the mean of what it covers. */
function resized(image: HandImage, scale: number): HandImage {
  const { channels, pixels } = image;
  if (scale >= 1) return image;
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const sums = new Float64Array(width * height * channels);
  const counts = new Uint32Array(width * height);
  for (let y = 0, at = 0; y < image.height; y++) {
    const row = Math.floor((y * height) / image.height) * width;
    for (let x = 0; x < image.width; x++) {
      const cell = row + Math.floor((x * width) / image.width);
      counts[cell] = (counts[cell] as number) + 1;
      for (let c = 0; c < channels; c++, at++) {
        const to = cell * channels + c;
        sums[to] = (sums[to] as number) + (pixels[at] as number);
      }
    }
  }
  const means = sums.map((sum, at) => sum / (counts[Math.floor(at / channels)] as number));
  return { width, height, channels, pixels: Uint8Array.from(means, Math.round) };
}

/** What a camera sees when the flat scene is turned about a line through the middle of the image. */
function tilted(image: HandImage, tiltRad: number, axisRad: number): HandImage {
  const [cos, sin] = [Math.cos(tiltRad), Math.sin(tiltRad)];
  const [ux, uy] = [Math.cos(axisRad), Math.sin(axisRad)];
  const focalPx = FOCAL * image.width;
  const [midX, midY] = [image.width / 2, image.height / 2];
  return warped(image, (x, y) => {
    const along = (x - midX) * ux + (y - midY) * uy;
    const away = (y - midY) * ux - (x - midX) * uy;
    // Where the ray through the pixel meets the turned plane.
    const down = away / (cos - (away * sin) / focalPx);
    const across = along * (1 + (down * sin) / focalPx);
    return { x: across * ux - down * uy + midX, y: across * uy + down * ux + midY };
  });
}

/** @param source where in the image each pixel comes from; black outside */
function warped(image: HandImage, source: (x: number, y: number) => { x: number; y: number }): HandImage {
  const { width, height, channels, pixels } = image;
  const out = new Uint8ClampedArray(pixels.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += channels) {
      const from = source(x, y);
      const [left, top] = [Math.floor(from.x), Math.floor(from.y)];
      if (!(left >= 0 && top >= 0 && left + 1 < width && top + 1 < height)) continue;
      const [fx, fy] = [from.x - left, from.y - top];
      const corner = (top * width + left) * channels;
      for (let c = 0; c < channels; c++) {
        const here = corner + c;
        const below = here + width * channels;
        const upper = (1 - fx) * (pixels[here] as number) + fx * (pixels[here + channels] as number);
        const lower = (1 - fx) * (pixels[below] as number) + fx * (pixels[below + channels] as number);
        out[at + c] = (1 - fy) * upper + fy * lower;
      }
    }
  }
  return { ...image, pixels: new Uint8Array(out.buffer) };
}
