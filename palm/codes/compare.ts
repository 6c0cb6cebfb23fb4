// How far a probe's codes are from templates', in two steps: near() looks at every template, far() at the few that are
// nearest by that. Whole numbers, the smaller the more alike; distances of the same probe can be compared wherever they
// were counted.
//
//   near = both(spectra) + bits of the vector's signs that differ
//   far  = both(spectra) + both(grids)
//   both(x) = min + min + max of the two frames: an aligner errs, and the frame that fits better says more
//
// A frame's distance is that of the look that fits best; of grids only bits in the template's mask count.
//
// Invariants:
// - nothing of a palm stays in the module's memory: it is zeroed before withProbe() ends, also by an error;
// - the result depends on the probe and that template only.
import { codesWasm } from "../generated/codes-wasm.js";
import { NEAR_WORDS, PROBE_CODE_WORDS, TEMPLATE_CODE_WORDS } from "./layout.js";

interface Kernel {
  memory: { readonly buffer: ArrayBuffer };
  probe: { readonly value: number };
  block: { readonly value: number };
  blockRows: { readonly value: number };
  distances: { readonly value: number };
  one: { readonly value: number };
  near(rows: number): void;
  far(): number;
}

/** The part of the global that is used here: Node's types leave it to the browser's. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object) => { exports: unknown };
};

const kernel = new WebAssembly.Instance(new WebAssembly.Module(codesWasm)).exports as Kernel;
const { buffer } = kernel.memory;
/** Templates that near() takes at once. */
export const BLOCK_ROWS = kernel.blockRows.value;
const palms = new Uint8Array(buffer);
const probeWords = new Uint32Array(buffer, kernel.probe.value, PROBE_CODE_WORDS);
const blockWords = new Uint32Array(buffer, kernel.block.value, BLOCK_ROWS * NEAR_WORDS);
const distances = new Uint32Array(buffer, kernel.distances.value, BLOCK_ROWS);
const oneWords = new Uint32Array(buffer, kernel.one.value, TEMPLATE_CODE_WORDS);

export interface CodeComparer {
  /**
   * @param rows the near words of templates, one after another: BLOCK_ROWS of them at most
   * @returns a distance for each, good until the next call
   */
  near(rows: Uint32Array): Uint32Array;
  /** @param near and `far` words of one template */
  far(near: Uint32Array, far: Uint32Array): number;
}

/**
 * Compares with one probe, during the call of `compare` only.
 * @param probe PROBE_CODE_WORDS
 * @throws RangeError for a length that is not so
 */
export function withProbe<T>(probe: Uint32Array, compare: (comparer: CodeComparer) => T): T {
  if (probe.length !== PROBE_CODE_WORDS)
    throw new RangeError(`a probe's codes have ${PROBE_CODE_WORDS} words`);
  try {
    probeWords.set(probe);
    return compare({ near, far });
  } finally {
    palms.fill(0);
  }
}

/** The distances of some templates, all words of each: near, then far. */
export function codeDistances(
  probe: Uint32Array,
  templates: readonly Uint32Array[],
): { near: number; far: number }[] {
  return withProbe(probe, (comparer) =>
    templates.map((codes) => {
      const [nearWords, farWords] = [codes.subarray(0, NEAR_WORDS), codes.subarray(NEAR_WORDS)];
      return { near: comparer.near(nearWords)[0] as number, far: comparer.far(nearWords, farWords) };
    }),
  );
}

/** The module's memory: for tests that look at every byte. */
export const codesMemory = (): Uint8Array => palms;

function near(rows: Uint32Array): Uint32Array {
  const count = rows.length / NEAR_WORDS;
  if (!Number.isInteger(count) || count > BLOCK_ROWS) {
    throw new RangeError(`near words come ${NEAR_WORDS} a template, ${BLOCK_ROWS} templates at most`);
  }
  if (count === 0) return distances.subarray(0, 0);
  blockWords.set(rows);
  kernel.near(count);
  return distances.subarray(0, count);
}

function far(nearWords: Uint32Array, farWords: Uint32Array): number {
  if (nearWords.length + farWords.length !== TEMPLATE_CODE_WORDS || nearWords.length !== NEAR_WORDS) {
    throw new RangeError(`a template's codes have ${TEMPLATE_CODE_WORDS} words, ${NEAR_WORDS} of them near`);
  }
  oneWords.set(nearWords);
  oneWords.set(farWords, NEAR_WORDS);
  return kernel.far();
}
