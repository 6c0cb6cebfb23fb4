// The exact engine: every signature is compared. The oracle for the graph, and an engine for small galleries.
//
// Invariants (beside those of signature-index.ts):
// - signatures lie side by side in one array; an erased row is zeroed and used again first;
// - it shares no code with hnswlib, so that agreement between the two means something.
import { type Hit, requireSignature, type SignatureIndex } from "./signature-index.js";

const FIRST_CAPACITY = 1024;
const GROWTH_FACTOR = 2;
const NO_LABEL = -1;

export interface ExactIndex extends SignatureIndex {
  /** The bytes it holds: for tests that look at every one of them. */
  bytes(): Uint8Array;
}

export function openExactIndex(dimension: number): ExactIndex {
  let numbers = new Float32Array(FIRST_CAPACITY * dimension);
  const labels: number[] = [];
  const rows = new Map<number, number>();
  const free: number[] = [];

  const makeRoom = (): number => {
    const reused = free.pop();
    if (reused !== undefined) return reused;
    const row = labels.length;
    if ((row + 1) * dimension > numbers.length) {
      const larger = new Float32Array(numbers.length * GROWTH_FACTOR);
      larger.set(numbers);
      numbers.fill(0);
      numbers = larger;
    }
    labels.push(NO_LABEL);
    return row;
  };

  return {
    dimension,
    get size() {
      return rows.size;
    },
    get capacity() {
      return numbers.length / dimension;
    },
    add(label, vector) {
      requireSignature(vector, dimension);
      if (rows.has(label)) throw new RangeError(`label ${label} is in the index already`);
      const row = makeRoom();
      numbers.set(vector, row * dimension);
      labels[row] = label;
      rows.set(label, row);
    },
    erase(label) {
      const row = rows.get(label);
      if (row === undefined) return false;
      numbers.fill(0, row * dimension, (row + 1) * dimension);
      labels[row] = NO_LABEL;
      rows.delete(label);
      free.push(row);
      return true;
    },
    search(probe, k) {
      requireSignature(probe, dimension);
      const best = new BestHits(Math.min(k, rows.size));
      for (let row = 0; row < labels.length; row++) {
        const label = labels[row] ?? NO_LABEL;
        if (label !== NO_LABEL) best.offer(label, dot(numbers, row * dimension, probe));
      }
      return best.sorted();
    },
    similarityTo(label, probe) {
      const row = rows.get(label);
      if (row === undefined) throw new RangeError(`label ${label} is not in the index`);
      return dot(numbers, row * dimension, probe);
    },
    bytes: () => new Uint8Array(numbers.buffer),
  };
}

/** Dot product of `probe` with the numbers from `offset` on. Four sums, so that the CPU need not wait for one. */
function dot(numbers: Float32Array, offset: number, probe: Float32Array): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const even = probe.length & ~3;
  for (let i = 0, j = offset; i < even; i += 4, j += 4) {
    a += (numbers[j] as number) * (probe[i] as number);
    b += (numbers[j + 1] as number) * (probe[i + 1] as number);
    c += (numbers[j + 2] as number) * (probe[i + 2] as number);
    d += (numbers[j + 3] as number) * (probe[i + 3] as number);
  }
  for (let i = even; i < probe.length; i++) a += (numbers[offset + i] as number) * (probe[i] as number);
  return a + b + c + d;
}

/** Keeps the k best hits: a sorted list, as k is small. Equal similarities are ordered by label. */
class BestHits {
  readonly #hits: Hit[] = [];
  readonly #k: number;
  constructor(k: number) {
    this.#k = k;
  }
  offer(label: number, similarity: number): void {
    const last = this.#hits[this.#k - 1];
    if (this.#k === 0 || (last !== undefined && !better(similarity, label, last))) return;
    let at = Math.min(this.#hits.length, this.#k - 1);
    for (; at > 0; at--) {
      const above = this.#hits[at - 1];
      if (above === undefined || !better(similarity, label, above)) break;
      this.#hits[at] = above;
    }
    this.#hits[at] = { label, similarity };
  }
  sorted(): Hit[] {
    return this.#hits;
  }
}

const better = (similarity: number, label: number, than: Hit): boolean =>
  similarity > than.similarity || (similarity === than.similarity && label < than.label);
