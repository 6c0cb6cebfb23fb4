// What an index of the vectors of signatures does, whichever engine is behind it.
//
// Invariants of every engine:
// - similarity is the dot product of unit vectors, -1..1, the larger the more alike;
// - a label is in the index once, from add() until erase(); erase() leaves none of its numbers in the index;
// - a search returns min(k, size) different labels, best first, and never an erased one;
// - a vector of another length, or with a number that is not finite, never gets in: that is the caller's bug.

export interface Hit {
  label: number;
  similarity: number;
}

export interface SignatureIndex {
  readonly dimension: number;
  /** Labels that a search can find. */
  readonly size: number;
  /** Labels that fit before the engine takes more memory; it grows by itself. */
  readonly capacity: number;
  /** @param label uint32, not in the index now @throws RangeError for a vector that `vectorFault` objects to */
  add(label: number, vector: Float32Array): void;
  /** Overwrites the label's numbers with zeros and forgets it. @returns false when it was not there */
  erase(label: number): boolean;
  search(probe: Float32Array, k: number): Hit[];
  /** Of one label. @throws RangeError for a label that is not there */
  similarityTo(label: number, probe: Float32Array): number;
}

export type VectorFault = "LENGTH" | "NOT_FINITE" | "NOT_UNIT";

/** How far from 1 the length of a unit vector of float32 may be. */
const UNIT_TOLERANCE = 1e-3;

/** What is wrong with a signature's vector; `undefined` when nothing is. */
export function vectorFault(vector: Float32Array, dimension: number): VectorFault | undefined {
  if (vector.length !== dimension) return "LENGTH";
  let squares = 0;
  // By index: for-of takes several times as long here, and this runs twice for every search of every segment.
  for (let i = 0; i < vector.length; i++) squares += (vector[i] as number) ** 2;
  if (!Number.isFinite(squares)) return "NOT_FINITE";
  return Math.abs(Math.sqrt(squares) - 1) > UNIT_TOLERANCE ? "NOT_UNIT" : undefined;
}

/** @throws RangeError with the fault */
export function requireSignature(vector: Float32Array, dimension: number): void {
  const fault = vectorFault(vector, dimension);
  if (fault) throw new RangeError(`not a unit vector of ${dimension} numbers: ${fault}`);
}
