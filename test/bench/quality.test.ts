import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { type Degradation, degrade, LIGHT_AND_LENS, PLACE } from "../../bench/degrade.js";
import { run } from "../../bench/quality.js";
import {
  errorVersusDiscard,
  type JudgedComparison,
  qualityBins,
  rankCorrelation,
  thresholdOf,
} from "../../bench/quality-rates.js";
import type { QualityReport } from "../../bench/quality-table.js";
import { seeded } from "../../bench/seeded.js";
import type { HandImage } from "../../palm/hand/types.js";
import { assessQuality, renderSample, synthesiseIdentity } from "../../palm/index.js";

/** Ten comparisons, two of them misses at 0.5. */
const PREDICTED: JudgedComparison[] = [0.1, 0.2, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95].map(
  (similarity) => ({ similarity, quality: Math.round(100 * similarity) }),
);
const UNPREDICTED = PREDICTED.map(({ similarity }) => ({ similarity, quality: 50 }));

describe("error versus discard", () => {
  it("falls to nothing at the share of misses when the score knows them", () => {
    expect(errorVersusDiscard(PREDICTED, 0.5, [0, 0.1, 0.2, 0.5])).toEqual([
      { discarded: 0, fnmr: 0.2 },
      { discarded: 0.1, fnmr: 1 / 9 },
      { discarded: 0.2, fnmr: 0 },
      { discarded: 0.5, fnmr: 0 },
    ]);
  });

  it("stays level when the score knows nothing, and rises when it is upside down", () => {
    for (const { fnmr } of errorVersusDiscard(UNPREDICTED, 0.5)) expect(fnmr).toBeCloseTo(0.2, 12);
    const upsideDown = PREDICTED.map(({ similarity, quality }) => ({ similarity, quality: 100 - quality }));
    expect(errorVersusDiscard(upsideDown, 0.5, [0.5])).toEqual([{ discarded: 0.5, fnmr: 0.4 }]);
  });

  it("does not depend on the order of the comparisons", () => {
    const comparison = fc.record({
      quality: fc.integer({ min: 0, max: 5 }),
      similarity: fc.double({ min: -1, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(comparison, { minLength: 1 }), (mated) => {
        const [there, back] = [errorVersusDiscard(mated, 0), errorVersusDiscard(mated.toReversed(), 0)];
        for (const [i, { fnmr }] of there.entries()) {
          expect(fnmr).toBeCloseTo(back[i]?.fnmr ?? Number.NaN, 12);
          expect(fnmr >= 0 && fnmr <= 1 + 1e-12).toBe(true);
        }
      }),
    );
  });
});

describe("the measures of a score", () => {
  it("count every comparison in exactly one bin, with its share of misses", () => {
    const bins = qualityBins(PREDICTED, 0.5);
    expect(bins.reduce((sum, { comparisons }) => sum + comparisons, 0)).toBe(PREDICTED.length);
    expect(bins[0]).toMatchObject({ from: 0, to: 19, comparisons: 1, meanSimilarity: 0.1, fnmr: 1 });
    expect(bins[1]).toMatchObject({ from: 20, to: 39, comparisons: 1, fnmr: 1 });
    expect(bins[2]).toMatchObject({ comparisons: 0, fnmr: null, ci95: null });
    expect(bins[4]).toMatchObject({ comparisons: 4, fnmr: 0 });
    // No miss in four: up to half may be missed.
    expect(bins[4]?.ci95?.[1]).toBeCloseTo(0.49, 2);
  });

  it("correlate by rank, ties and all", () => {
    expect(rankCorrelation(PREDICTED)).toBeCloseTo(1, 12);
    expect(
      rankCorrelation(PREDICTED.map((each) => ({ ...each, quality: -(each.quality ** 3) }))),
    ).toBeCloseTo(-1, 12);
    expect(rankCorrelation(UNPREDICTED)).toBeNaN();
    const tied = [1, 1, 2, 2].map((quality, i) => ({ quality, similarity: [0.2, 0.1, 0.4, 0.3][i] ?? 0 }));
    expect(rankCorrelation(tied)).toBeCloseTo(4 / Math.sqrt(20), 12);
  });

  it("take the lowest threshold that not more than the wanted share of strangers reaches", () => {
    const similarities = fc
      .array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 1 })
      .map((all) => Float32Array.from(all));
    fc.assert(
      fc.property(similarities, fc.double({ min: 0.01, max: 0.5, noNaN: true }), (nonMated, fmr) => {
        const threshold = thresholdOf(nonMated, fmr);
        const reached = (at: number) => nonMated.filter((similarity) => similarity >= at).length;
        expect(reached(threshold)).toBeLessThanOrEqual(fmr * nonMated.length);
        const below = Math.max(...nonMated.filter((similarity) => similarity < threshold));
        if (Number.isFinite(below)) expect(reached(below)).toBeGreaterThan(fmr * nonMated.length);
      }),
    );
  });
});

describe("a degraded image", () => {
  const roi: HandImage = { ...renderSample(synthesiseIdentity(5), { seed: 1 }), channels: 1 };
  const worse = (kind: Degradation, strength: number, image = roi) =>
    degrade(image, kind, strength, image.width, seeded(3));

  it.each([...LIGHT_AND_LENS, ...PLACE])("by %s keeps its kind, and leaves the original alone", (kind) => {
    const before = roi.pixels.slice();
    const { width, height, channels, pixels } = worse(kind, 0.7);
    expect(channels).toBe(1);
    expect(pixels).toHaveLength(width * height);
    if (kind !== "small") expect([width, height]).toEqual([128, 128]);
    expect(roi.pixels).toEqual(before);
    expect(pixels).not.toEqual(before);
  });

  it.each([...LIGHT_AND_LENS, ...PLACE])("by %s at strength 0 is nearly the image", (kind) => {
    const { pixels } = worse(kind, 0);
    const differences = pixels.map((grey, at) => Math.abs(grey - (roi.pixels[at] ?? 0)));
    // The outermost rows and columns are lost to resampling, and a sensor adds a little noise.
    const isInner = (place: number) => place > 0 && place < 127;
    const inner = differences.filter((_, at) => isInner(at % 128) && isInner(Math.floor(at / 128)));
    expect(Math.max(...inner)).toBeLessThanOrEqual(8);
  });

  it.each(LIGHT_AND_LENS)("by %s is judged worse, and colour is degraded like grey", (kind) => {
    const score = (strength: number) => assessQuality(worse(kind, strength)).score;
    expect(score(1)).toBeLessThan(Math.min(90, score(0)));
    const colour: HandImage = {
      ...roi,
      channels: 3,
      pixels: Uint8Array.from(Array.from(roi.pixels).flatMap((grey) => [grey, grey, grey])),
    };
    if (kind === "noise" || kind === "dark" || kind === "flat") return;
    const { pixels } = worse(kind, 0.5, colour);
    expect(pixels.filter((_, at) => at % 3 === 1)).toEqual(worse(kind, 0.5).pixels);
  });
});

describe("palmgate bench quality", () => {
  it("needs a folder to find hands in, and says so", async () => {
    await expect(run(["--hands"])).rejects.toThrow(/--hands needs --data/);
  });

  it("shows that the score predicts which synthetic palms are missed", async () => {
    let printed = "";
    const spies = [
      vi.spyOn(process.stdout, "write").mockImplementation((text) => {
        printed += String(text);
        return true;
      }),
      vi.spyOn(process.stderr, "write").mockReturnValue(true),
    ];
    try {
      expect(await run(["--palms", "12", "--degraded", "4", "--json"])).toBe(0);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    const report: QualityReport = JSON.parse(printed);
    expect(report.rankCorrelation).toBeGreaterThan(0.5);
    const left = new Map(report.errorVersusDiscard.map(({ discarded, fnmr }) => [discarded, fnmr]));
    expect(left.get(0)).toBeGreaterThan(0.05);
    expect(left.get(0.3)).toBeLessThan((left.get(0) ?? 0) / 3);
    const asTheyAre = report.kinds.find(({ kind }) => kind === "none");
    expect(asTheyAre).toMatchObject({ images: 48, notFound: 0, refused: 0, fnmrSent: 0 });
  });
});
