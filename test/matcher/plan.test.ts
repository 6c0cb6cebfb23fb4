// What a worker opens and lets go: laws that keep every partition served while workers come and go.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holdersOf } from "../../matcher/assignment.js";
import { type PartitionRef, planFor, refKey } from "../../matcher/plan.js";
import type { bus } from "../../wire/codec.js";

const gallery = { name: "g", partitions: 8, replicas: 2, modelId: "m", dimension: 4, lineMaps: false };
const all: PartitionRef[] = Array.from({ length: 8 }, (_, partition) => ({ gallery: "g", partition }));
const says = (workerId: string, ready: PartitionRef[]): bus.IWorkerState => ({
  workerId,
  partitions: ready.map((ref) => ({ ...ref, ready: true })),
});
const knowledge = { self: "a", leaving: false, galleries: [gallery], workers: [], held: [] };

describe("plan of a worker", () => {
  it("takes everything when it is alone", () => {
    expect(planFor(knowledge)).toEqual({ open: all, close: [] });
  });

  it("opens nothing twice and nothing that is not its own", () => {
    const workers = ["b", "c", "d"].map((id) => says(id, []));
    const mine = all.filter(({ partition }) =>
      holdersOf(["a", "b", "c", "d"], "g", partition, 2).includes("a"),
    );
    expect(planFor({ ...knowledge, workers }).open).toEqual(mine);
    expect(planFor({ ...knowledge, workers, held: mine })).toEqual({ open: [], close: [] });
  });

  it("lets go only what all new holders say they serve, and it really lets go then", () => {
    const ids = ["b", "c", "d"];
    fc.assert(
      fc.property(
        fc.array(fc.subarray(all), { minLength: 3, maxLength: 3 }),
        fc.boolean(),
        (ready, leaving) => {
          const workers = ids.map((id, i) => says(id, ready[i] ?? []));
          const alive = leaving ? ids : ["a", ...ids];
          const { open, close } = planFor({ ...knowledge, leaving, workers, held: all });
          expect(open).toEqual([]);
          const expected = all.filter((ref) => {
            const holders = holdersOf(alive, "g", ref.partition, 2);
            const serves = (id: string) =>
              (ready[ids.indexOf(id)] ?? []).some((each) => refKey(each) === refKey(ref));
            return !holders.includes("a") && holders.every(serves);
          });
          expect(close).toEqual(expected);
        },
      ),
    );
  });

  it("never leaves a partition unserved while a worker joins, in whatever order things are heard", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2), { maxLength: 60 }), (turns) => {
        // Three workers, the third joins. Each turn one of them plans with what it hears, and becomes ready at once
        // with what it opened; closing is immediate.
        const ids = ["a", "b", "c"];
        const held = new Map<string, PartitionRef[]>([
          ["a", [...all]],
          ["b", [...all]],
          ["c", []],
        ]);
        const act = (self: string) => {
          const workers = ids.map((id) => says(id, held.get(id) ?? []));
          const own = held.get(self) ?? [];
          const plan = planFor({ ...knowledge, self, workers, held: own });
          const closed = new Set(plan.close.map(refKey));
          held.set(self, [...own.filter((ref) => !closed.has(refKey(ref))), ...plan.open]);
          for (const ref of all) {
            const serving = ids.filter((id) => held.get(id)?.some((each) => refKey(each) === refKey(ref)));
            expect(serving.length).toBeGreaterThanOrEqual(2);
          }
        };
        for (const turn of turns) act(ids[turn] ?? "a");
        for (const id of ["c", "a", "b"]) act(id);
        const total = ids.reduce((count, id) => count + (held.get(id)?.length ?? 0), 0);
        expect(total).toBe(all.length * gallery.replicas);
      }),
    );
  });

  it("lets everything go when it leaves and nobody is left to wait for", () => {
    expect(planFor({ ...knowledge, leaving: true, held: all }).close).toEqual(all);
  });
});
