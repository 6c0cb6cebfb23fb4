// How alike two palms' line maps are: a probe's maps (line-map.ts), one for each pose, are laid onto a template's map at
// every shift, and the best of all these alignments counts. Coarse to fine: coarse maps at every pose and shift first,
// then the fine maps about the REFINED best of these.
//
// The alignments are tried in compare.wat, SIMD code: there are more than a thousand for each template.
//
// Invariants:
// - nothing of a palm stays in the module's memory: it is zeroed before a comparison ends, also by an error;
// - the result depends on the probe and that template only.
import { compareWasm } from "../generated/compare-wasm.js";
import { COARSE_SIDE, DIRECTION_PLANES, FINE_SIDE, MAP_WORDS, PROBE_POSES, PROBE_WORDS } from "./line-map.js";

/** Shifts tried, in coarse cells, to all sides; the numbers of compare.wat. */
const COARSE_REACH = 3;
const COARSE_SHIFTS = 2 * COARSE_REACH + 1;
const FINE_PER_COARSE = FINE_SIDE / COARSE_SIDE;
/** How far two palms may be apart in the end, in fine cells, to all sides. */
export const MAX_SHIFT_CELLS = COARSE_REACH * FINE_PER_COARSE + 1;
/** Coarse alignments whose neighbourhood is tried with fine maps. */
export const REFINED = 16;
/** Share of a map from which on more cells that both show count for no more. */
export const ENOUGH_SHOWN = 0.8;

interface Kernel {
  memory: { readonly buffer: ArrayBuffer };
  fineTable: { readonly value: number };
  coarseTable: { readonly value: number };
  template: { readonly value: number };
  scores: { readonly value: number };
  probe: { readonly value: number };
  spread(): void;
  coarse(poses: number): void;
  fine(pose: number, x: number, y: number): number;
}

/** The part of the global that is used here: Node's types leave it to the browser's. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object) => { exports: unknown };
};

const kernel = new WebAssembly.Instance(new WebAssembly.Module(compareWasm)).exports as Kernel;
const { buffer } = kernel.memory;
const palms = new Uint32Array(buffer, kernel.template.value);
const probeMaps = new Uint32Array(buffer, kernel.probe.value, PROBE_WORDS);
const templateMap = new Uint32Array(buffer, kernel.template.value, MAP_WORDS);
const scores = new Float32Array(buffer, kernel.scores.value, PROBE_POSES * COARSE_SHIFTS ** 2);
writeWeights(kernel.fineTable.value, FINE_SIDE);
writeWeights(kernel.coarseTable.value, COARSE_SIDE);
if (kernel.scores.value + scores.byteLength > kernel.probe.value) {
  throw new Error("compare.wat has no room for the scores of so many poses");
}

/**
 * How alike a probe is to each of some templates: -1 .. 1, the larger the more alike.
 *
 * An alignment's score is the agreement of the direction bits of the cells shown in both (1 - 2 * the share that
 * differs), times the root of how many these are of 80 % of a map, at most 1; 0 where nothing is shown in both.
 * @param probe PROBE_WORDS: the maps of all poses
 * @param templates of each the first MAP_WORDS words count, which is its first map
 * @throws RangeError for a length that is not so
 */
export function compareLines(probe: Uint32Array, templates: readonly Uint32Array[]): Float32Array {
  if (probe.length !== PROBE_WORDS) throw new RangeError(`a probe's line maps have ${PROBE_WORDS} words`);
  if (templates.some(({ length }) => length < MAP_WORDS)) {
    throw new RangeError(`a template's line map has ${MAP_WORDS} words`);
  }
  try {
    probeMaps.set(probe);
    return Float32Array.from(templates, bestScore);
  } finally {
    palms.fill(0);
  }
}

/** compareLines() with one template. */
export function lineSimilarity(probe: Uint32Array, template: Uint32Array): number {
  return compareLines(probe, [template])[0] as number;
}

/** The part of the module's memory where palms are compared: for tests that look at every byte. */
export function linesMemory(): Uint8Array {
  return new Uint8Array(palms.buffer, palms.byteOffset, palms.byteLength);
}

/** The score at the best alignment found of the probe in memory. */
function bestScore(template: Uint32Array): number {
  templateMap.set(template.subarray(0, MAP_WORDS));
  kernel.spread();
  kernel.coarse(PROBE_POSES);
  let best = -1;
  for (const at of bestCoarse()) {
    const pose = Math.floor(at / COARSE_SHIFTS ** 2);
    const right = (Math.floor(at / COARSE_SHIFTS) % COARSE_SHIFTS) - COARSE_REACH;
    const down = (at % COARSE_SHIFTS) - COARSE_REACH;
    best = Math.max(best, kernel.fine(pose, right * FINE_PER_COARSE, down * FINE_PER_COARSE));
  }
  return best;
}

/** Where the REFINED highest scores are; of equals the earlier ones. */
function bestCoarse(): number[] {
  const best: number[] = [];
  let lowest = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < scores.length; at++) {
    const score = scores[at] as number;
    if (best.length === REFINED && score <= lowest) continue;
    if (best.length === REFINED) best.pop();
    let place = best.length;
    while (place > 0 && (scores[best[place - 1] as number] as number) < score) place--;
    best.splice(place, 0, at);
    lowest = scores[best[best.length - 1] as number] as number;
  }
  return best;
}

/** For every number of cells shown in both: the score when no bit differs, and what each one that does takes off. */
function writeWeights(at: number, side: number): void {
  const table = new Float32Array(buffer, at, 2 * (side * side + 1));
  for (let cells = 1; cells <= side * side; cells++) {
    const whole = Math.sqrt(Math.min(1, cells / (ENOUGH_SHOWN * side * side)));
    table[2 * cells] = whole;
    table[2 * cells + 1] = (2 * whole) / (DIRECTION_PLANES * cells);
  }
}
