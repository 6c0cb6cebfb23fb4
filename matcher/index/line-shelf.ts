// The line maps of a segment's templates, by label: what the second stage of a search compares.
//
// Invariants:
// - maps lie in blocks; an erased row is zeroed at once and used again first;
// - a label is on the shelf once, from add() until erase(); growth is one more block, and copies nothing.
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";

const BLOCK_ROWS = 1024;

export interface LineShelf {
  /** Copies the map. @param label not on the shelf now @throws RangeError for a map of another length */
  add(label: number, map: Uint32Array): void;
  /** Overwrites the label's map with zeros and forgets it. @returns false when it was not there */
  erase(label: number): boolean;
  /** A view on the label's map, good until the label is erased. @throws RangeError for a label that is not there */
  mapOf(label: number): Uint32Array;
  /** The bytes it holds, by block: for tests that look at every one of them. */
  bytes(): Uint8Array[];
}

export function openLineShelf(): LineShelf {
  const blocks: Uint32Array[] = [];
  const rows = new Map<number, number>();
  const free: number[] = [];

  const makeRoom = (): number => {
    const reused = free.pop();
    if (reused !== undefined) return reused;
    const row = rows.size;
    if (row === blocks.length * BLOCK_ROWS) blocks.push(new Uint32Array(BLOCK_ROWS * TEMPLATE_LINES_WORDS));
    return row;
  };
  const at = (row: number): Uint32Array => {
    const first = (row % BLOCK_ROWS) * TEMPLATE_LINES_WORDS;
    return (blocks[Math.floor(row / BLOCK_ROWS)] as Uint32Array).subarray(
      first,
      first + TEMPLATE_LINES_WORDS,
    );
  };

  return {
    add(label, map) {
      if (map.length !== TEMPLATE_LINES_WORDS)
        throw new RangeError(`a template's line maps have ${TEMPLATE_LINES_WORDS} words`);
      if (rows.has(label)) throw new RangeError(`label ${label} is on the shelf already`);
      const row = makeRoom();
      at(row).set(map);
      rows.set(label, row);
    },
    erase(label) {
      const row = rows.get(label);
      if (row === undefined) return false;
      at(row).fill(0);
      rows.delete(label);
      free.push(row);
      return true;
    },
    mapOf(label) {
      const row = rows.get(label);
      if (row === undefined) throw new RangeError(`label ${label} is not on the shelf`);
      return at(row);
    },
    bytes: () => blocks.map(({ buffer }) => new Uint8Array(buffer)),
  };
}
