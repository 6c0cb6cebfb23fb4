// The engine that misses nearly nobody: codes of every template are compared, in two steps, and line maps of the nearest.
//
// Exact search over compact codes (palm/codes): near words of all templates first, a fifth of a kilobyte each; then far
// words of the nearest of these. What is lost is lost by codes, never by a graph that was not walked far enough.
//
// Invariants (beside those of template-index.ts):
// - templates lie in blocks; an erased row is zeroed at once and used again first; growth is one more block, and copies
//   nothing;
// - the same templates and probe give the same answer, whatever the order in which they came and went.
import { BLOCK_ROWS, type CodeComparer, withProbe } from "../../palm/codes/compare.js";
import { FAR_WORDS, NEAR_WORDS, TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import { compareFrames } from "../../palm/lines/frames.js";
import { openLineShelf } from "./line-shelf.js";
import type { Near, TemplateIndex } from "./template-index.js";

/** Templates whose far words are compared: so many, or a share of all where that is more. */
export const FAR_TEMPLATES = 512;
export const FAR_SHARE = 0.04;
/** Near distances are below this: twice three times 512 bits hold them. */
const MAX_DISTANCE = 4096;
const NO_LABEL = -1;

export interface CodeIndex extends TemplateIndex {
  /** The bytes it holds, by block: for tests that look at every one of them. */
  bytes(): Uint8Array[];
}

interface Block {
  near: Uint32Array;
  far: Uint32Array;
  labels: Int32Array;
}

const newBlock = (): Block => ({
  near: new Uint32Array(BLOCK_ROWS * NEAR_WORDS),
  far: new Uint32Array(BLOCK_ROWS * FAR_WORDS),
  labels: new Int32Array(BLOCK_ROWS).fill(NO_LABEL),
});

const rowOf = (words: Uint32Array, row: number, width: number): Uint32Array =>
  words.subarray((row % BLOCK_ROWS) * width, ((row % BLOCK_ROWS) + 1) * width);

export function openCodeIndex(): CodeIndex {
  const blocks: Block[] = [];
  const shelf = openLineShelf();
  const rows = new Map<number, number>();
  const free: number[] = [];
  const blockOf = (row: number): Block => blocks[Math.floor(row / BLOCK_ROWS)] as Block;
  let used = 0;

  const makeRoom = (): number => {
    const reused = free.pop();
    if (reused !== undefined) return reused;
    if (used === blocks.length * BLOCK_ROWS) blocks.push(newBlock());
    return used++;
  };

  return {
    hasLines: true,
    get size() {
      return rows.size;
    },
    add(label, { lines, codes }) {
      if (codes.length !== TEMPLATE_CODE_WORDS) {
        throw new RangeError(`a template's codes have ${TEMPLATE_CODE_WORDS} words`);
      }
      shelf.add(label, lines);
      const row = makeRoom();
      const { near, far, labels } = blockOf(row);
      rowOf(near, row, NEAR_WORDS).set(codes.subarray(0, NEAR_WORDS));
      rowOf(far, row, FAR_WORDS).set(codes.subarray(NEAR_WORDS));
      labels[row % BLOCK_ROWS] = label;
      rows.set(label, row);
    },
    erase(label) {
      // Also where add() failed half-way.
      const shelved = shelf.erase(label);
      const row = rows.get(label);
      if (row === undefined) return shelved;
      const { near, far, labels } = blockOf(row);
      rowOf(near, row, NEAR_WORDS).fill(0);
      rowOf(far, row, FAR_WORDS).fill(0);
      labels[row % BLOCK_ROWS] = NO_LABEL;
      rows.delete(label);
      free.push(row);
      return true;
    },
    shortlist(probe, k) {
      const wanted = Math.min(k, rows.size);
      if (wanted <= 0) return [];
      const surviving = Math.max(wanted, FAR_TEMPLATES, Math.ceil(FAR_SHARE * rows.size));
      return withProbe(probe.codes, (comparer) => {
        const near = nearest(comparer, blocks, used, surviving).map((row) => {
          const { near: nearWords, far: farWords, labels } = blockOf(row);
          const distance = comparer.far(rowOf(nearWords, row, NEAR_WORDS), rowOf(farWords, row, FAR_WORDS));
          return { label: labels[row % BLOCK_ROWS] as number, distance };
        });
        return near.sort(byDistance).slice(0, wanted);
      });
    },
    compare: (probe, labels) =>
      compareFrames(
        probe.lines,
        labels.map((label) => shelf.mapOf(label)),
      ),
    bytes: () => [
      ...blocks.flatMap(({ near, far }) => [new Uint8Array(near.buffer), new Uint8Array(far.buffer)]),
      ...shelf.bytes(),
    ],
  };
}

/** Rows of the `wanted` least near distances, and of those that equal the last of them: the order of rows never shows. */
function nearest(comparer: CodeComparer, blocks: readonly Block[], used: number, wanted: number): number[] {
  const distances = new Uint16Array(used);
  const counts = new Uint32Array(MAX_DISTANCE);
  for (const [block, { near, labels }] of blocks.entries()) {
    const first = block * BLOCK_ROWS;
    const count = Math.min(BLOCK_ROWS, used - first);
    const found = comparer.near(near.subarray(0, count * NEAR_WORDS));
    for (let i = 0; i < count; i++) {
      const distance = labels[i] === NO_LABEL ? MAX_DISTANCE : (found[i] as number);
      distances[first + i] = distance;
      if (distance < MAX_DISTANCE) counts[distance] = (counts[distance] as number) + 1;
    }
  }
  let farthest = 0;
  for (let reached = counts[0] as number; reached < wanted && farthest < MAX_DISTANCE - 1; ) {
    reached += counts[++farthest] as number;
  }
  const rows: number[] = [];
  for (let row = 0; row < used; row++) if ((distances[row] as number) <= farthest) rows.push(row);
  return rows;
}

const byDistance = (a: Near, b: Near): number => a.distance - b.distance || a.label - b.label;
