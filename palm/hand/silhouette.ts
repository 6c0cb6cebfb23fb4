// A bright hand before a plain dark background, as a silhouette: which pixels are hand, where its palm is roundest, and
// its outline. Pure.
//
// Invariants: works on a copy with at most MAX_SIDE_PX to a side, which is zeroed; memory and time are bounded by that
// and by one pass over the image; an image that does not fall into a dark and a bright part has no silhouette. All
// coordinates that come out are the given image's.
import type { HandImage, Point } from "./types.js";

/** Finger valleys of a palm as small as a quarter of the image are still some pixels wide. */
const MAX_SIDE_PX = 256;
/** Share of the variance that lies between dark and bright (Otsu): less is no plain background. */
const MIN_SEPARATION = 0.7;
/** Share of the image that is hand. */
const [MIN_AREA, MAX_AREA] = [0.06, 0.85];

export interface Silhouette {
  /** Middle and radius of the largest circle inside the hand. */
  centre: Point;
  radiusPx: number;
  /** Once around, clockwise on the screen, about one working pixel from point to point. */
  outline: readonly Point[];
  /** Of the same length: does the point lie at the image's edge, where the hand goes on outside. */
  atEdge: readonly boolean[];
  isHand(point: Point): boolean;
}

/** @returns undefined where there is no single bright thing on a plain dark background */
export function silhouetteOf(image: HandImage): Silhouette | undefined {
  const shrunk = shrink(image);
  const threshold = otsu(shrunk.pixels);
  const mask = threshold === undefined ? undefined : largestPart(shrunk, threshold);
  shrunk.pixels.fill(0);
  if (!mask) return undefined;
  const { width, height, factor } = shrunk;
  const { at, radius } = deepest(mask, width, height);
  const pixels = outlineOf(mask, width, height);
  const toImage = (pixel: number): Point => ({
    x: ((pixel % width) + 0.5) * factor,
    y: (Math.floor(pixel / width) + 0.5) * factor,
  });
  return {
    centre: toImage(at),
    radiusPx: radius * factor,
    outline: pixels.map(toImage),
    atEdge: pixels.map((pixel) => isEdge(pixel, width, height)),
    isHand: ({ x, y }) => {
      const [column, row] = [Math.floor(x / factor), Math.floor(y / factor)];
      return column >= 0 && row >= 0 && column < width && row < height && mask[row * width + column] === 1;
    },
  };
}

interface Shrunk {
  width: number;
  height: number;
  /** Image pixels in one of these, on one side. */
  factor: number;
  pixels: Uint8Array;
}

/** Area means; of colour images the green channel, which sees skin best. */
function shrink({ width, height, channels, pixels }: HandImage): Shrunk {
  const factor = Math.ceil(Math.max(width, height) / MAX_SIDE_PX);
  const [columns, rows] = [Math.floor(width / factor), Math.floor(height / factor)];
  const shrunk = new Uint8Array(columns * rows);
  const channel = channels === 1 ? 0 : 1;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let y = row * factor; y < (row + 1) * factor; y++) {
        const from = (y * width + column * factor) * channels + channel;
        for (let i = 0; i < factor; i++) sum += pixels[from + i * channels] as number;
      }
      shrunk[row * columns + column] = Math.round(sum / factor ** 2);
    }
  }
  return { width: columns, height: rows, factor, pixels: shrunk };
}

/**
 * Otsu, "A threshold selection method from gray-level histograms", 1979. Reflections far brighter than skin do not draw
 * the threshold up: what is above the hand's own brightness counts as just as bright.
 * @returns the least bright value; undefined where the two parts are not clearly apart
 */
function otsu(pixels: Uint8Array): number | undefined {
  const histogram = new Float64Array(256);
  const brightest = percentile(pixels, BRIGHTEST_QUANTILE);
  for (const pixel of pixels) {
    const value = Math.min(brightest, pixel);
    histogram[value] = (histogram[value] as number) + 1 / pixels.length;
  }
  const mean = histogram.reduce((sum, share, value) => sum + share * value, 0);
  const variance = histogram.reduce((sum, share, value) => sum + share * (value - mean) ** 2, 0);
  let [best, bestBetween, below, belowSum] = [0, 0, 0, 0];
  for (let value = 0; value < 255; value++) {
    below += histogram[value] as number;
    belowSum += value * (histogram[value] as number);
    if (below === 0 || below > 1 - Number.EPSILON) continue;
    const between = (mean * below - belowSum) ** 2 / (below * (1 - below));
    if (between > bestBetween) [best, bestBetween] = [value + 1, between];
  }
  // Also false for an image of one grey, where both are 0.
  return bestBetween > MIN_SEPARATION * variance ? best : undefined;
}

/** Reflections and windows are less than a tenth of the image. */
const BRIGHTEST_QUANTILE = 0.9;

function percentile(pixels: Uint8Array, share: number): number {
  const counts = new Uint32Array(256);
  for (const pixel of pixels) counts[pixel] = (counts[pixel] as number) + 1;
  let seen = 0;
  for (const [value, count] of counts.entries()) {
    seen += count;
    if (seen >= share * pixels.length) return value;
  }
  return 255;
}

/** The largest connected bright part, holes filled: 1 inside. @returns undefined when it is no size for a hand */
function largestPart({ width, pixels }: Shrunk, threshold: number): Uint8Array | undefined {
  const bright = pixels.map((value) => (value >= threshold ? 1 : 0));
  const parts = regionsOf(bright, width, 1);
  const area = parts.areas.reduce((most, each) => Math.max(most, each), 0);
  if (area < MIN_AREA * bright.length || area > MAX_AREA * bright.length) return undefined;
  const largest = parts.areas.indexOf(area);
  const isHand = bright.map((_, pixel) => (parts.regionOf[pixel] === largest ? 1 : 0));
  // Gaps between fingers that leave the image are outside, though each is a region of its own; the rest are holes.
  const gaps = regionsOf(isHand, width, 0);
  const isOutside = new Uint8Array(gaps.areas.length);
  for (let pixel = 0; pixel < isHand.length; pixel++) {
    const region = gaps.regionOf[pixel] as number;
    if (region >= 0 && isEdge(pixel, width, isHand.length / width)) isOutside[region] = 1;
  }
  for (let pixel = 0; pixel < isHand.length; pixel++) {
    isHand[pixel] = isOutside[gaps.regionOf[pixel] as number] === 1 ? 0 : 1;
  }
  return isHand;
}

interface Regions {
  /** Of each pixel, -1 where it has another value. */
  regionOf: Int32Array;
  /** Pixels in each. */
  areas: number[];
}

/** The 4-connected regions of a value. */
function regionsOf(image: Uint8Array, width: number, value: number): Regions {
  const regionOf = new Int32Array(image.length).fill(-1);
  const stack = new Int32Array(image.length);
  const areas: number[] = [];
  for (let start = 0; start < image.length; start++) {
    if (image[start] !== value || regionOf[start] !== -1) continue;
    let [depth, area] = [0, 0];
    const visit = (pixel: number) => {
      if (image[pixel] !== value || regionOf[pixel] !== -1) return;
      regionOf[pixel] = areas.length;
      stack[depth++] = pixel;
      area++;
    };
    visit(start);
    while (depth > 0) {
      const pixel = stack[--depth] as number;
      const column = pixel % width;
      if (column > 0) visit(pixel - 1);
      if (column < width - 1) visit(pixel + 1);
      if (pixel >= width) visit(pixel - width);
      if (pixel + width < image.length) visit(pixel + width);
    }
    areas.push(area);
  }
  return { regionOf, areas };
}

/** Steps of the chamfer distance (Borgefors, "Distance transformations in digital images", 1986): 3 straight, 4 across. */
const [STRAIGHT, ACROSS] = [3, 4];

/** The pixel farthest from everything that is not hand; the image's edge counts as not hand. */
function deepest(mask: Uint8Array, width: number, height: number): { at: number; radius: number } {
  const stride = width + 2;
  const depth = new Int32Array(stride * (height + 2));
  for (let at = 0; at < mask.length; at++) {
    if (mask[at]) depth[(Math.floor(at / width) + 1) * stride + (at % width) + 1] = 1 << 20;
  }
  const pull = (at: number, from: number, step: number) => {
    depth[at] = Math.min(depth[at] as number, (depth[from] as number) + step);
  };
  for (let at = stride + 1; at < depth.length - stride - 1; at++) {
    pull(at, at - 1, STRAIGHT);
    pull(at, at - stride, STRAIGHT);
    pull(at, at - stride - 1, ACROSS);
    pull(at, at - stride + 1, ACROSS);
  }
  let best = stride + 1;
  for (let at = depth.length - stride - 2; at > stride; at--) {
    pull(at, at + 1, STRAIGHT);
    pull(at, at + stride, STRAIGHT);
    pull(at, at + stride + 1, ACROSS);
    pull(at, at + stride - 1, ACROSS);
    if ((depth[at] as number) > (depth[best] as number)) best = at;
  }
  const [column, row] = [(best % stride) - 1, Math.floor(best / stride) - 1];
  return { at: row * width + column, radius: (depth[best] as number) / STRAIGHT };
}

/** The eight neighbours, clockwise on the screen from the left one. */
const AROUND = [
  [-1, 0],
  [-1, -1],
  [0, -1],
  [1, -1],
  [1, 0],
  [1, 1],
  [0, 1],
  [-1, 1],
] as const;

/** Moore's neighbour tracing, clockwise; stops where it started, or when it has gone over every pixel twice. */
function outlineOf(mask: Uint8Array, width: number, height: number): number[] {
  const isIn = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1;
  const start = mask.indexOf(1);
  const outline = [start];
  let [x, y, cameFrom] = [start % width, Math.floor(start / width), 0];
  while (outline.length < 2 * mask.length) {
    const turn = AROUND.findIndex((_, i) => {
      const [dx, dy] = AROUND[(cameFrom + 1 + i) % 8] as readonly [number, number];
      return isIn(x + dx, y + dy);
    });
    if (turn < 0) break;
    const direction = (cameFrom + 1 + turn) % 8;
    const [dx, dy] = AROUND[direction] as readonly [number, number];
    [x, y] = [x + dx, y + dy];
    const pixel = y * width + x;
    if (pixel === start) break;
    outline.push(pixel);
    // Back to the neighbour looked at last, which is outside, seen from the new pixel.
    cameFrom = (direction + (direction % 2 === 0 ? 6 : 5)) % 8;
  }
  return outline;
}

function isEdge(pixel: number, width: number, height: number): boolean {
  const column = pixel % width;
  return column === 0 || column === width - 1 || pixel < width || pixel >= width * (height - 1);
}
