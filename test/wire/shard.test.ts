import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SHARDS, ShardSet, shardOf, slotOf } from "../../wire/shard.js";

const shards = fc.uniqueArray(fc.integer({ min: 0, max: SHARDS - 1 }));

describe("a set of shards", () => {
  it("is what a set of numbers is, also after it has travelled", () => {
    fc.assert(
      fc.property(shards, shards, shards, (first, added, deleted) => {
        const set = new ShardSet(first);
        const model = new Set(first);
        for (const shard of added) {
          set.add(shard);
          model.add(shard);
        }
        for (const shard of deleted) {
          set.delete(shard);
          model.delete(shard);
        }
        const sorted = [...model].sort((a, b) => a - b);
        const travelled = ShardSet.from(set.bytes());
        expect([...set]).toEqual(sorted);
        expect(travelled && [...travelled]).toEqual(sorted);
        expect(set.size).toBe(model.size);
        for (let shard = 0; shard < SHARDS; shard++) expect(set.has(shard)).toBe(model.has(shard));
      }),
    );
  });

  it("takes another one's in, and leaves that as it is", () => {
    fc.assert(
      fc.property(shards, shards, (one, two) => {
        const [a, b] = [new ShardSet(one), new ShardSet(two)];
        a.addAll(b);
        expect(new Set(a)).toEqual(new Set([...one, ...two]));
        expect(new Set(b)).toEqual(new Set(two));
      }),
    );
  });

  it("gives bytes of its own, shard 0 in the lowest bit of the first", () => {
    const set = new ShardSet([0, 9, 255]);
    const bytes = set.bytes();
    expect([bytes.length, bytes[0], bytes[1], bytes[31]]).toEqual([32, 1, 2, 128]);
    bytes.fill(0);
    expect(set.size).toBe(3);
  });

  it.each([
    ["nothing", undefined],
    ["empty", new Uint8Array()],
    ["too long", new Uint8Array(33)],
  ])("is not read from bytes of another length: %s", (_what, bytes) => {
    expect(ShardSet.from(bytes)).toBeUndefined();
  });

  it("of all has all", () => {
    expect([...ShardSet.all()]).toEqual(Array.from({ length: SHARDS }, (_, shard) => shard));
  });
});

describe("shards and slots", () => {
  it("give every shard to one slot, evenly, and every member to one shard", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 256 }), (slots) => {
        const sizes = Array.from({ length: slots }, () => 0);
        for (const shard of ShardSet.all()) {
          const slot = slotOf(shard, slots);
          sizes[slot] = (sizes[slot] ?? Number.NaN) + 1;
        }
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (id) => {
        expect(shardOf(id)).toBe(id[0]);
      }),
    );
  });
});
