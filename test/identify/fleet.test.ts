import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { viewOf } from "../../identify/fleet.js";
import { SecondAsks } from "../../identify/second-asks.js";
import { Silence } from "../../identify/silence.js";
import { bus } from "../../wire/codec.js";
import { ShardSet } from "../../wire/shard.js";

const state = (more: Partial<bus.WorkerState.$Properties>) =>
  bus.WorkerState.create({
    workerId: "w",
    instance: "1",
    hasSlot: true,
    row: 0,
    slot: 0,
    threads: 1,
    shardsReady: ShardSet.all().bytes(),
    ...more,
  });

describe("the fleet as heartbeats tell it", () => {
  it("deals shards over slots and a worker's shards over its threads, each to one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256 }), fc.integer({ min: 1, max: 16 }), (slots, threads) => {
        const workers = Array.from({ length: slots }, (_, slot) =>
          state({ workerId: `w${slot}`, slot, threads }),
        );
        const { rows, byShard, readiness } = viewOf({ rows: 1, slots }, workers);
        expect(readiness).toEqual({ expected: 256, served: 256, missingReplicas: 0 });
        expect(byShard.every((servers) => servers.length === 1)).toBe(true);
        const seen = new ShardSet();
        for (const each of rows[0]?.servers.flatMap((server) => server.threads) ?? []) {
          expect(seen.and(each).isEmpty).toBe(true);
          seen.addAll(each);
        }
        expect(seen.size).toBe(256);
      }),
      { numRuns: 30 },
    );
  });

  it("counts what is served by nobody, and copies that are missing", () => {
    const half = viewOf({ rows: 2, slots: 2 }, [state({ slot: 1 })]);
    expect(half.readiness).toEqual({ expected: 256, served: 128, missingReplicas: 3 * 128 });
    expect(half.byShard[0]).toEqual([]);
    expect(half.byShard[1]?.map(({ id }) => id)).toEqual(["w"]);
  });

  it.each([
    ["a spare", { hasSlot: false }],
    ["a row that the fleet has not", { row: 1 }],
    ["a slot that the fleet has not", { slot: 2 }],
    ["no thread", { threads: 0 }],
    ["more threads than any worker has", { threads: 1e9 }],
    ["nothing ready", { shardsReady: new Uint8Array(32) }],
    ["a set of another length", { shardsReady: new Uint8Array(5).fill(255) }],
  ])("takes nobody for a server who has %s", (_, more) => {
    const { byShard } = viewOf({ rows: 1, slots: 2 }, [state(more)]);
    expect(byShard.every((servers) => servers.length === 0)).toBe(true);
  });

  it("takes shards beyond a worker's slot from it while nobody else in its row serves them", () => {
    const all = ShardSet.all();
    const odd = new ShardSet([...all].filter((shard) => shard % 2 === 1));
    const old = state({ workerId: "old", threadShards: [all.bytes()] });
    const heir = state({
      workerId: "heir",
      slot: 1,
      threadShards: [odd.bytes()],
      shardsReady: new Uint8Array(32),
    });
    const before = viewOf({ rows: 1, slots: 2 }, [old, heir]);
    expect(before.readiness).toEqual({ expected: 256, served: 256, missingReplicas: 0 });
    expect(before.byShard[1]?.map(({ id }) => id)).toEqual(["old"]);
    expect(before.byId.get("old")?.threads[0]?.size).toBe(256);

    const after = viewOf({ rows: 1, slots: 2 }, [
      old,
      { ...heir, shardsReady: odd.bytes() } as bus.WorkerState,
    ]);
    expect(after.byShard[1]?.map(({ id }) => id)).toEqual(["heir"]);
    expect(after.byId.get("old")?.ready.size).toBe(128);
    expect(after.byId.get("old")?.threads[0]?.size).toBe(128);
  });

  it("takes from a spare what no row serves, and knows its threads' shards as it says them", () => {
    const [low, high] = [new ShardSet([0, 1]), new ShardSet([2, 3])];
    const ready = new ShardSet([0, 1, 2, 3]);
    const spare = state({
      ...{ workerId: "spare", hasSlot: false, threads: 2 },
      ...{ threadShards: [high.bytes(), low.bytes()], shardsReady: ready.bytes() },
    });
    const even = state({ workerId: "even", shardsReady: new ShardSet([0, 2]).bytes() });
    const { rows, byShard, byId } = viewOf({ rows: 1, slots: 2 }, [spare, even]);
    expect([0, 1, 2, 3].map((shard) => byShard[shard]?.map(({ id }) => id).join())).toEqual([
      "even",
      "spare",
      "even",
      "spare",
    ]);
    expect(rows[0]?.servers.map(({ id }) => id)).toEqual(["even"]);
    expect(byId.get("spare")?.threads.map((shards) => [...shards])).toEqual([[3], [1]]);
  });

  it("knows no fleet while the directory has none", () => {
    expect(viewOf(undefined, [state({})]).readiness.expected).toBe(0);
  });
});

describe("silence", () => {
  it("is told after two misses and a quarter of a second in which nothing came", () => {
    const silence = new Silence();
    silence.missed("w", 0);
    expect(silence.silent("w", 1)).toBe(false);
    silence.missed("w", 100);
    expect(silence.silent("w", 101)).toBe(false);
    silence.missed("w", 260);
    expect(silence.silent("w", 261)).toBe(true);
    expect(silence.silent("other", 261)).toBe(false);
  });

  it("is over with any answer, however late, and forgets the misses before it", () => {
    const silence = new Silence();
    for (const at of [0, 100, 260]) silence.missed("w", at);
    silence.heard("w");
    expect(silence.silent("w", 261)).toBe(false);
    silence.missed("w", 400);
    silence.missed("w", 500);
    expect(silence.silent("w", 501)).toBe(false);
  });

  it("is no verdict for ever: after a second the worker is asked again, and one more miss is enough", () => {
    const silence = new Silence();
    for (const at of [0, 300]) silence.missed("w", at);
    expect(silence.silent("w", 1299)).toBe(true);
    expect(silence.silent("w", 1301)).toBe(false);
    silence.missed("w", 1361);
    expect(silence.silent("w", 1362)).toBe(true);
  });
});

it("second asks stay a share of all searches, plus a burst", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 3000 }), (steps) => {
      const budget = new SecondAsks();
      let searches = 0;
      let seconds = 0;
      for (const isSearch of steps) {
        if (isSearch) {
          searches += 1;
          budget.earn();
        } else if (budget.take()) seconds += 1;
      }
      expect(seconds).toBeLessThanOrEqual(32 + searches * 0.05 + 1e-6);
    }),
  );
});
