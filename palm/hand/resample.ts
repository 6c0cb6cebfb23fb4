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
/** Shrinking less than this, one bilinear sample is enough. */
const SUPERSAMPLE_FROM = 1.5;

/** @param target side * side * 3 numbers */
export function cropSquare(image: HandImage, square: TurnedSquare, side: number, target: Float32Array): void {
  const shrink = square.sidePx / side;
  const samples = shrink < SUPERSAMPLE_FROM ? 1 : Math.min(MAX_SAMPLES_PER_SIDE, Math.ceil(shrink));
  const toImage = toImageOf(square, side);
  const sum = new Float64Array(3);
  const weight = 1 / (255 * samples * samples);
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++, at += 3) {
      sum.fill(0);
      for (let v = 0; v < samples; v++) {
        for (let u = 0; u < samples; u++) {
          const px = x + (u + 0.5) / samples;
          const py = y + (v + 0.5) / samples;
          const imageX = toImage.x0 + toImage.xx * px + toImage.xy * py;
          const imageY = toImage.y0 + toImage.yx * px + toImage.yy * py;
          addBilinear(image, imageX - 0.5, imageY - 0.5, sum);
        }
      }
      target[at] = (sum[0] as number) * weight;
      target[at + 1] = (sum[1] as number) * weight;
      target[at + 2] = (sum[2] as number) * weight;
    }
  }
}

/** A point of the square (0..side) in the image. */
export function squareToImage(square: TurnedSquare, side: number, point: Point): Point {
  const { x0, xx, xy, y0, yx, yy } = toImageOf(square, side);
  return { x: x0 + xx * point.x + xy * point.y, y: y0 + yx * point.x + yy * point.y };
}

function toImageOf({ centre, sidePx, angleRad }: TurnedSquare, side: number) {
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
