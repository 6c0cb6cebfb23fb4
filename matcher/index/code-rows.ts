// The codes of an index's templates, by label, laid out for palm/codes to walk through.
//
// Invariants:
// - rows lie in blocks; an erased row is zeroed at once and used again first; growth is one more block, and copies nothing;
// - a label is here once, from add() until erase().
import { BLOCK_ROWS } from "../../palm/codes/compare.js";
import { FAR_WORDS, NEAR_WORDS, TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";

/** Instead of the label of a row that is nobody's. */
export const NO_LABEL = -1;

interface Block {
  near: Uint32Array;
  far: Uint32Array;
  labels: Int32Array;
}

export interface CodeRows {
  /** Labels. */
  readonly size: number;
  /** Rows that are in use, or once were. */
  readonly used: number;
  /** Copies the codes. @param label not here now @throws RangeError for codes of another length */
  add(label: number, codes: Uint32Array): void;
  /** Overwrites the label's codes with zeros and forgets it. @returns false when it was not there */
  erase(label: number): boolean;
  /** NO_LABEL where nobody is. */
  labelAt(row: number): number;
  /** Near words of up to BLOCK_ROWS rows from `first` on, which begins a block. */
  nearFrom(first: number): Uint32Array;
  /** Near and far words of one row. */
  at(row: number): { near: Uint32Array; far: Uint32Array };
  /** The bytes it holds, by block: for tests that look at every one of them. */
  bytes(): Uint8Array[];
}

const newBlock = (): Block => ({
  near: new Uint32Array(BLOCK_ROWS * NEAR_WORDS),
  far: new Uint32Array(BLOCK_ROWS * FAR_WORDS),
  labels: new Int32Array(BLOCK_ROWS).fill(NO_LABEL),
});

export function openCodeRows(): CodeRows {
  const blocks: Block[] = [];
  const rows = new Map<number, number>();
  const free: number[] = [];
  let used = 0;

  const blockOf = (row: number): Block => blocks[Math.floor(row / BLOCK_ROWS)] as Block;
  const at = (row: number) => {
    const { near, far } = blockOf(row);
    const i = row % BLOCK_ROWS;
    return {
      near: near.subarray(i * NEAR_WORDS, (i + 1) * NEAR_WORDS),
      far: far.subarray(i * FAR_WORDS, (i + 1) * FAR_WORDS),
    };
  };
  const makeRoom = (): number => {
    const reused = free.pop();
    if (reused !== undefined) return reused;
    if (used === blocks.length * BLOCK_ROWS) blocks.push(newBlock());
    return used++;
  };

  return {
    get size() {
      return rows.size;
    },
    get used() {
      return used;
    },
    add(label, codes) {
      if (codes.length !== TEMPLATE_CODE_WORDS) {
        throw new RangeError(`a template's codes have ${TEMPLATE_CODE_WORDS} words`);
      }
      if (rows.has(label)) throw new RangeError(`label ${label} is in the index already`);
      const row = makeRoom();
      const { near, far } = at(row);
      near.set(codes.subarray(0, NEAR_WORDS));
      far.set(codes.subarray(NEAR_WORDS));
      blockOf(row).labels[row % BLOCK_ROWS] = label;
      rows.set(label, row);
    },
    erase(label) {
      const row = rows.get(label);
      if (row === undefined) return false;
      const { near, far } = at(row);
      near.fill(0);
      far.fill(0);
      blockOf(row).labels[row % BLOCK_ROWS] = NO_LABEL;
      rows.delete(label);
      free.push(row);
      return true;
    },
    labelAt: (row) => blockOf(row).labels[row % BLOCK_ROWS] as number,
    nearFrom: (first) => blockOf(first).near.subarray(0, Math.min(BLOCK_ROWS, used - first) * NEAR_WORDS),
    at,
    bytes: () => blocks.flatMap(({ near, far }) => [new Uint8Array(near.buffer), new Uint8Array(far.buffer)]),
  };
}
