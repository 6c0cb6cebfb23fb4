// The line maps of a partition's templates, by label: what the second stage of a search compares.
//
// Invariants:
// - maps lie side by side in one array; an erased row is zeroed at once and used again first;
// - a label is on the shelf once, from add() until erase(); growth leaves nothing in the old array.
import { MAP_WORDS } from "../../palm/lines/line-map.js";

const FIRST_CAPACITY = 1024;
const GROWTH_FACTOR = 2;

export interface LineShelf {
  /** Copies the map. @param label not on the shelf now @throws RangeError for a map of another length */
  add(label: number, map: Uint32Array): void;
  /** Overwrites the label's map with zeros and forgets it. @returns false when it was not there */
  erase(label: number): boolean;
  /** A view on the label's map, good until the shelf changes. @throws RangeError for a label that is not there */
  mapOf(label: number): Uint32Array;
  /** The bytes it holds: for tests that look at every one of them. */
  bytes(): Uint8Array;
}

export function openLineShelf(): LineShelf {
  let words = new Uint32Array(FIRST_CAPACITY * MAP_WORDS);
  const rows = new Map<number, number>();
  const free: number[] = [];

  const makeRoom = (): number => {
    const reused = free.pop();
    if (reused !== undefined) return reused;
    const row = rows.size;
    if ((row + 1) * MAP_WORDS > words.length) {
      const larger = new Uint32Array(words.length * GROWTH_FACTOR);
      larger.set(words);
      words.fill(0);
      words = larger;
    }
    return row;
  };

  return {
    add(label, map) {
      if (map.length !== MAP_WORDS) throw new RangeError(`a template's line map has ${MAP_WORDS} words`);
      if (rows.has(label)) throw new RangeError(`label ${label} is on the shelf already`);
      const row = makeRoom();
      words.set(map, row * MAP_WORDS);
      rows.set(label, row);
    },
    erase(label) {
      const row = rows.get(label);
      if (row === undefined) return false;
      words.fill(0, row * MAP_WORDS, (row + 1) * MAP_WORDS);
      rows.delete(label);
      free.push(row);
      return true;
    },
    mapOf(label) {
      const row = rows.get(label);
      if (row === undefined) throw new RangeError(`label ${label} is not on the shelf`);
      return words.subarray(row * MAP_WORDS, (row + 1) * MAP_WORDS);
    },
    bytes: () => new Uint8Array(words.buffer),
  };
}
