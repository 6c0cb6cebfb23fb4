import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  COMPETITIVE_CODE_SIDE,
  type CompetitiveCode,
  competitiveCode,
  competitiveDistance,
  type GreyImage,
  MAX_SHIFT_CELLS,
  renderSample,
  synthesiseIdentity,
} from "../../palm/index.js";

const SIDE = COMPETITIVE_CODE_SIDE;
const WORDS = 3 * SIDE;
const CROP_PX = 96;

/** Dark lines that run along the given angle, a wavelength of the filters apart. */
function lines(degrees: number, side = 128): GreyImage {
  const angle = (degrees * Math.PI) / 180;
  const wave = (28 * side) / 128;
  const pixels = Uint8Array.from({ length: side * side }, (_, at) => {
    const across = (at % side) * Math.sin(angle) - Math.floor(at / side) * Math.cos(angle);
    return 128 + 100 * Math.cos((2 * Math.PI * across) / wave);
  });
  return { width: side, height: side, pixels };
}

/** The part of an image that starts at (x, y). */
function crop(image: GreyImage, x: number, y: number, side: number): GreyImage {
  const pixels = Uint8Array.from(
    { length: side * side },
    (_, at) => image.pixels[(y + Math.floor(at / side)) * image.width + x + (at % side)] ?? 0,
  );
  return { width: side, height: side, pixels };
}

/** The code read cell by cell, as orientations 0 .. 5. */
function cells(code: CompetitiveCode): number[] {
  const orders = ["000", "100", "110", "111", "011", "001"];
  return Array.from({ length: SIDE * SIDE }, (_, at) => {
    const [x, y] = [at % SIDE, Math.floor(at / SIDE)];
    return orders.indexOf([0, 1, 2].map((plane) => ((code[plane * SIDE + y] ?? 0) >>> x) & 1).join(""));
  });
}

/** The distance as the paper writes it: cell by cell, steps on the circle of six. */
function slowDistance(a: CompetitiveCode, b: CompetitiveCode): number {
  const [ours, theirs] = [cells(a), cells(b)];
  const shifts = Array.from({ length: 2 * MAX_SHIFT_CELLS + 1 }, (_, i) => i - MAX_SHIFT_CELLS);
  const distances = shifts.flatMap((down) =>
    shifts.map((across) => {
      let [steps, count] = [0, 0];
      for (let y = Math.max(0, -down); y < Math.min(SIDE, SIDE - down); y++) {
        for (let x = Math.max(0, -across); x < Math.min(SIDE, SIDE - across); x++) {
          const turn = Math.abs((ours[(y + down) * SIDE + x + across] ?? 0) - (theirs[y * SIDE + x] ?? 0));
          steps += Math.min(turn, 6 - turn);
          count++;
        }
      }
      return steps / (3 * count);
    }),
  );
  return Math.min(...distances);
}

const anyCode = fc
  .array(fc.integer({ min: 0, max: 5 }), { minLength: SIDE * SIDE, maxLength: SIDE * SIDE })
  .map((orientations): CompetitiveCode => {
    const bits = [0b000, 0b001, 0b011, 0b111, 0b110, 0b100];
    const code = new Uint32Array(WORDS);
    for (const [at, orientation] of orientations.entries()) {
      for (let plane = 0; plane < 3; plane++) {
        const word = plane * SIDE + Math.floor(at / SIDE);
        code[word] = (code[word] ?? 0) | ((((bits[orientation] ?? 0) >> plane) & 1) << (at % SIDE));
      }
    }
    return code;
  });

describe("a competitive code", () => {
  it("holds the orientation in which the dark lines run", () => {
    // The filter across angle 0 answers to upright lines; each further one is turned by 30 degrees.
    for (const [winner, degrees] of [90, 120, 150, 0, 30, 60].entries()) {
      const inside = cells(competitiveCode(lines(degrees))).filter((_, at) => {
        const [x, y] = [at % SIDE, Math.floor(at / SIDE)];
        return Math.min(x, y) >= 6 && Math.max(x, y) < SIDE - 6;
      });
      const dark = inside.filter((each) => each === winner).length;
      expect(dark / inside.length, `${degrees} degrees`).toBeGreaterThan(0.45);
    }
  });

  it("takes images of any size, and the same lines give the same code nearly", () => {
    const small = competitiveCode(lines(30, 128));
    const large = competitiveCode(lines(30, 192));
    expect(small).toHaveLength(WORDS);
    expect(competitiveDistance(small, large)).toBeLessThan(0.05);
  });

  it("does not depend on how bright the light is", () => {
    const roi = lines(60);
    const dim = { ...roi, pixels: roi.pixels.map((each) => each / 2) };
    expect(competitiveDistance(competitiveCode(roi), competitiveCode(dim))).toBeLessThan(0.02);
  });
});

describe("the distance of competitive codes", () => {
  it("is the least mean angle over all shifts, as counted cell by cell", () => {
    fc.assert(
      fc.property(anyCode, anyCode, (a, b) => {
        expect(competitiveDistance(a, b)).toBeCloseTo(slowDistance(a, b), 12);
      }),
      { numRuns: 20 },
    );
  });

  it("is symmetric, within 0 .. 1, and 0 for the same code", () => {
    fc.assert(
      fc.property(anyCode, anyCode, (a, b) => {
        const distance = competitiveDistance(a, b);
        expect(distance).toBeCloseTo(competitiveDistance(b, a), 12);
        expect(distance).toBeGreaterThan(0);
        expect(distance).toBeLessThanOrEqual(1);
        expect(competitiveDistance(a, a)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it("is 1 where every cell stands at right angles", () => {
    const upright = new Uint32Array(WORDS);
    const level = new Uint32Array(WORDS).fill(0xffffffff);
    expect(competitiveDistance(upright, level)).toBe(1);
  });

  it("forgives a shift within the bound, in every direction, and no larger one", () => {
    const palm = renderSample(synthesiseIdentity(7), { seed: 1 });
    const cellPx = CROP_PX / SIDE;
    const at = (x: number, y: number) =>
      competitiveCode(crop(palm, 16 + x * cellPx, 16 + y * cellPx, CROP_PX));
    for (const [x, y] of [
      [MAX_SHIFT_CELLS, 0],
      [0, -MAX_SHIFT_CELLS],
      [-MAX_SHIFT_CELLS, MAX_SHIFT_CELLS],
    ] as const) {
      expect(competitiveDistance(at(0, 0), at(x, y)), `shift ${x}, ${y}`).toBeLessThan(0.15);
    }
    expect(competitiveDistance(at(-MAX_SHIFT_CELLS, 0), at(MAX_SHIFT_CELLS, 0))).toBeGreaterThan(0.3);
  });

  it("is smaller within a palm than between palms", () => {
    const codes = [1, 2, 3].map((seed) =>
      [1, 2].map((sample) => competitiveCode(renderSample(synthesiseIdentity(seed), { seed: sample }))),
    );
    for (const [i, mine] of codes.entries()) {
      const [first, second] = mine as [CompetitiveCode, CompetitiveCode];
      for (const [j, others] of codes.entries()) {
        if (i === j) continue;
        for (const other of others) {
          expect(competitiveDistance(first, second)).toBeLessThan(competitiveDistance(first, other));
        }
      }
    }
  });
});
