import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codeDistances } from "../../../palm/codes/compare.js";
import { GRID_LOOKS_MADE, gridCodes, MASK_BITS } from "../../../palm/codes/grid-codes.js";
import {
  FRAME_BITS,
  GRID_LOOKS,
  gridAt,
  maskAt,
  PROBE_CODE_WORDS,
  SIGN_BITS,
  SIGNS_AT,
  SPECTRUM_LOOKS,
  spectrumAt,
  TEMPLATE_CODE_WORDS,
} from "../../../palm/codes/layout.js";
import { probeCodes, SPECTRA_NUMBERS } from "../../../palm/codes/probe-codes.js";
import { FRAMES, FRAMES_FIELD_NUMBERS } from "../../../palm/lines/frames.js";
import { FIELD_NUMBERS } from "../../../palm/lines/line-map.js";
import { seededRandom } from "../../../palm/synthetic/random.js";
import { type Lie, smoothField } from "../lines/fields.js";

const seeds = fc.integer({ min: 0, max: 1_000_000 });
const lies = fc.record({
  turn: fc.double({ min: -0.2, max: 0.2, noNaN: true }),
  scale: fc.double({ min: 0.88, max: 1.14, noNaN: true }),
  right: fc.double({ min: -8, max: 8, noNaN: true }),
  down: fc.double({ min: -8, max: 8, noNaN: true }),
});

const numbers = (count: number, seed: number) => {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => random.between(-1, 1));
};

/** A palm that lies so in both frames; vector and spectra are the same for all, so that the grid alone tells palms apart. */
function codesOf(seed: number, lie: Lie = {}): Uint32Array {
  const fields = new Float32Array(FRAMES_FIELD_NUMBERS);
  for (let frame = 0; frame < FRAMES; frame++)
    fields.set(smoothField(seed + frame, lie), frame * FIELD_NUMBERS);
  return probeCodes(numbers(SIGN_BITS, 1), numbers(SPECTRA_NUMBERS, 2), fields);
}

const template = (codes: Uint32Array) => codes.subarray(0, TEMPLATE_CODE_WORDS);
const bitAt = (words: Uint32Array, word: number, bit: number) =>
  ((words[word + (bit >>> 5)] as number) >>> (bit & 31)) & 1;
const bitsSet = (words: Uint32Array) =>
  words.reduce((sum, word) => sum + [...word.toString(2)].filter((digit) => digit === "1").length, 0);

describe("a probe's codes", () => {
  it("are the signs of its vector and of its spectra, each in its place", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const [vector, spectra] = [numbers(SIGN_BITS, seed), numbers(SPECTRA_NUMBERS, seed + 1)];
        const codes = probeCodes(vector, spectra, new Float32Array(FRAMES_FIELD_NUMBERS));
        for (const [bit, value] of vector.entries())
          expect(bitAt(codes, SIGNS_AT, bit)).toBe(value > 0 ? 1 : 0);
        for (const [at, value] of spectra.entries()) {
          const look = Math.floor(at / FRAME_BITS) % SPECTRUM_LOOKS;
          const frame = Math.floor(at / FRAME_BITS / SPECTRUM_LOOKS);
          expect(bitAt(codes, spectrumAt(look, frame), at % FRAME_BITS)).toBe(value > 0 ? 1 : 0);
        }
      }),
      { numRuns: 2 },
    );
  });

  it("have their places side by side, none twice and none left out", () => {
    const frames = [0, 1];
    const places = [
      ...frames.flatMap((frame) => Array.from({ length: SPECTRUM_LOOKS }, (_, i) => spectrumAt(i, frame))),
      ...frames.flatMap((frame) => Array.from({ length: GRID_LOOKS }, (_, i) => gridAt(i, frame))),
      ...frames.map(maskAt),
    ].map((at) => [at, 16] as const);
    const all = [...places, [SIGNS_AT, 8] as const].sort(([a], [b]) => a - b);
    let next = 0;
    for (const [at, words] of all) {
      expect(at).toBe(next);
      next = at + words;
    }
    expect(next).toBe(PROBE_CODE_WORDS);
    expect(GRID_LOOKS_MADE).toBe(GRID_LOOKS);
  });

  it("find a palm that was turned, scaled and moved: nearer than another that lies as it does", () => {
    fc.assert(
      fc.property(seeds, lies, (seed, lie) => {
        const probe = codesOf(seed, lie);
        const [own, other] = codeDistances(probe, [template(codesOf(seed)), template(codesOf(seed + 2))]);
        expect((own?.far ?? 0) < 0.75 * (other?.far ?? 0)).toBe(true);
      }),
      { numRuns: 15 },
    );
  });

  it("do not depend on how long the directions are", () => {
    const field = smoothField(5);
    const bitsOf = (of: Float32Array) => {
      const looks: number[][] = [];
      const mask = gridCodes(of, (_, bits) => looks.push([...bits]));
      return { looks, mask };
    };
    expect(bitsOf(field.map((value) => value * 0.25))).toEqual(bitsOf(field));
  });

  it("turn with the palm: lines at right angles differ in every bit", () => {
    const field = smoothField(3);
    const first = (of: Float32Array) => {
      const looks: Uint32Array[] = [];
      gridCodes(of, (_, bits) => looks.push(bits.slice()));
      return looks[0] as Uint32Array;
    };
    const [here, across] = [first(field), first(field.map((value) => -value))];
    expect(across).toEqual(here.map((word) => ~word));
  });

  it("have a mask of so many bits, whatever the field shows", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 0, max: 63 }), (seed, from) => {
        const field = smoothField(seed).map((value, at) => (at % 63 >= from ? 0 : value));
        expect(bitsSet(gridCodes(field, () => {}))).toBe(MASK_BITS);
      }),
      { numRuns: 20 },
    );
  });

  it("are made of whole parts only", () => {
    const [vector, spectra] = [numbers(SIGN_BITS, 1), numbers(SPECTRA_NUMBERS, 2)];
    const fields = new Float32Array(FRAMES_FIELD_NUMBERS);
    expect(() => probeCodes(vector.subarray(1), spectra, fields)).toThrow(RangeError);
    expect(() => probeCodes(vector, spectra.subarray(1), fields)).toThrow(RangeError);
    expect(() => probeCodes(vector, spectra, fields.subarray(2))).toThrow(RangeError);
  });
});
