// Tail of the similarities of different palms, fitted by peaks over a threshold. Pure.
//
// Beyond a high similarity, excesses follow a generalised Pareto distribution (Pickands, Annals of Statistics 1975),
// whatever the similarities themselves follow. Its shape and scale come from the excesses' probability-weighted moments
// (Hosking and Wallis, Technometrics 1987), which a few hundred excesses bear.
//
// Invariant: no shape below 0. Similarities are bounded, so a negative one is to be expected, but it would state that
// beyond some similarity there is nobody; the exponential tail (shape 0) of the same mean is taken then, which states
// higher rates further out.

/** By Hosking and Wallis: plotting position of the i-th of n is (i - 0.35) / n. */
const PLOTTING = 0.35;

/** @param excesses over the threshold, positive, in any order; two at least */
export function fitTail(excesses: Float64Array): { shape: number; scale: number } {
  const sorted = excesses.slice().sort();
  const n = sorted.length;
  let [mean, weighted] = [0, 0];
  for (const [i, excess] of sorted.entries()) {
    mean += excess / n;
    weighted += (excess * (1 - (i + 1 - PLOTTING) / n)) / n;
  }
  const spread = mean - 2 * weighted;
  const shape = 2 - mean / spread;
  return shape > 0 ? { shape, scale: (2 * mean * weighted) / spread } : { shape: 0, scale: mean };
}
