// Seeded unit vectors and signatures for tests.
import { gaussian, randomUnit, unit } from "../../../bench/seeded.js";
import { PROBE_CODE_WORDS } from "../../../palm/codes/layout.js";
import { FRAMES_FIELD_NUMBERS, framedLineMaps } from "../../../palm/lines/frames.js";
import type { Signature } from "../../../palm/signature.js";

export { randomUnit, seeded } from "../../../bench/seeded.js";

/** Another capture of the same palm: the vector with noise of the given strength, unit length again. */
export function noisy(random: () => number, vector: Float32Array, strength: number): Float32Array {
  const scale = strength / Math.sqrt(vector.length);
  return unit(Array.from(vector, (each) => each + gaussian(random) * scale));
}

export function dotProduct(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);
}

/** A signature of a model that makes no line maps. */
export const ofVector = (vector: Float32Array): Signature => ({
  vector,
  lines: new Uint32Array(),
  codes: new Uint32Array(),
});

/** A probe of a palm that is like no other, with line maps and codes. */
export function randomProbe(random: () => number, dimension: number): Signature {
  const fields = Float32Array.from({ length: FRAMES_FIELD_NUMBERS }, () => gaussian(random));
  const codes = Uint32Array.from({ length: PROBE_CODE_WORDS }, () => Math.floor(random() * 2 ** 32));
  return { vector: randomUnit(random, dimension), lines: framedLineMaps(fields), codes };
}

export const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
