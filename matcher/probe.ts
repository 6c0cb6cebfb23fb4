// A probe's numbers as they lie in a message: little-endian words, to be seen as numbers where they lie aligned, else
// copied. Whoever reads them wipes them.
import { vectorFault } from "./index/signature-index.js";

/** Of a float32 of a vector, and of a uint32 of line maps and codes. */
const WORD_BYTES = 4;

/** Of what a request does not have. */
export const NO_WORDS = new Uint32Array();

/** `undefined`: not finite, not of unit length, or not so many numbers. */
export function readVector(bytes: Uint8Array, dimension: number): Float32Array | undefined {
  if (bytes.length !== dimension * WORD_BYTES) return undefined;
  const { buffer, byteOffset } = aligned(bytes);
  const vector = new Float32Array(buffer, byteOffset, dimension);
  if (vectorFault(vector, dimension) === undefined) return vector;
  vector.fill(0);
  return undefined;
}

/** `undefined`: not so many words. */
export function readWords(bytes: Uint8Array, words: number): Uint32Array | undefined {
  if (bytes.length !== words * WORD_BYTES) return undefined;
  const { buffer, byteOffset } = aligned(bytes);
  return new Uint32Array(buffer, byteOffset, words);
}

function aligned(bytes: Uint8Array): Uint8Array {
  // Not slice(): NATS hands over a Buffer, whose slice is no copy.
  return bytes.byteOffset % WORD_BYTES === 0 ? bytes : new Uint8Array(bytes);
}
