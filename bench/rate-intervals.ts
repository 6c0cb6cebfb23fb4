// Bootstrap intervals of error rates: what the same bench could have shown on other palms.
//
// Palms are drawn with replacement, as often as there are palms, for the comparisons of one palm are not independent of
// each other. A palm drawn k times counts k times in its mated comparisons and probes, two palms k and l times count k * l
// times in their non-mated ones; copies of one palm are never compared as strangers. The enrolled gallery stays whole for
// identification, so that a resample is not an easier one. An interval runs from the 2.5 % to the 97.5 % quantile of the
// rounds; where no error was seen it is a point, which says only that there was nothing to resample.
//
// Invariant: seeded, so that the same table gives the same intervals.
import { type Far, FPIR, openRates, type Rates, type SimilarityTable } from "./rates.js";
import { seeded } from "./seeded.js";

const ROUNDS = 1000;
const SEED = 1;

export type Interval = [low: number, high: number];

export interface Intervals {
  eer: Interval;
  tarAtFar: Record<Far, Interval | null>;
  rank1: Interval;
  fnirAtFpir: Record<typeof FPIR, Interval>;
}

export interface MeasuredRates extends Rates {
  ci95: Intervals;
}

/** Rates of a table, each palm counted once, and their intervals. */
export function measureRates(table: SimilarityTable): MeasuredRates {
  const ratesOf = openRates(table);
  const once = new Float64Array(table.palms).fill(1);
  return { ...ratesOf(once), ci95: intervals(ratesOf, table) };
}

function intervals(
  ratesOf: (drawn: Float64Array) => Rates,
  { palms, probePalms }: SimilarityTable,
): Intervals {
  const random = seeded(SEED);
  const probed = [...new Set(probePalms)];
  const all: Rates[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const drawn = drawPalms(palms, random);
    // Where there are few palms, a draw may be of one alone, without strangers, or of palms without a probe.
    const hasStrangers = drawn.filter((times) => times > 0).length > 1;
    if (hasStrangers && probed.some((palm) => drawn[palm] !== 0)) all.push(ratesOf(drawn));
  }
  const tar = (far: Far): Interval | null => {
    const values = all.map(({ tarAtFar }) => tarAtFar[far]).filter((each) => each !== null);
    return values.length > 0 ? middle95(values) : null;
  };
  return {
    eer: middle95(all.map(({ eer }) => eer)),
    tarAtFar: {
      "1e-2": tar("1e-2"),
      "1e-3": tar("1e-3"),
      "1e-4": tar("1e-4"),
      "1e-5": tar("1e-5"),
      "1e-6": tar("1e-6"),
    },
    rank1: middle95(all.map(({ rank1 }) => rank1)),
    fnirAtFpir: { [FPIR]: middle95(all.map(({ fnirAtFpir }) => fnirAtFpir[FPIR])) },
  };
}

/** With replacement, as many as there are: how often each was drawn. */
function drawPalms(palms: number, random: () => number): Float64Array {
  const drawn = new Float64Array(palms);
  for (let i = 0; i < palms; i++) {
    const palm = Math.floor(random() * palms);
    drawn[palm] = (drawn[palm] as number) + 1;
  }
  return drawn;
}

function middle95(values: readonly number[]): Interval {
  const sorted = Float64Array.from(values).sort();
  const at = (q: number) => sorted[Math.round(q * (sorted.length - 1))] ?? Number.NaN;
  return [at(0.025), at(0.975)];
}
