// Seeded unit vectors for tests: the same on every machine.

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

export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export function unit(values: ArrayLike<number>): Float32Array {
  const length = Math.hypot(...Array.from(values));
  return Float32Array.from(values, (each) => each / length);
}

export function randomUnit(random: () => number, dimension: number): Float32Array {
  return unit(Array.from({ length: dimension }, () => gaussian(random)));
}

/** Another capture of the same palm: the vector with noise of the given strength, unit length again. */
export function noisy(random: () => number, vector: Float32Array, strength: number): Float32Array {
  const scale = strength / Math.sqrt(vector.length);
  return unit(Array.from(vector, (each) => each + gaussian(random) * scale));
}

export function dotProduct(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);
}
