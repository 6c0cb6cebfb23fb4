// The shelf of line maps: what it gives back, what it refuses, and that an erased map is nowhere in it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type LineShelf, openLineShelf } from "../../matcher/index/line-shelf.js";
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";

/** A map whose every word says whose it is. */
const mapOf = (label: number) => new Uint32Array(TEMPLATE_LINES_WORDS).fill(label + 1);
const wordsOf = (blocks: readonly Uint8Array[]) =>
  blocks.flatMap(({ buffer }) => Array.from(new Uint32Array(buffer as ArrayBuffer)));

const bytesOf = (shelf: LineShelf) => shelf.bytes().reduce((sum, { length }) => sum + length, 0);

describe("a line shelf", () => {
  it("holds the maps of the labels added and not erased, and not a bit besides", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ label: fc.nat(30), erase: fc.boolean() })), (steps) => {
        const shelf = openLineShelf();
        const present = new Set<number>();
        for (const { label, erase } of steps) {
          if (erase) expect(shelf.erase(label)).toBe(present.delete(label));
          else if (!present.has(label)) {
            shelf.add(label, mapOf(label));
            present.add(label);
          }
        }
        for (const label of present) expect(shelf.mapOf(label)).toEqual(mapOf(label));
        const left = new Map<number, number>();
        for (const word of wordsOf(shelf.bytes())) left.set(word, (left.get(word) ?? 0) + 1);
        left.delete(0);
        expect(left).toEqual(new Map([...present].map((label) => [label + 1, TEMPLATE_LINES_WORDS])));
      }),
      { numRuns: 20 },
    );
  });

  it("grows by blocks, and moves nothing that it holds", () => {
    const shelf = openLineShelf();
    shelf.add(0, mapOf(0));
    const first = shelf.mapOf(0);
    const fitting = bytesOf(shelf) / (TEMPLATE_LINES_WORDS * 4);
    for (let label = 1; label <= fitting; label++) shelf.add(label, mapOf(label));
    expect(shelf.bytes()).toHaveLength(2);
    expect(shelf.mapOf(0).buffer).toBe(first.buffer);
    for (let label = 0; label <= fitting; label++) expect(shelf.mapOf(label)).toEqual(mapOf(label));
  });

  it("takes no more memory for enrolling and erasing for ever", () => {
    const shelf = openLineShelf();
    shelf.add(0, mapOf(0));
    const held = bytesOf(shelf);
    const fitting = held / (TEMPLATE_LINES_WORDS * 4);
    for (let label = 1; label < 3 * fitting; label++) {
      shelf.erase(label - fitting);
      shelf.add(label, mapOf(label));
    }
    expect(bytesOf(shelf)).toBe(held);
  });

  it("copies what it is given", () => {
    const shelf = openLineShelf();
    const map = mapOf(7);
    shelf.add(7, map);
    map.fill(0);
    expect(shelf.mapOf(7)).toEqual(mapOf(7));
  });

  it("refuses a map of another length, a label twice and a label that is not there", () => {
    const shelf = openLineShelf();
    shelf.add(1, mapOf(1));
    expect(() => shelf.add(2, mapOf(2).subarray(1))).toThrow(RangeError);
    expect(() => shelf.add(1, mapOf(1))).toThrow(/already/);
    expect(() => shelf.mapOf(2)).toThrow(RangeError);
    expect(shelf.erase(2)).toBe(false);
  });
});
