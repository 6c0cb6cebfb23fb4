// Cuts the region of interest out of an image: the quad of its corners, seen through a homography, becomes a square of
// grey values with the fingers up.
//
// Invariants: sub-pixel exact (the corners are the outer corners of the crop's outermost pixels); shrinking averages the
// area that a pixel of the crop covers, so that nothing aliases; what lies outside the image takes the colour of its
// edge; memory and time are bounded by the image's own size; the grey copy that is worked on is zeroed.
import type { GreyImage } from "../image.js";
import type { HandImage, Point, Quad } from "./types.js";

/** Side of the crop that goes over the wire, pixels. */
export const ROI_SIDE_PX = 128;

/** Image pixels that one crop pixel covers, on one side, above which the image is first shrunk by whole factors. */
const MAX_SAMPLED_RATIO = 3;
/** Beyond the quad's bounding box, so that the bilinear taps of its edge lie inside the copy, pixels. */
const MARGIN_PX = 2;

/** Shares of red, green and blue in a grey value (ITU-R BT.601). */
const RED = 0.299;
const GREEN = 0.587;
const BLUE = 0.114;

/**
 * @param image at least one pixel; pixels.length as declared
 * @param corners convex; top left, top right, bottom right, bottom left of the crop
 * @returns side x side; the caller's to zero
 */
export function cutRoi(image: HandImage, corners: Quad, side: number = ROI_SIDE_PX): GreyImage {
  const plane = greyPlane(image, corners, side);
  const [a, b, c, d] = corners;
  const moved = ({ x, y }: Point) => ({
    x: (x - plane.left) / plane.factor,
    y: (y - plane.top) / plane.factor,
  });
  const inPlane: Quad = [moved(a), moved(b), moved(c), moved(d)];
  const pixels = new Uint8Array(side * side);
  sample(plane, homography(inPlane), samplesPerSide(longestSide(inPlane) / side), side, pixels);
  plane.pixels.fill(0);
  return { width: side, height: side, pixels };
}

/** Eight numbers h: (u, v) of the unit square lies at ((h0 u + h1 v + h2) / w, (h3 u + h4 v + h5) / w), w = h6 u + h7 v + 1. */
export type Homography = readonly [number, number, number, number, number, number, number, number];

/** From the unit square to a convex quad (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, 2.2.3). */
export function homography([a, b, c, d]: Quad): Homography {
  const [sx, sy] = [a.x - b.x + c.x - d.x, a.y - b.y + c.y - d.y];
  const [ux, uy, vx, vy] = [b.x - c.x, b.y - c.y, d.x - c.x, d.y - c.y];
  const area = ux * vy - uy * vx;
  const g = (sx * vy - sy * vx) / area;
  const h = (ux * sy - uy * sx) / area;
  return [b.x - a.x + g * b.x, d.x - a.x + h * d.x, a.x, b.y - a.y + g * b.y, d.y - a.y + h * d.y, a.y, g, h];
}

/** A grey copy of the part of the image that the quad covers, shrunk by a whole factor. */
interface Plane {
  left: number;
  top: number;
  /** Image pixels in one pixel of the plane, on one side. */
  factor: number;
  width: number;
  height: number;
  pixels: Float32Array;
}

function greyPlane(image: HandImage, corners: Quad, side: number): Plane {
  const factor = Math.max(1, Math.floor(longestSide(corners) / side / (MAX_SAMPLED_RATIO / 2)));
  const [fromX, toX] = span(
    corners.map(({ x }) => x),
    image.width,
    factor,
  );
  const [fromY, toY] = span(
    corners.map(({ y }) => y),
    image.height,
    factor,
  );
  const width = Math.ceil((toX - fromX) / factor);
  const height = Math.ceil((toY - fromY) / factor);
  const pixels = new Float32Array(width * height);
  const plane = { left: fromX, top: fromY, factor, width, height, pixels };
  if (factor === 1) copyGrey(image, plane);
  else shrinkGrey(image, plane);
  return plane;
}

/** Whole pixels of the image that hold all of the values and a margin; never empty. */
function span(values: readonly number[], size: number, factor: number): [from: number, to: number] {
  const margin = MARGIN_PX * factor;
  const from = Math.min(size - 1, Math.max(0, Math.floor(Math.min(...values) - margin)));
  const to = Math.min(size, Math.max(from + 1, Math.ceil(Math.max(...values) + margin)));
  return [from, to];
}

function copyGrey(image: HandImage, { left, top, width, height, pixels }: Plane): void {
  const { channels } = image;
  for (let y = 0; y < height; y++) {
    let at = ((top + y) * image.width + left) * channels;
    for (let x = 0; x < width; x++, at += channels) pixels[y * width + x] = greyAt(image, at);
  }
}

/** Means of factor x factor pixels; fewer where the image ends. */
function shrinkGrey(image: HandImage, { left, top, factor, width, height, pixels }: Plane): void {
  for (let y = 0; y < height; y++) {
    const [fromY, toY] = [top + y * factor, Math.min(image.height, top + (y + 1) * factor)];
    for (let x = 0; x < width; x++) {
      const [fromX, toX] = [left + x * factor, Math.min(image.width, left + (x + 1) * factor)];
      let sum = 0;
      for (let row = fromY; row < toY; row++) {
        let at = (row * image.width + fromX) * image.channels;
        for (let i = fromX; i < toX; i++, at += image.channels) sum += greyAt(image, at);
      }
      pixels[y * width + x] = sum / ((toY - fromY) * (toX - fromX));
    }
  }
}

function greyAt({ channels, pixels }: HandImage, at: number): number {
  const red = pixels[at] as number;
  if (channels === 1) return red;
  return RED * red + GREEN * (pixels[at + 1] as number) + BLUE * (pixels[at + 2] as number);
}

const samplesPerSide = (ratio: number) => Math.min(MAX_SAMPLED_RATIO, Math.max(1, Math.round(ratio)));

/** Mean of perSide x perSide bilinear samples in each pixel of the crop. */
function sample(plane: Plane, h: Homography, perSide: number, side: number, target: Uint8Array): void {
  const sums = new Float32Array(side);
  const steps = side * perSide;
  for (let row = 0; row < steps; row++) {
    addRow(plane, h, (row + 0.5) / steps, perSide, sums);
    if ((row + 1) % perSide > 0) continue;
    const from = Math.floor(row / perSide) * side;
    for (let column = 0; column < side; column++) {
      target[from + column] = Math.round((sums[column] as number) / perSide ** 2);
    }
    sums.fill(0);
  }
}

/** Adds the bilinear samples on one line across the unit square to the sums of its columns. */
function addRow(plane: Plane, h: Homography, v: number, perSide: number, sums: Float32Array): void {
  const { width, height, pixels } = plane;
  const [lastX, lastY] = [width - 1, height - 1];
  const steps = sums.length * perSide;
  const [x0, y0, w0] = [h[1] * v + h[2], h[4] * v + h[5], h[7] * v + 1];
  const [xu, yu, wu] = [h[0], h[3], h[6]];
  for (let i = 0, column = 0, left = perSide; i < steps; i++, left--) {
    if (left === 0) {
      column++;
      left = perSide;
    }
    const u = (i + 0.5) / steps;
    const w = wu * u + w0;
    // The centre of the first pixel is (0.5, 0.5); outside, the edge goes on. Compared, for it is cheaper than Math.min.
    let x = (xu * u + x0) / w - 0.5;
    let y = (yu * u + y0) / w - 0.5;
    if (x < 0) x = 0;
    else if (x > lastX) x = lastX;
    if (y < 0) y = 0;
    else if (y > lastY) y = lastY;
    const wholeX = x | 0;
    const wholeY = y | 0;
    const at = wholeY * width + wholeX;
    const right = wholeX < lastX ? 1 : 0;
    const below = wholeY < lastY ? width : 0;
    const top = lerp(pixels[at] as number, pixels[at + right] as number, x - wholeX);
    const bottom = lerp(pixels[at + below] as number, pixels[at + below + right] as number, x - wholeX);
    sums[column] = (sums[column] as number) + lerp(top, bottom, y - wholeY);
  }
}

const lerp = (a: number, b: number, share: number) => a + share * (b - a);

function longestSide(corners: Quad): number {
  const length = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);
  const [a, b, c, d] = corners;
  return Math.max(length(a, b), length(b, c), length(c, d), length(d, a));
}
