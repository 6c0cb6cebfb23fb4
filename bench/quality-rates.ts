// Does a quality score predict matching? Pure.
//
// Every mated comparison has the quality of its worse image. Bins: how alike, and how often missed (FNMR), at each
// quality. Error versus discard (Grother and Tabassi, "Performance of biometric quality measures", 2007; ISO/IEC
// 29794-1): FNMR at a fixed threshold of what is left when the worst share is thrown away. A score that knows nothing
// leaves a level line; the ideal one falls to 0 at a discarded share of the FNMR itself.
//
// Invariants: the order of the comparisons does not matter; comparisons of one quality are thrown away alike.

export interface JudgedComparison {
  /** 0 .. 100 */
  quality: number;
  similarity: number;
}

export interface QualityBin {
  /** Whole scores from .. to, both counted in. */
  from: number;
  to: number;
  comparisons: number;
  /** null where there are none. */
  meanSimilarity: number | null;
  fnmr: number | null;
  /** Of fnmr (Wilson, 1927), as if comparisons were independent. */
  ci95: [number, number] | null;
}

/** The last one is for scores at which nothing costs. */
const BINS = [
  [0, 19],
  [20, 39],
  [40, 59],
  [60, 79],
  [80, 99],
  [100, 100],
] as const;
export const DISCARD_SHARES = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5] as const;
/** Standard normal quantile of 97.5 %. */
const Z95 = 1.96;

export function qualityBins(mated: readonly JudgedComparison[], threshold: number): QualityBin[] {
  return BINS.map(([from, to]) => {
    const inside = mated.filter(({ quality }) => quality >= from && quality <= to);
    const count = inside.length;
    if (count === 0) return { from, to, comparisons: 0, meanSimilarity: null, fnmr: null, ci95: null };
    const meanSimilarity = inside.reduce((sum, { similarity }) => sum + similarity, 0) / count;
    const missed = inside.filter(({ similarity }) => similarity < threshold).length;
    return {
      from,
      to,
      comparisons: count,
      meanSimilarity,
      fnmr: missed / count,
      ci95: wilson(missed, count),
    };
  });
}

function wilson(hits: number, trials: number): [number, number] {
  const share = hits / trials;
  const z2 = Z95 ** 2 / trials;
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (Z95 / (1 + z2)) * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** FNMR of the comparisons that are left when the worst share is thrown away. */
export function errorVersusDiscard(
  mated: readonly JudgedComparison[],
  threshold: number,
  shares: readonly number[] = DISCARD_SHARES,
): { discarded: number; fnmr: number }[] {
  const groups = [...byQuality(mated, threshold)].sort(([a], [b]) => b - a).map(([, group]) => group);
  return shares.map((discarded) => {
    const kept = (1 - discarded) * mated.length;
    let [room, missed] = [kept, 0];
    for (const { comparisons, misses } of groups) {
      const taken = Math.min(room, comparisons);
      missed += misses * (taken / comparisons);
      room -= taken;
    }
    return { discarded, fnmr: missed / kept };
  });
}

function byQuality(mated: readonly JudgedComparison[], threshold: number) {
  const groups = new Map<number, { comparisons: number; misses: number }>();
  for (const { quality, similarity } of mated) {
    const group = groups.get(quality) ?? { comparisons: 0, misses: 0 };
    group.comparisons += 1;
    if (similarity < threshold) group.misses += 1;
    groups.set(quality, group);
  }
  return groups;
}

/** Spearman's: 1 where a better quality always means more alike, 0 where it says nothing; NaN where nothing varies. */
export function rankCorrelation(mated: readonly JudgedComparison[]): number {
  const qualities = ranks(mated.map(({ quality }) => quality));
  const similarities = ranks(mated.map(({ similarity }) => similarity));
  const middle = (mated.length - 1) / 2;
  let [both, first, second] = [0, 0, 0];
  for (const [i, rank] of qualities.entries()) {
    const [a, b] = [rank - middle, (similarities[i] as number) - middle];
    both += a * b;
    first += a * a;
    second += b * b;
  }
  return both / Math.sqrt(first * second);
}

/** From 0; equal values share the mean of their ranks. */
function ranks(values: readonly number[]): Float64Array {
  const order = Uint32Array.from(values.keys()).sort((a, b) => (values[a] as number) - (values[b] as number));
  const out = new Float64Array(values.length);
  for (let from = 0, to = 0; from < order.length; from = to) {
    const value = values[order[from] as number];
    while (to < order.length && values[order[to] as number] === value) to++;
    for (let i = from; i < to; i++) out[order[i] as number] = (from + to - 1) / 2;
  }
  return out;
}

/** Lowest similarity that not more than a share `fmr` of the others reach. */
export function thresholdOf(nonMated: Float32Array, fmr: number): number {
  const falling = nonMated.slice().sort().reverse();
  const refused = falling[Math.floor(fmr * falling.length)] ?? Number.NEGATIVE_INFINITY;
  return falling.findLast((similarity) => similarity > refused) ?? nextAbove(refused);
}

/** The next float32 above. */
function nextAbove(value: number): number {
  return value + Math.max(Math.abs(value), 1) * 2 ** -23;
}
