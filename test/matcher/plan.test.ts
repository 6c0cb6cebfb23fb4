// What a worker claims, opens and lets go: laws that keep every shard served while workers come, pause and go.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Claim,
  DEAD_AFTER_MS,
  type HeldShard,
  planClaim,
  planShards,
  type ShardKnowledge,
  SILENT_AFTER_MS,
  type Slot,
  slotKey,
} from "../../matcher/plan.js";
import type { bus } from "../../wire/codec.js";
import { LAYOUT } from "../../wire/directory.js";
import { SHARDS, ShardSet, slotOf, threadOf } from "../../wire/shard.js";

const fleetOf = (rows: number, slots: number) => ({ layout: LAYOUT, rows, slots });
const shardsOf = (slot: number, slots: number) =>
  Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => slotOf(shard, slots) === slot);
const says = (workerId: string, ready: Iterable<number> = []): bus.IWorkerState => ({
  workerId,
  shardsReady: new ShardSet(ready).bytes(),
});
const claim = (row: number, slot: number, workerId: string): Claim => ({ row, slot, workerId, revision: 7 });

describe("claiming a slot", () => {
  const fleet = fleetOf(2, 2);
  const ask = (known: Partial<Parameters<typeof planClaim>[0]>) =>
    planClaim({ self: "me", fleet, claims: [], workers: [], silentMs: () => 0, ...known });

  it("takes an empty slot at once, where nobody serves first", () => {
    expect(ask({})).toMatchObject({ kind: "TAKE", slot: { row: 0, slot: 0 }, revision: 0 });
    const claims = [claim(0, 0, "a"), claim(0, 1, "b")];
    const workers = [says("a", shardsOf(0, 2)), says("b")];
    expect(ask({ claims, workers })).toMatchObject({ kind: "TAKE", slot: { row: 1, slot: 1 } });
  });

  it("keeps the one it has, and is a spare where all are taken", () => {
    expect(ask({ claims: [claim(1, 1, "me")] })).toMatchObject({ kind: "KEEP", claim: { row: 1, slot: 1 } });
    const claims = [claim(0, 0, "a"), claim(0, 1, "b"), claim(1, 0, "c"), claim(1, 1, "d")];
    expect(ask({ claims, workers: ["a", "b", "c", "d"].map((id) => says(id)) })).toEqual({ kind: "SPARE" });
  });

  const taken = [claim(0, 0, "a"), claim(0, 1, "b"), claim(1, 0, "c"), claim(1, 1, "d")];
  const heard = (ready: Iterable<number>) => [says("b"), says("c", ready), says("d")];

  it("takes a silent worker's slot at once where no twin serves its shards", () => {
    const ready = shardsOf(0, 2).slice(1);
    const at = (ms: number) => ask({ claims: taken, workers: heard(ready), silentMs: () => ms });
    expect(at(SILENT_AFTER_MS - 1)).toEqual({ kind: "SPARE" });
    expect(at(SILENT_AFTER_MS)).toEqual({ kind: "TAKE", slot: { row: 0, slot: 0 }, revision: 7, from: "a" });
  });

  it("waits for a silent worker whose twin serves, until it is dead", () => {
    const at = (ms: number) => ask({ claims: taken, workers: heard(shardsOf(0, 2)), silentMs: () => ms });
    expect(at(DEAD_AFTER_MS - 1)).toEqual({ kind: "SPARE" });
    expect(at(DEAD_AFTER_MS)).toMatchObject({ kind: "TAKE", slot: { row: 0, slot: 0 }, from: "a" });
  });

  it("gives up a slot that the fleet has no more, and a second one", () => {
    expect(ask({ claims: [claim(2, 0, "me")] })).toMatchObject({ kind: "RELEASE", claim: { row: 2 } });
    expect(ask({ claims: [claim(0, 2, "me")] })).toMatchObject({ kind: "RELEASE", claim: { slot: 2 } });
    expect(ask({ claims: [claim(0, 0, "me"), claim(0, 1, "me")] })).toMatchObject({
      kind: "RELEASE",
      claim: { slot: 1 },
    });
  });

  it("never takes the slot of a worker that is heard, whatever else is known", () => {
    const ids = fc.constantFrom("me", "a", "b", "c");
    const claims = fc.uniqueArray(fc.tuple(fc.nat(2), fc.nat(3), ids), { selector: ([r, s]) => `${r}.${s}` });
    const workers = fc.uniqueArray(fc.constantFrom("a", "b", "c"));
    fc.assert(
      fc.property(claims, workers, fc.integer({ min: 0, max: 400_000 }), (list, alive, ms) => {
        const all = list.map(([row, slot, id]) => claim(row, slot, id));
        const step = ask({ claims: all, workers: alive.map((id) => says(id)), silentMs: () => ms });
        if (step.kind !== "TAKE") return;
        expect(all.some(({ workerId }) => workerId === "me")).toBe(false);
        const holder = all.find((each) => slotKey(each) === slotKey(step.slot))?.workerId;
        expect(step.from).toBe(holder);
        if (holder !== undefined) expect(alive).not.toContain(holder);
        expect(step.slot.row).toBeLessThan(2);
        expect(step.slot.slot).toBeLessThan(2);
      }),
    );
  });

  it("ends with every slot taken by a worker of its own, in whatever order they look", () => {
    const size = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(
        size,
        fc.integer({ min: 1, max: 18 }),
        fc.infiniteStream(fc.nat()),
        ([rows, slots], count, order) => {
          const ids = Array.from({ length: count }, (_, i) => `w${i}`);
          const claims = new Map<string, Claim>();
          for (let turn = 0; turn < count * 8; turn++) {
            const self = ids[(order.next().value ?? 0) % count] ?? "";
            const workers = ids.filter((id) => id !== self).map((id) => says(id));
            const fleetNow = fleetOf(rows, slots);
            const step = planClaim({
              self,
              fleet: fleetNow,
              claims: [...claims.values()],
              workers,
              silentMs: () => 1e9,
            });
            if (step.kind === "TAKE")
              claims.set(slotKey(step.slot), { ...step.slot, workerId: self, revision: 1 });
          }
          const holders = [...claims.values()].map(({ workerId }) => workerId);
          expect(new Set(holders).size).toBe(holders.length);
          for (const self of ids) {
            const workers = ids.map((id) => says(id));
            const step = planClaim({
              self,
              fleet: fleetOf(rows, slots),
              claims: [...claims.values()],
              workers,
              silentMs: () => 0,
            });
            if (claims.size === rows * slots) expect(["KEEP", "SPARE"]).toContain(step.kind);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("opening and letting go of shards", () => {
  const slot: Slot = { row: 0, slot: 0 };
  const known: ShardKnowledge = {
    self: "me",
    fleet: fleetOf(1, 2),
    slot,
    claims: [claim(0, 0, "me")],
    workers: [],
    threads: 2,
    held: [],
  };
  const heldAt = (shards: readonly number[], state: HeldShard["state"], thread?: number): HeldShard[] =>
    shards.map((shard) => ({ shard, thread: thread ?? threadOf(shard, 2, 2), state }));

  it("opens the shards of its slot, dealt over its threads", () => {
    const { open, close } = planShards(known);
    expect(open.map(({ shard }) => shard)).toEqual(shardsOf(0, 2));
    expect(open.filter(({ thread }) => thread === 0)).toHaveLength(SHARDS / 4);
    expect(close).toEqual([]);
    expect(planShards({ ...known, held: heldAt(shardsOf(0, 2), "open") })).toEqual({ open: [], close: [] });
  });

  it("opens what lies on its disk, its own or not: erasures must reach it", () => {
    const rest = heldAt([...shardsOf(0, 2), 1, 3], "resting");
    expect(planShards({ ...known, held: rest }).open).toHaveLength(rest.length);
    expect(planShards({ ...known, slot: undefined, claims: [], held: rest }).open).toHaveLength(rest.length);
  });

  it("lets go of a shard that is another's when that one serves it, and not before", () => {
    const fleet = fleetOf(2, 2);
    const claims = [claim(0, 0, "a"), claim(0, 1, "b"), claim(1, 0, "c"), claim(1, 1, "d")];
    const spare = { ...known, fleet, claims, slot: undefined, held: heldAt([4], "ready") };
    const at = (workers: bus.IWorkerState[]) => planShards({ ...spare, workers }).close;
    expect(at([says("a"), says("c", [4])])).toEqual([]);
    expect(at([says("a", [4])])).toEqual([]);
    expect(at([says("a", [4]), says("c", [4])])).toHaveLength(1);
    // With a slot of its own it is its own row that counts.
    const moved = { ...spare, slot: { row: 1, slot: 1 }, claims: [...claims.slice(0, 3), claim(1, 1, "me")] };
    expect(planShards({ ...moved, workers: [says("c", [4])] }).close).toHaveLength(1);
    expect(planShards({ ...moved, workers: [says("a", [4])] }).close).toEqual([]);
  });

  it("reads a shard anew by the thread whose it is, at once at start, and later only while another serves it", () => {
    const [shard = 0] = shardsOf(0, 2);
    const other = 1 - threadOf(shard, 2, 2);
    const at = (state: HeldShard["state"], workers: bus.IWorkerState[]) =>
      planShards({ ...known, workers, held: heldAt([shard], state, other) }).close;
    expect(at("resting", [])).toHaveLength(1);
    expect(at("ready", [])).toEqual([]);
    expect(at("ready", [says("twin", [shard])])).toHaveLength(1);
    expect(at("closing", [says("twin", [shard])])).toEqual([]);
  });

  it("never lets go of what nobody else serves, once it has been read in", () => {
    const state = fc.constantFrom<HeldShard["state"]>("resting", "open", "ready", "closing");
    const held = fc.uniqueArray(fc.record({ shard: fc.nat(SHARDS - 1), thread: fc.nat(3), state }), {
      selector: ({ shard }) => shard,
    });
    const ready = fc.array(fc.nat(SHARDS - 1), { maxLength: 200 });
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 4 }),
    );
    const own = fc.option(fc.tuple(fc.nat(2), fc.nat(7)), { nil: undefined });
    fc.assert(
      fc.property(held, ready, ready, sizes, own, (list, readyA, readyB, [rows, slots, threads], mine) => {
        const workers = [says("a", readyA), says("b", readyB), says("me", [0, 1, 2])];
        const mySlot = mine && { row: mine[0] % rows, slot: mine[1] % slots };
        const claims = Array.from({ length: rows * slots }, (_, i) =>
          claim(Math.floor(i / slots), i % slots, i % 2 === 0 ? "a" : "b"),
        ).map((each) => (mySlot && slotKey(each) === slotKey(mySlot) ? { ...each, workerId: "me" } : each));
        const plan = planShards({
          ...{ self: "me", fleet: fleetOf(rows, slots), slot: mySlot, claims, workers, threads, held: list },
        });
        const served = new Set([...readyA, ...readyB]);
        for (const { shard } of plan.close) {
          const before = list.find((each) => each.shard === shard);
          expect(before?.state).not.toBe("closing");
          if (before?.state !== "resting") expect(served.has(shard)).toBe(true);
        }
        for (const { shard } of plan.open) {
          const before = list.find((each) => each.shard === shard);
          if (before !== undefined) expect(before.state).toBe("resting");
          else expect(slotOf(shard, slots)).toBe(mySlot?.slot);
        }
        const ordered = [...plan.open, ...plan.close].map(({ shard }) => shard);
        expect(new Set(ordered).size).toBe(ordered.length);
      }),
    );
  });
});
