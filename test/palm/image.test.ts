import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GreyImage, resizeSquare } from "../../palm/image.js";
import { drawn } from "./support.js";

const resized = (image: GreyImage, side: number) => {
  const target = new Uint8Array(side * side);
  resizeSquare(image, side, target);
  return target;
};

const anySide = fc.integer({ min: 1, max: 24 });
const imageOf = (width: number, height: number) =>
  fc
    .uint8Array({ minLength: width * height, maxLength: width * height })
    .map((pixels): GreyImage => ({ width, height, pixels }));
const anyImage = fc.tuple(anySide, anySide).chain(([width, height]) => imageOf(width, height));
const anySquare = anySide.chain((side) => imageOf(side, side));

describe("resampling to a square", () => {
  it("keeps every value inside the range of the input", () => {
    fc.assert(
      fc.property(anyImage, anySide, (image, side) => {
        const [low, high] = [Math.min(...image.pixels), Math.max(...image.pixels)];
        const out = resized(image, side);
        expect(Math.min(...out)).toBeGreaterThanOrEqual(low);
        expect(Math.max(...out)).toBeLessThanOrEqual(high);
      }),
    );
  });

  it("copies an image that has the wanted size already", () => {
    fc.assert(
      fc.property(anySquare, (image) => {
        expect(resized(image, image.width)).toEqual(image.pixels);
      }),
    );
  });

  it("leaves one grey one grey, whatever the sizes", () => {
    fc.assert(
      fc.property(anySide, anySide, anySide, fc.nat(255), (width, height, side, grey) => {
        const flat = drawn(width, height, () => grey);
        expect(resized(flat, side)).toEqual(new Uint8Array(side * side).fill(grey));
      }),
    );
  });

  it("takes the mean of each area when it shrinks by a whole number", () => {
    const image = drawn(4, 4, (x) => [0, 10, 100, 110][x] ?? 0);
    expect([...resized(image, 2)]).toEqual([5, 105, 5, 105]);
  });

  it("goes in a straight line from one pixel to the next when it grows", () => {
    const image = drawn(2, 1, (x) => 100 * x);
    expect([...resized(image, 4).subarray(0, 4)]).toEqual([0, 25, 75, 100]);
  });

  it("turns with the image: rows and columns are treated alike", () => {
    fc.assert(
      fc.property(anyImage, anySide, (image, side) => {
        const turned = drawn(
          image.height,
          image.width,
          (x, y) => image.pixels[x * image.width + y] as number,
        );
        const [straight, back] = [resized(image, side), resized(turned, side)];
        // Sums in another order may round to the other side.
        const apart = Array.from(straight, (value, at) =>
          Math.abs(value - (back[(at % side) * side + Math.floor(at / side)] ?? Number.NaN)),
        );
        expect(Math.max(...apart)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
