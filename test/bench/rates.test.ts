import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { measureRates } from "../../bench/rate-intervals.js";
import { countPairs, type SimilarityTable } from "../../bench/rates.js";
import { seeded } from "../../bench/seeded.js";

/** One template and one probe for each palm: rows are probes, columns templates. */
function square(rows: number[][]): SimilarityTable {
  const numbers = rows.map((_, i) => i);
  return {
    palms: rows.length,
    probePalms: numbers,
    galleryPalms: numbers,
    similarities: Float32Array.from(rows.flat()),
  };
}

/** Palms with `each` templates and probes; the similarity as `of` gives it. */
function table(
  palms: number,
  each: number,
  of: (probePalm: number, palm: number) => number,
): SimilarityTable {
  const owners = Array.from({ length: palms * each }, (_, i) => Math.floor(i / each));
  const similarities = Float32Array.from(owners.flatMap((probe) => owners.map((palm) => of(probe, palm))));
  return { palms, probePalms: owners, galleryPalms: owners, similarities };
}

const noisy = (palms: number, each: number, gap: number, seed = 3) => {
  const random = seeded(seed);
  return table(palms, each, (a, b) => random() + random() + (a === b ? gap : 0));
};

/** EER by its definition: the least of max(FAR, FRR) brackets it from above, the greatest min from below. */
function eerBounds({ probePalms, galleryPalms, similarities }: SimilarityTable): [number, number] {
  const mated: number[] = [];
  const nonMated: number[] = [];
  for (const [at, similarity] of similarities.entries()) {
    const probe = probePalms[Math.floor(at / galleryPalms.length)];
    (probe === galleryPalms[at % galleryPalms.length] ? mated : nonMated).push(similarity);
  }
  const share = (of: number[], isSo: (each: number) => boolean) => of.filter(isSo).length / of.length;
  let [low, high] = [0, 1];
  for (const threshold of [...similarities, Number.POSITIVE_INFINITY]) {
    const far = share(nonMated, (each) => each >= threshold);
    const frr = share(mated, (each) => each < threshold);
    low = Math.max(low, Math.min(far, frr));
    high = Math.min(high, Math.max(far, frr));
  }
  return [low, high];
}

describe("error rates", () => {
  it("are nil where every mated pair is above every non-mated one", () => {
    const rates = measureRates(table(20, 5, (a, b) => (a === b ? 0.8 : 0.1 + 0.001 * b)));
    expect(rates).toMatchObject({ eer: 0, rank1: 1, fnirAtFpir: { "3e-3": 0 } });
    expect(rates.tarAtFar).toMatchObject({ "1e-2": 1, "1e-3": 1 });
    expect(rates.ci95).toMatchObject({ eer: [0, 0], rank1: [1, 1] });
  });

  it("are those of a set worked by hand", () => {
    // Mated .9 .8 .7 .3; non-mated: .5 twice, .2 ten times. At .5: FAR 2/12, FRR 1/4; at .3: FAR 2/12, FRR 0.
    const rates = measureRates(
      square([
        [0.9, 0.2, 0.2, 0.5],
        [0.2, 0.8, 0.2, 0.2],
        [0.2, 0.2, 0.7, 0.2],
        [0.5, 0.2, 0.2, 0.3],
      ]),
    );
    expect(rates.eer).toBeCloseTo(2 / 12, 10);
    expect(rates.rank1).toBe(3 / 4);
    // No stranger may pass, so the threshold lies above .5.
    expect(rates.fnirAtFpir["3e-3"]).toBe(1 / 4);
  });

  it("interpolate the EER between two thresholds", () => {
    // From (FAR 0, FRR 1/2) to (FAR 1/2, FRR 0) at one similarity: they meet at 1/4.
    const rates = measureRates(
      square([
        [0.9, 0.5],
        [0.1, 0.5],
      ]),
    );
    expect(rates.eer).toBeCloseTo(1 / 4, 10);
  });

  it("count a tie against the palm, in rank-1 and at the threshold", () => {
    const rates = measureRates(table(4, 1, () => 0.5));
    expect(rates).toMatchObject({ eer: 0.5, rank1: 0, fnirAtFpir: { "3e-3": 1 } });
  });

  it("take a palm's best template, not each of them", () => {
    const owners = [0, 0, 1];
    const rates = measureRates({
      palms: 2,
      probePalms: [0, 1],
      galleryPalms: owners,
      similarities: Float32Array.from([0.1, 0.9, 0.4, 0.2, 0.3, 0.8]),
    });
    expect(rates).toMatchObject({ rank1: 1, fnirAtFpir: { "3e-3": 0 } });
  });

  it("let three strangers in a thousand pass, and no more", () => {
    // 1000 palms; the best similarity of stranger p is p / 1000 by a template that all have in common.
    const palms = 1000;
    const rates = measureRates(
      table(palms, 1, (probe, palm) =>
        probe === palm
          ? probe === 0
            ? 0.9965
            : 0.9955
          : palm === (probe + 1) % palms
            ? probe / palms
            : (0.3 * palm) / palms,
      ),
    );
    // .999, .998 and .997 pass; .996 must not, so the threshold lies just above it.
    expect(rates.fnirAtFpir["3e-3"]).toBeCloseTo(1 - 1 / palms, 10);
  });

  it("say null for a FAR that fewer than 3 / FAR non-mated pairs would have to show", () => {
    const allowed = (palms: number) => {
      const { tarAtFar, ci95 } = measureRates(noisy(palms, 1, 1));
      for (const [far, tar] of Object.entries(tarAtFar)) {
        expect(ci95.tarAtFar[far as keyof typeof tarAtFar] === null).toBe(tar === null);
      }
      return Object.entries(tarAtFar).flatMap(([far, tar]) => (tar === null ? [] : [far]));
    };
    expect(allowed(17)).toEqual([]); // 272 pairs
    expect(allowed(18)).toEqual(["1e-2"]); // 306 pairs
    expect(allowed(56)).toEqual(["1e-2", "1e-3"]); // 3080 pairs
  });

  it("give the TAR of the lowest threshold whose FAR is not above the one asked for", () => {
    // 20 x 19 = 380 non-mated pairs, 3 may pass at 1e-2: similarities .9 .8 .7 .6; mated .95 and .65 by halves.
    const high = new Map([1, 2, 3, 4].map((palm) => [palm, 1 - palm / 10]));
    const rates = measureRates(
      table(20, 1, (probe, palm) => {
        if (probe === palm) return probe < 10 ? 0.95 : 0.65;
        return probe === 0 ? (high.get(palm) ?? 0) : 0;
      }),
    );
    expect(rates.tarAtFar["1e-2"]).toBe(1);
    const worse = measureRates(
      table(20, 1, (probe, palm) => {
        if (probe === palm) return probe < 10 ? 0.95 : 0.55;
        return probe === 0 ? (high.get(palm) ?? 0) : 0;
      }),
    );
    expect(worse.tarAtFar["1e-2"]).toBe(0.5);
  });

  it("agree with the definition of the EER on any table", () => {
    const rows = fc.integer({ min: 2, max: 6 }).chain((n) =>
      fc.array(fc.array(fc.integer({ min: 0, max: 8 }), { minLength: n, maxLength: n }), {
        minLength: n,
        maxLength: n,
      }),
    );
    fc.assert(
      fc.property(rows, (each) => {
        const set = square(each);
        const [low, high] = eerBounds(set);
        const { eer } = measureRates(set);
        expect(eer).toBeGreaterThanOrEqual(low - 1e-9);
        expect(eer).toBeLessThanOrEqual(high + 1e-9);
      }),
      { numRuns: 30 },
    );
  });
});

describe("intervals", () => {
  it("are the same each time, hold the rate, and lie within 0 .. 1", () => {
    const set = noisy(30, 2, 1);
    const rates = measureRates(set);
    expect(measureRates(set)).toEqual(rates);
    for (const [rate, [low, high]] of [
      [rates.eer, rates.ci95.eer],
      [rates.rank1, rates.ci95.rank1],
      [rates.fnirAtFpir["3e-3"], rates.ci95.fnirAtFpir["3e-3"]],
    ] as const) {
      expect(low).toBeLessThan(high);
      expect(rate).toBeGreaterThanOrEqual(low);
      expect(rate).toBeLessThanOrEqual(high);
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
    }
  });

  it("follow the number of palms, not that of images: copies of an image add nothing", () => {
    const width = ({ ci95: { rank1 } }: ReturnType<typeof measureRates>) => rank1[1] - rank1[0];
    const probe = (palm: number) => (palm % 4 === 0 ? 0 : 1);
    const few = table(16, 1, (a, b) => (a === b ? probe(a) : 0.5));
    const copies = table(16, 5, (a, b) => (a === b ? probe(a) : 0.5));
    const many = table(64, 1, (a, b) => (a === b ? probe(a) : 0.5));
    expect(width(measureRates(copies))).toBeCloseTo(width(measureRates(few)), 10);
    expect(width(measureRates(many))).toBeLessThan(0.7 * width(measureRates(few)));
  });

  it("never compare a palm with its own copy as strangers", () => {
    // Mated pairs are all alike: were a copy a stranger, the EER of a resample would rise above 0.
    const { ci95 } = measureRates(table(5, 3, (a, b) => (a === b ? 1 : 0)));
    expect(ci95.eer).toEqual([0, 0]);
    expect(ci95.fnirAtFpir["3e-3"]).toEqual([0, 0]);
  });

  it("are quick on a hundred thousand comparisons", () => {
    const set = noisy(32, 10, 0.8);
    const before = process.cpuUsage();
    measureRates(set);
    const { user } = process.cpuUsage(before);
    expect(user / 1e6).toBeLessThan(10);
  });
});

it("counts mated and non-mated pairs", () => {
  expect(countPairs(table(10, 6, () => 0))).toEqual({ mated: 360, nonMated: 3240 });
});
