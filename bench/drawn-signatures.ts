// Signatures drawn like real ones: tens of thousands of identities from a model fitted to a thousand signed ones.
//
// How: each of n synthetic palms is rendered and signed s times. The identities' means give one Gaussian (full
// covariance), the samples' deviations from their own mean give another (pooled, full covariance). A drawn identity is
// a draw from the first; each capture of it adds a draw from the second, as strong as that of a signed sample picked
// at random (some captures are much worse than others), and is scaled to unit length. Mated captures share the
// identity and nothing else. `describe` puts signed and drawn similarities side by side.

import { dot } from "../palm/index.js";
import { gaussian, unit } from "./seeded.js";

/** Added to the diagonal, relative to its mean, so that a covariance of few samples can be factored. */
const RIDGE = 1e-4;

export interface Gaussian {
  mean: Float64Array;
  /** Lower triangular factor of the covariance, row-major. */
  factor: Float64Array;
}

export interface SignatureSource {
  dimension: number;
  /** A new identity; each call of it gives another capture, of unit length. */
  identity(random: () => number): () => Float32Array;
}

/** @param identities captures by identity, at least two each */
export function fitSignatures(identities: readonly (readonly Float32Array[])[]): SignatureSource {
  const means = identities.map((captures) => meanOf(captures));
  const dimension = means[0]?.length ?? 0;
  const deviations = identities.flatMap((captures, i) =>
    captures.map((capture) => Float64Array.from(capture, (each, d) => each - (means[i]?.[d] ?? 0))),
  );
  const between = fitGaussian(means, means.length - 1);
  const within = fitGaussian(deviations, deviations.length - identities.length);
  const strengths = relativeLengths(deviations);
  return {
    dimension,
    identity: (random) => {
      const centre = draw(between, random);
      return () => {
        const noise = draw(within, random);
        const strength = strengths[Math.floor(random() * strengths.length)] ?? 1;
        return unit(centre.map((each, i) => each + strength * (noise[i] ?? 0)));
      };
    },
  };
}

/** Length of each row, relative to their root mean square. */
function relativeLengths(rows: readonly Float64Array[]): number[] {
  const squares = rows.map((row) => row.reduce((sum, each) => sum + each * each, 0));
  const meanSquare = squares.reduce((sum, each) => sum + each, 0) / squares.length;
  return squares.map((each) => Math.sqrt(each / meanSquare));
}

function meanOf(rows: readonly ArrayLike<number>[]): Float64Array {
  const mean = new Float64Array(rows[0]?.length ?? 0);
  for (const row of rows) for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] ?? 0) + (row[i] ?? 0);
  return mean.map((each) => each / rows.length);
}

/** @param freedom what the sums of squares are divided by */
export function fitGaussian(rows: readonly Float64Array[], freedom: number): Gaussian {
  const mean = meanOf(rows);
  const n = mean.length;
  const covariance = new Float64Array(n * n);
  for (const row of rows) {
    const centred = row.map((each, i) => each - (mean[i] ?? 0));
    for (let i = 0; i < n; i++) {
      const a = centred[i] ?? 0;
      for (let j = 0; j <= i; j++)
        covariance[i * n + j] = (covariance[i * n + j] ?? 0) + a * (centred[j] ?? 0);
    }
  }
  let trace = 0;
  for (let i = 0; i < n; i++) trace += covariance[i * n + i] ?? 0;
  const ridge = (RIDGE * trace) / n;
  for (let i = 0; i < n; i++) covariance[i * n + i] = (covariance[i * n + i] ?? 0) + ridge;
  return {
    mean,
    factor: cholesky(
      covariance.map((each) => each / freedom),
      n,
    ),
  };
}

/** L with L L' = the symmetric matrix whose lower half is given (Golub and Van Loan, Matrix Computations, 4.2). */
function cholesky(lower: Float64Array, n: number): Float64Array {
  const factor = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = lower[i * n + j] ?? 0;
      for (let k = 0; k < j; k++) sum -= (factor[i * n + k] ?? 0) * (factor[j * n + k] ?? 0);
      if (i === j && sum <= 0) throw new Error("covariance is not positive definite: sign more identities");
      factor[i * n + j] = i === j ? Math.sqrt(sum) : sum / (factor[j * n + j] ?? 1);
    }
  }
  return factor;
}

export function draw({ mean, factor }: Gaussian, random: () => number): Float64Array {
  const n = mean.length;
  const white = Float64Array.from({ length: n }, () => gaussian(random));
  const drawn = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = mean[i] ?? 0;
    for (let k = 0; k <= i; k++) sum += (factor[i * n + k] ?? 0) * (white[k] ?? 0);
    drawn[i] = sum;
  }
  return drawn;
}

export interface Similarities {
  /** Quantiles of mated pairs: 5 %, 50 %, 95 %. */
  mated: number[];
  /** Quantiles of non-mated pairs: 50 %, 99 %, 99.99 %. */
  nonMated: number[];
}

/** How alike captures are, within and between identities. */
export function describe(identities: readonly (readonly Float32Array[])[]): Similarities {
  const mated: number[] = [];
  const nonMated: number[] = [];
  for (const [i, captures] of identities.entries()) {
    const [first, second] = captures;
    if (first && second) mated.push(dot(first, second));
    for (const other of identities.slice(0, i)) {
      if (first && other[1]) nonMated.push(dot(first, other[1]));
    }
  }
  return { mated: quantiles(mated, [0.05, 0.5, 0.95]), nonMated: quantiles(nonMated, [0.5, 0.99, 0.9999]) };
}

function quantiles(values: number[], at: number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return at.map((q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN);
}
