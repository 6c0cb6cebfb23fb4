// From hits to members: pure laws.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bestMembers } from "../../matcher/index/merge.js";
import { seeded } from "./support/vectors.js";

describe("merging hits by member", () => {
  const hits = fc.uniqueArray(
    fc.record({ label: fc.nat(60), similarity: fc.double({ min: -1, max: 1, noNaN: true }) }),
    { selector: ({ label }) => label },
  );
  const memberOf = (label: number) => (label % 7 === 0 ? undefined : `m${label % 5}`);

  it("names a member once, with its best similarity, best first, and nobody else", () => {
    fc.assert(
      fc.property(hits, fc.integer({ min: 1, max: 10 }), (list, k) => {
        const merged = bestMembers(list, memberOf, k);
        const members = new Set(list.flatMap(({ label }) => memberOf(label) ?? []));
        expect(merged).toHaveLength(Math.min(k, members.size));
        expect(new Set(merged.map(({ member }) => member)).size).toBe(merged.length);
        for (const [i, { member, similarity }] of merged.entries()) {
          const own = list.filter(({ label }) => memberOf(label) === member);
          expect(similarity).toBe(Math.max(...own.map((hit) => hit.similarity)));
          if (i > 0) expect(similarity).toBeLessThanOrEqual(merged[i - 1]?.similarity ?? 1);
        }
      }),
    );
  });

  it("does not show the order of the hits", () => {
    fc.assert(
      fc.property(hits, fc.integer({ min: 1, max: 10 }), fc.nat(), (list, k, seed) => {
        const random = seeded(seed);
        const shuffled = list
          .map((hit) => ({ hit, at: random() }))
          .sort((a, b) => a.at - b.at)
          .map(({ hit }) => hit);
        expect(bestMembers(shuffled, memberOf, k)).toEqual(bestMembers(list, memberOf, k));
      }),
    );
  });
});
