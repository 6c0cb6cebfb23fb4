// From hits to members, and who holds what: pure laws.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holdersOf } from "../../matcher/assignment.js";
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

describe("assignment", () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9-]{1,12}$/), { minLength: 1, maxLength: 12 });
  const replicas = fc.integer({ min: 1, max: 8 });
  const partitions = Array.from({ length: 32 }, (_, i) => i);

  it("gives every partition min(R, workers) different holders, whatever the order of the workers", () => {
    fc.assert(
      fc.property(names, replicas, (workers, r) => {
        for (const p of partitions) {
          const holders = holdersOf(workers, "g", p, r);
          expect(new Set(holders).size).toBe(Math.min(r, workers.length));
          expect(holders.every((each) => workers.includes(each))).toBe(true);
          expect(holdersOf([...workers].reverse(), "g", p, r)).toEqual(holders);
        }
      }),
    );
  });

  it("moves nothing but what a leaving worker held", () => {
    fc.assert(
      fc.property(names, replicas, fc.nat(), (workers, r, pick) => {
        const leaver = workers[pick % workers.length] ?? "";
        const rest = workers.filter((each) => each !== leaver);
        for (const p of partitions) {
          const before = holdersOf(workers, "g", p, r);
          const after = holdersOf(rest, "g", p, r);
          expect(before.filter((each) => each !== leaver).every((each) => after.includes(each))).toBe(true);
        }
      }),
    );
  });

  it("moves partitions to a joining worker only", () => {
    fc.assert(
      fc.property(names, replicas, (workers, r) => {
        for (const p of partitions) {
          const before = holdersOf(workers, "g", p, r);
          const after = holdersOf([...workers, "JOINER"], "g", p, r);
          expect(after.every((each) => each === "JOINER" || before.includes(each))).toBe(true);
        }
      }),
    );
  });

  it("spreads partitions evenly", () => {
    const workers = ["a", "b", "c", "d", "e"];
    const held = new Map(workers.map((each) => [each, 0]));
    const count = 1024;
    for (let p = 0; p < count; p++) {
      for (const worker of holdersOf(workers, "members", p, 2)) held.set(worker, (held.get(worker) ?? 0) + 1);
    }
    const fair = (count * 2) / workers.length;
    for (const n of held.values()) expect(Math.abs(n - fair)).toBeLessThan(fair * 0.15);
  });
});
