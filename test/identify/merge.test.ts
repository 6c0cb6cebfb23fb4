import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeCandidates } from "../../identify/merge.js";

const candidate = fc.record({
  member: fc.constantFrom("a1", "b2", "c3", "d4", "e5"),
  // Few values, so that ties are frequent.
  similarity: fc.constantFrom(-0.2, 0, 0.31, 0.5, 0.9),
});
const lists = fc.array(fc.array(candidate, { maxLength: 6 }), { maxLength: 6 });

describe("merging candidates", () => {
  it("does not depend on the order of lists or of candidates", () => {
    fc.assert(
      fc.property(lists, fc.infiniteStream(fc.nat()), (given, random) => {
        const shuffled = shuffle(given, random).map((list) => shuffle(list, random));
        expect(mergeCandidates(shuffled)).toEqual(mergeCandidates(given));
      }),
    );
  });

  it("is associative: merging merged parts is merging all", () => {
    fc.assert(
      fc.property(lists, lists, (left, right) => {
        const parts = [mergeCandidates(left), mergeCandidates(right)];
        expect(mergeCandidates(parts)).toEqual(mergeCandidates([...left, ...right]));
      }),
    );
  });

  it("names each member once, with its best similarity, best first", () => {
    fc.assert(
      fc.property(lists, (given) => {
        const merged = mergeCandidates(given);
        const all = given.flat();
        expect(new Set(merged.map(({ member }) => member)).size).toBe(merged.length);
        expect(merged.length).toBe(new Set(all.map(({ member }) => member)).size);
        for (const { member, similarity } of merged) {
          const own = all.filter((each) => each.member === member).map((each) => each.similarity);
          expect(similarity).toBe(Math.max(...own));
        }
        expect(merged.map(({ similarity }) => similarity)).toEqual(
          merged.map(({ similarity }) => similarity).toSorted((a, b) => b - a),
        );
      }),
    );
  });

  it("breaks ties by the member, the same way everywhere", () => {
    const tie = (member: string) => ({ member, similarity: 0.5 });
    expect(mergeCandidates([[tie("b")], [tie("a")]])).toEqual([tie("a"), tie("b")]);
  });
});

function shuffle<T>(items: readonly T[], random: Iterator<number>): T[] {
  return items
    .map((item) => ({ item, key: Number(random.next().value) }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
