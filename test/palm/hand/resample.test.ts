// The turned square that networks see: by formula, against a plain sum over the same image.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cropSquare, squareToImage, type TurnedSquare } from "../../../palm/hand/resample.js";
import type { HandImage } from "../../../palm/hand/types.js";

const SIDE = 16;

function painted(
  width: number,
  height: number,
  channels: 1 | 3 | 4,
  value: (x: number, y: number, channel: number) => number,
): HandImage {
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0; i < pixels.length; i++) {
    const pixel = Math.floor(i / channels);
    pixels[i] = value(pixel % width, Math.floor(pixel / width), i % channels);
  }
  return { width, height, channels, pixels };
}

function crop(image: HandImage, square: TurnedSquare, side = SIDE): Float32Array {
  // What was there before must not shine through.
  const target = new Float32Array(side * side * 3).fill(7);
  cropSquare(image, square, side, target);
  return target;
}

const whole = ({ width, height }: HandImage): TurnedSquare => ({
  centre: { x: width / 2, y: height / 2 },
  sidePx: Math.max(width, height),
  angleRad: 0,
});

const squares = fc.record({
  centre: fc.record({
    x: fc.double({ min: -20, max: 120, noNaN: true }),
    y: fc.double({ min: -20, max: 120, noNaN: true }),
  }),
  sidePx: fc.double({ min: 4, max: 200, noNaN: true }),
  angleRad: fc.double({ min: -7, max: 7, noNaN: true }),
});

describe("cropSquare", () => {
  it("of an image of the same size is the image", () => {
    const image = painted(SIDE, SIDE, 3, (x, y, channel) => (x * 7 + y * 13 + channel * 50) % 256);
    const seen = crop(image, whole(image));
    for (let i = 0; i < seen.length; i++) expect(seen[i]).toBeCloseTo((image.pixels[i] as number) / 255, 5);
  });

  it("shows grey in all three colours, and leaves a fourth channel out", () => {
    const grey = painted(SIDE, SIDE, 1, (x, y) => (x * 11 + y * 3) % 256);
    const rgba = painted(SIDE, SIDE, 4, (x, y, channel) => (channel === 3 ? 255 : (x * 11 + y * 3) % 256));
    expect(crop(rgba, whole(rgba))).toEqual(crop(grey, whole(grey)));
  });

  it("is black outside the image, whatever lay in the target", () => {
    const image = painted(40, 20, 1, () => 255);
    const seen = crop(image, { centre: { x: 500, y: -500 }, sidePx: 40, angleRad: 1 });
    expect(seen.every((value) => value === 0)).toBe(true);
    // Letterboxed: a band above, the image, a band below.
    const fitted = crop(image, whole(image));
    expect(fitted.subarray(0, 3 * SIDE).every((value) => value === 0)).toBe(true);
    expect(fitted[(SIDE / 2) * SIDE * 3]).toBeCloseTo(1, 5);
  });

  it("halving a checkerboard gives grey, not another pattern", () => {
    const image = painted(2 * SIDE, 2 * SIDE, 1, (x, y) => ((x + y) % 2) * 255);
    for (const value of crop(image, whole(image))) expect(value).toBeCloseTo(0.5, 5);
  });

  it("holds numbers from 0 to 1 for every square, near or far, and squares that are no numbers", () => {
    const image = painted(100, 90, 3, (x, y, channel) => (x * y + channel) % 256);
    fc.assert(
      fc.property(squares, (square) => {
        expect(crop(image, square).every((value) => value >= 0 && value <= 1.00001)).toBe(true);
      }),
    );
    const nowhere = { centre: { x: Number.NaN, y: 0 }, sidePx: Number.NaN, angleRad: 0 };
    expect(crop(image, nowhere).every((value) => value === 0)).toBe(true);
  });

  it("sees a spot where squareToImage says that it lies", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 11 }),
        fc.integer({ min: 4, max: 11 }),
        fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
        fc.double({ min: 30, max: 90, noNaN: true }),
        (column, row, angleRad, sidePx) => {
          const square = { centre: { x: 60, y: 60 }, sidePx, angleRad };
          const spot = squareToImage(square, SIDE, { x: column + 0.5, y: row + 0.5 });
          // A bell, wider than an output pixel.
          const image = painted(120, 120, 1, (x, y) =>
            Math.round(255 * Math.exp(-((x + 0.5 - spot.x) ** 2 + (y + 0.5 - spot.y) ** 2) / 60)),
          );
          const seen = crop(image, square).filter((_, i) => i % 3 === 0);
          expect(seen.indexOf(Math.max(...seen))).toBe(row * SIDE + column);
        },
      ),
      { numRuns: 30 },
    );
  });
});
