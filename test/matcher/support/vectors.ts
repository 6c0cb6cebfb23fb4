// Seeded unit vectors for tests.
import { gaussian, unit } from "../../../bench/seeded.js";

export { randomUnit, seeded } from "../../../bench/seeded.js";

/** Another capture of the same palm: the vector with noise of the given strength, unit length again. */
export function noisy(random: () => number, vector: Float32Array, strength: number): Float32Array {
  const scale = strength / Math.sqrt(vector.length);
  return unit(Array.from(vector, (each) => each + gaussian(random) * scale));
}

export function dotProduct(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);
}
