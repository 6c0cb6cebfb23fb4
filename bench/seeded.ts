// Seeded random numbers and unit vectors: the same on every machine, for benches and tests.

/** Mulberry32: a small seeded generator of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One draw from the standard normal distribution (Box and Muller, 1958). */
export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** The vector scaled to length 1. */
export function unit(values: ArrayLike<number>): Float32Array {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] ?? 0) ** 2;
  const length = Math.sqrt(squares);
  return Float32Array.from(values, (each) => each / length);
}

/** Uniform on the unit sphere. */
export function randomUnit(random: () => number, dimension: number): Float32Array {
  return unit(Float64Array.from({ length: dimension }, () => gaussian(random)));
}
