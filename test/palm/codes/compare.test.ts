import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BLOCK_ROWS, codeDistances, codesMemory, withProbe } from "../../../palm/codes/compare.js";
import { NEAR_WORDS, PROBE_CODE_WORDS, TEMPLATE_CODE_WORDS } from "../../../palm/codes/layout.js";
import { anyProbe, anyTemplate, anyWords, plainDistances } from "./support.js";

const seeds = fc.integer({ min: 0, max: 1_000_000 });

/** The probe's words with a template's own bits in one place of it. */
function withLook(probe: Uint32Array, at: number, bits: Uint32Array): Uint32Array {
  const changed = probe.slice();
  changed.set(bits, at);
  return changed;
}

describe("distances of codes", () => {
  it("are the law that says what they mean", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const [probe, template] = [anyProbe(seed), anyTemplate(seed + 1)];
        expect(codeDistances(probe, [template])).toEqual([plainDistances(probe, template)]);
      }),
      { numRuns: 10 },
    );
  });

  it("count every look of either frame: bits that are the template's bring it nearer, wherever they stand", () => {
    const rest = TEMPLATE_CODE_WORDS;
    const places = fc.oneof(
      fc.integer({ min: 0, max: 1 }).map((frame) => [16 * frame, 16 * frame] as const),
      fc.integer({ min: 0, max: 15 }).map((i) => [rest + 16 * i, 16 * (i % 2)] as const),
      fc
        .integer({ min: 16, max: 16 + 2 * 332 - 1 })
        .map((i) => [rest + 16 * i, NEAR_WORDS + 32 * (i % 2)] as const),
    );
    fc.assert(
      fc.property(seeds, places, (seed, [at, from]) => {
        const [probe, template] = [anyProbe(seed), anyTemplate(seed + 1)];
        const changed = withLook(probe, at, template.subarray(from, from + 16));
        const [before, after] = [codeDistances(probe, [template]), codeDistances(changed, [template])];
        expect((after[0]?.far ?? 0) < (before[0]?.far ?? 0)).toBe(true);
        expect(after).toEqual([plainDistances(changed, template)]);
      }),
      { numRuns: 25 },
    );
  });

  it("are 0 of a probe and its own first words", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const probe = anyProbe(seed);
        expect(codeDistances(probe, [probe.slice(0, TEMPLATE_CODE_WORDS)])).toEqual([{ near: 0, far: 0 }]);
      }),
      { numRuns: 10 },
    );
  });

  it("are the same of a template alone and among others, up to a whole block", () => {
    const probe = anyProbe(1);
    const rows = anyWords(BLOCK_ROWS * NEAR_WORDS, 2);
    const together = withProbe(probe, ({ near }) => near(rows).slice());
    for (const row of [0, 1, 511, BLOCK_ROWS - 1]) {
      const alone = withProbe(probe, ({ near }) =>
        near(rows.subarray(row * NEAR_WORDS, (row + 1) * NEAR_WORDS)).slice(),
      );
      expect(together[row]).toBe(alone[0]);
    }
    expect(withProbe(probe, ({ near }) => near(rows.subarray(0, 0)))).toHaveLength(0);
  });

  it("leave their input as it was and nothing in memory, also after an error", () => {
    const [probe, template] = [anyProbe(1), anyTemplate(2)];
    const before = [probe.slice(), template.slice()];
    codeDistances(probe, [template, template]);
    expect([probe, template]).toEqual(before);
    expect(codesMemory().every((byte) => byte === 0)).toBe(true);
    expect(() => codeDistances(probe, [template.subarray(1)])).toThrow(RangeError);
    expect(codesMemory().every((byte) => byte === 0)).toBe(true);
  });

  it("take whole codes only", () => {
    const near = (words: number) => withProbe(anyProbe(1), (comparer) => comparer.near(anyWords(words, 2)));
    expect(() => withProbe(anyWords(PROBE_CODE_WORDS - 1, 1), () => 0)).toThrow(RangeError);
    expect(() => near(NEAR_WORDS + 1)).toThrow(RangeError);
    expect(() => near((BLOCK_ROWS + 1) * NEAR_WORDS)).toThrow(RangeError);
  });
});
