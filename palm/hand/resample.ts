// Cuts a turned square out of an image of any kind, as the RGB planes-in-a-row (NHWC, 0..1) that the networks read.
//
// Invariants: outside the image is black; when the square shrinks, an output pixel is the mean of several samples, so
// that fine texture does not fold into false lines; the target is overwritten as a whole.
import type { HandImage, Point } from "./types.js";

/** A turned square in image pixels. `angleRad` turns the square's up (0, -1) clockwise on the screen. */
export interface TurnedSquare {
  centre: Point;
  sidePx: number;
  angleRad: number;
}

/** More samples than this to a side of an output pixel cost more than they steady. */
const MAX_SAMPLES_PER_SIDE = 2;
/** Shrinking less than this, one bilinear sample is enough; from here on, plain samples are averaged. */
const SUPERSAMPLE_FROM = 1.5;

/** @param target side * side * 3 numbers */
export function cropSquare(image: HandImage, square: TurnedSquare, side: number, target: Float32Array): void {
  const map = toImageOf(square, side);
  if (square.sidePx / side < SUPERSAMPLE_FROM) interpolate(image, map, side, target);
  else average(image, map, side, target);
}

function average(image: HandImage, map: Affine, side: number, target: Float32Array): void {
  const { width, height, channels, pixels } = image;
  const [green, blue] = channels === 1 ? [0, 0] : [1, 2];
  const { xx, yx } = map;
  const weight = 1 / (255 * MAX_SAMPLES_PER_SIDE ** 2);
  target.fill(0);
  // Sample rows one after the other: the inner loop only adds.
  for (let v = 0; v < side * MAX_SAMPLES_PER_SIDE; v++) {
    const py = (v + 0.5) / MAX_SAMPLES_PER_SIDE;
    const row = Math.floor(v / MAX_SAMPLES_PER_SIDE) * side * 3;
    const [x0, y0] = [map.x0 + map.xy * py, map.y0 + map.yy * py];
    for (let u = 0; u < side * MAX_SAMPLES_PER_SIDE; u++) {
      const px = (u + 0.5) / MAX_SAMPLES_PER_SIDE;
      const imageX = x0 + xx * px;
      const imageY = y0 + yx * px;
      if (!(imageX >= 0 && imageY >= 0 && imageX < width && imageY < height)) continue;
      const from = ((imageY | 0) * width + (imageX | 0)) * channels;
      const at = row + ((u / MAX_SAMPLES_PER_SIDE) | 0) * 3;
      target[at] = (target[at] as number) + weight * (pixels[from] as number);
      target[at + 1] = (target[at + 1] as number) + weight * (pixels[from + green] as number);
      target[at + 2] = (target[at + 2] as number) + weight * (pixels[from + blue] as number);
    }
  }
}

function interpolate(image: HandImage, map: Affine, side: number, target: Float32Array): void {
  const sum = new Float64Array(3);
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++, at += 3) {
      const imageX = map.x0 + map.xx * (x + 0.5) + map.xy * (y + 0.5);
      const imageY = map.y0 + map.yx * (x + 0.5) + map.yy * (y + 0.5);
      sum.fill(0);
      addBilinear(image, imageX - 0.5, imageY - 0.5, sum);
      target[at] = (sum[0] as number) / 255;
      target[at + 1] = (sum[1] as number) / 255;
      target[at + 2] = (sum[2] as number) / 255;
    }
  }
}

/** A point of the square (0..side) in the image. */
export function squareToImage(square: TurnedSquare, side: number, point: Point): Point {
  const { x0, xx, xy, y0, yx, yy } = toImageOf(square, side);
  return { x: x0 + xx * point.x + xy * point.y, y: y0 + yx * point.x + yy * point.y };
}

/** From the square's pixels to the image's. */
interface Affine {
  x0: number;
  xx: number;
  xy: number;
  y0: number;
  yx: number;
  yy: number;
}

function toImageOf({ centre, sidePx, angleRad }: TurnedSquare, side: number): Affine {
  const scale = sidePx / side;
  const [cos, sin] = [scale * Math.cos(angleRad), scale * Math.sin(angleRad)];
  const half = side / 2;
  return {
    x0: centre.x - cos * half + sin * half,
    xx: cos,
    xy: -sin,
    y0: centre.y - sin * half - cos * half,
    yx: sin,
    yy: cos,
  };
}

/** @param x in pixel centres: 0 is the centre of the first column */
function addBilinear(image: HandImage, x: number, y: number, sum: Float64Array): void {
  const { width, height, channels, pixels } = image;
  const left = Math.floor(x);
  const top = Math.floor(y);
  if (left < -1 || top < -1 || left >= width || top >= height) return;
  const fx = x - left;
  const fy = y - top;
  const isLeft = left >= 0;
  const isRight = left + 1 < width;
  const isTop = top >= 0;
  const isBottom = top + 1 < height;
  const at = (top * width + left) * channels;
  const down = at + width * channels;
  const w00 = isLeft && isTop ? (1 - fx) * (1 - fy) : 0;
  const w10 = isRight && isTop ? fx * (1 - fy) : 0;
  const w01 = isLeft && isBottom ? (1 - fx) * fy : 0;
  const w11 = isRight && isBottom ? fx * fy : 0;
  const colours = channels === 1 ? 1 : 3;
  for (let c = 0; c < colours; c++) {
    let value = 0;
    if (w00 > 0) value += w00 * (pixels[at + c] as number);
    if (w10 > 0) value += w10 * (pixels[at + channels + c] as number);
    if (w01 > 0) value += w01 * (pixels[down + c] as number);
    if (w11 > 0) value += w11 * (pixels[down + channels + c] as number);
    sum[c] = (sum[c] as number) + value;
  }
  if (channels === 1) sum[1] = sum[2] = sum[0] as number;
}
