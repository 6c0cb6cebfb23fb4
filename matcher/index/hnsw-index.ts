// The index that serves: hnswlib's graph over inner products.
//
// Invariants (beside those of signature-index.ts):
// - an erased slot is overwritten with zeros, read back, and only then marked deleted;
// - dead slots are used again once the index is full, so that enrolling and erasing for ever needs bounded memory;
// - one thread owns it: every call is synchronous.
import hnswlib from "hnswlib-node";
import { type Hit, requireSignature, type SignatureIndex } from "./signature-index.js";

// Tuned with `palmgate bench search`: at 50,000 members in one index the nearest member of a mated probe is exact
// search's in 99.9 of 100, and 99 of 100 of the nearest templates, of which line maps are compared, are found.
/** Links of a node. */
export const HNSW_LINKS = 32;
/** Candidates weighed when a node is linked in. */
export const HNSW_EF_CONSTRUCTION = 200;
/** Candidates kept while searching: recall against time. */
export const HNSW_EF_SEARCH = 400;

const FIRST_CAPACITY = 1024;
const GROWTH_FACTOR = 2;
const SEED = 100;
/** The engine may return fewer than asked without a word; asking for more widens its search. */
const MAX_WIDENINGS = 3;

export interface HnswParameters {
  links: number;
  efConstruction: number;
  efSearch: number;
}

const DEFAULTS: HnswParameters = {
  links: HNSW_LINKS,
  efConstruction: HNSW_EF_CONSTRUCTION,
  efSearch: HNSW_EF_SEARCH,
};

export interface HnswIndex extends SignatureIndex {
  /** Writes the raw index to a file: for tests that look at every byte it holds. */
  writeTo(file: string): void;
}

export function openHnswIndex(dimension: number, parameters: Partial<HnswParameters> = {}): HnswIndex {
  const { links, efConstruction, efSearch } = { ...DEFAULTS, ...parameters };
  const graph = new hnswlib.HierarchicalNSW("ip", dimension);
  graph.initIndex({
    maxElements: FIRST_CAPACITY,
    m: links,
    efConstruction,
    randomSeed: SEED,
    allowReplaceDeleted: true,
  });
  graph.setEf(efSearch);
  const live = new Set<number>();
  // The addon takes number[] only: one array for all calls, wiped after each.
  const numbers: number[] = new Array<number>(dimension).fill(0);
  const load = (vector: Float32Array): number[] => {
    for (let i = 0; i < dimension; i++) numbers[i] = vector[i] ?? 0;
    return numbers;
  };

  const makeRoom = (): { reuse: boolean } => {
    if (graph.getCurrentCount() < graph.getMaxElements()) return { reuse: false };
    if (live.size < graph.getCurrentCount()) return { reuse: true };
    graph.resizeIndex(graph.getMaxElements() * GROWTH_FACTOR);
    graph.setEf(efSearch);
    return { reuse: false };
  };

  const nearest = (asked: number): Hit[] => {
    const { distances, neighbors } = graph.searchKnn(numbers, Math.min(asked, graph.getMaxElements()));
    return neighbors.map((label, i) => ({ label, similarity: 1 - (distances[i] ?? Number.NaN) }));
  };

  return {
    dimension,
    get size() {
      return live.size;
    },
    get capacity() {
      return graph.getMaxElements();
    },
    add(label, vector) {
      requireSignature(vector, dimension);
      if (live.has(label)) throw new RangeError(`label ${label} is in the index already`);
      const { reuse } = makeRoom();
      try {
        graph.addPoint(load(vector), label, reuse);
      } finally {
        numbers.fill(0);
      }
      live.add(label);
    },
    erase(label) {
      if (!live.has(label)) return false;
      graph.addPoint(numbers.fill(0), label);
      if (graph.getPoint(label).some((each) => each !== 0)) {
        throw new Error(`slot of label ${label} still holds numbers after it was overwritten`);
      }
      graph.markDelete(label);
      live.delete(label);
      return true;
    },
    search(probe, k) {
      requireSignature(probe, dimension);
      const wanted = Math.min(k, live.size);
      if (wanted <= 0) return [];
      load(probe);
      let hits = nearest(wanted);
      for (let round = 0, asked = wanted; hits.length < wanted && round < MAX_WIDENINGS; round++) {
        asked = Math.max(asked, efSearch) * GROWTH_FACTOR;
        hits = nearest(asked).slice(0, wanted);
      }
      numbers.fill(0);
      return hits;
    },
    similarityTo(label, probe) {
      if (!live.has(label)) throw new RangeError(`label ${label} is not in the index`);
      const vector = graph.getPoint(label);
      const similarity = vector.reduce((sum, each, i) => sum + each * (probe[i] as number), 0);
      vector.fill(0);
      return similarity;
    },
    writeTo: (file) => graph.writeIndexSync(file),
  };
}
