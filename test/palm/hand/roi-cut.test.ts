import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutRoi } from "../../../palm/hand/cut.js";
import type { HandImage, Point, Quad } from "../../../palm/hand/types.js";
import { drawn } from "../support.js";

const NOISE = drawn(96, 96, (x, y) => (x * 89 + y * 57 + ((x * y) % 41) * 7) % 256);
const grey = (image: { width: number; height: number; pixels: Uint8Array }): HandImage => ({
  ...image,
  channels: 1,
});

const square = (left: number, top: number, side: number): Quad => [
  { x: left, y: top },
  { x: left + side, y: top },
  { x: left + side, y: top + side },
  { x: left, y: top + side },
];

describe("cutting a region of interest", () => {
  it("copies pixels when the quad is made of whole ones", () => {
    const expected = drawn(32, 32, (x, y) => NOISE.pixels[(y + 7) * 96 + x + 11] ?? 0);
    expect(cutRoi(grey(NOISE), square(11, 7, 32), 32)).toEqual(expected);
  });

  it("turns by a right angle without losing a pixel", () => {
    const [a, b, c, d] = square(0, 0, 96);
    const expected = drawn(96, 96, (x, y) => NOISE.pixels[x * 96 + (95 - y)] ?? 0);
    expect(cutRoi(grey(NOISE), [b, c, d, a], 96)).toEqual(expected);
  });

  it("reads between pixels: a slope stays that slope, wherever and however the quad lies", () => {
    const slope = drawn(256, 256, (x, y) => Math.round(20 + 0.4 * x + 0.4 * y));
    fc.assert(
      fc.property(
        fc.record({
          x: fc.double({ min: 110, max: 146, noNaN: true }),
          y: fc.double({ min: 110, max: 146, noNaN: true }),
          side: fc.double({ min: 20, max: 140, noNaN: true }),
          turn: fc.double({ min: 0, max: 2 * Math.PI, noNaN: true }),
        }),
        ({ x, y, side, turn }) => {
          const at = (u: number, v: number): Point => ({
            x: x + side * ((u - 0.5) * Math.cos(turn) - (v - 0.5) * Math.sin(turn)),
            y: y + side * ((u - 0.5) * Math.sin(turn) + (v - 0.5) * Math.cos(turn)),
          });
          const roi = cutRoi(grey(slope), [at(0, 0), at(1, 0), at(1, 1), at(0, 1)], 32);
          const worst = roi.pixels.reduce((most, value, i) => {
            const place = at(((i % 32) + 0.5) / 32, (Math.floor(i / 32) + 0.5) / 32);
            // A pixel's value is that of its middle.
            return Math.max(most, Math.abs(value - (20 + 0.4 * (place.x - 0.5) + 0.4 * (place.y - 0.5))));
          }, 0);
          // Both images are rounded to whole greys.
          expect(worst).toBeLessThanOrEqual(1.1);
        },
      ),
    );
  });

  it("straightens perspective: a board drawn into a trapezoid comes out even", () => {
    const quad: Quad = [
      { x: 60, y: 40 },
      { x: 190, y: 60 },
      { x: 230, y: 220 },
      { x: 20, y: 200 },
    ];
    // The board is painted by the inverse map, found here by Newton's method and not by the code under test.
    const board = drawn(256, 256, (x, y) => {
      const { u, v } = unmapped(quad, { x: x + 0.5, y: y + 0.5 });
      return u < 0 || v < 0 || u > 1 || v > 1 ? 128 : (Math.floor(4 * u) + Math.floor(4 * v)) % 2 ? 230 : 30;
    });
    const roi = cutRoi(grey(board), quad, 64);
    for (let cell = 0; cell < 16; cell++) {
      const [u, v] = [cell % 4, Math.floor(cell / 4)];
      const middle = roi.pixels[(16 * v + 8) * 64 + 16 * u + 8];
      expect(middle).toBe((u + v) % 2 ? 230 : 30);
    }
  });

  it.each([2, 3, 5, 11])(
    "averages what it shrinks %d times: a fine grid turns grey, not striped",
    (factor) => {
      const side = 64 * factor;
      const grid = drawn(side, side, (x, y) => ((x + y) % 2 ? 255 : 0));
      const roi = cutRoi(grey(grid), square(0, 0, side), 64);
      const [low, high] = [Math.min(...roi.pixels), Math.max(...roi.pixels)];
      expect(low).toBeGreaterThan(128 - 30);
      expect(high).toBeLessThan(128 + 30);
    },
  );

  it("sees colours as bright as an eye does, whatever comes beside them", () => {
    const rgba: HandImage = {
      width: 4,
      height: 4,
      channels: 4,
      pixels: Uint8Array.from({ length: 64 }, (_, i) => [255, 100, 10, 3][i % 4] ?? 0),
    };
    const expected = Math.round(0.299 * 255 + 0.587 * 100 + 0.114 * 10);
    expect([...cutRoi(rgba, square(0, 0, 4), 4).pixels]).toEqual(Array(16).fill(expected));
  });

  it("goes on with the image's edge where the quad leaves it, and ends at once where it is far away", () => {
    const roi = cutRoi(grey(drawn(16, 16, (x) => 10 * x)), square(-16, 0, 32), 32);
    expect(roi.pixels.slice(0, 16)).toEqual(new Uint8Array(16));
    const far = cutRoi(grey(drawn(1, 1, () => 77)), square(5e6, -5e6, 1e6), 8);
    expect([...far.pixels]).toEqual(Array(64).fill(77));
  });
});

/** Where in the unit square a point of the image lies, by Newton's method on the projective map. */
function unmapped(quad: Quad, to: Point): { u: number; v: number } {
  let [u, v] = [0.5, 0.5];
  for (let i = 0; i < 30; i++) {
    const here = mapped(quad, u, v);
    const [right, down] = [mapped(quad, u + 1e-5, v), mapped(quad, u, v + 1e-5)];
    const [xu, yu, xv, yv] = [right.x - here.x, right.y - here.y, down.x - here.x, down.y - here.y];
    const det = xu * yv - yu * xv;
    const [dx, dy] = [to.x - here.x, to.y - here.y];
    u += (1e-5 * (dx * yv - dy * xv)) / det;
    v += (1e-5 * (xu * dy - yu * dx)) / det;
  }
  return { u, v };
}

/** The projective map of the unit square, by the weights that make its diagonals meet where the quad's do. */
function mapped([a, b, c, d]: Quad, u: number, v: number): Point {
  const cross = (p: Point, q: Point, r: Point) => (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
  // Weights wa a - wb b + wc c - wd d = 0, wa - wb + wc - wd = 0.
  const [wa, wb, wc, wd] = [cross(b, c, d), cross(a, c, d), cross(a, b, d), cross(a, b, c)];
  const corners = [
    { p: a, w: (1 - u) * (1 - v) * wa },
    { p: b, w: u * (1 - v) * wb },
    { p: c, w: u * v * wc },
    { p: d, w: (1 - u) * v * wd },
  ];
  const total = corners.reduce((sum, { w }) => sum + w, 0);
  return {
    x: corners.reduce((sum, { p, w }) => sum + w * p.x, 0) / total,
    y: corners.reduce((sum, { p, w }) => sum + w * p.y, 0) / total,
  };
}
