// The store of a thread: what it keeps of members, what of erased ones, what of shards that were let go, and a full quota.
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Change } from "../../matcher/member-changes.js";
import { MemberStore } from "../../matcher/member-store.js";
import { Slices } from "../../matcher/slices.js";
import { toHex } from "../../wire/hex.js";
import { ShardSet } from "../../wire/shard.js";

const KIB = 1024;

function openStore(mapSizeBytes?: number) {
  const path = mkdtempSync(join(tmpdir(), "palmgate-store-"));
  let store = new MemberStore({ path, mapSizeBytes });
  onTestFinished(async () => {
    await store.close();
    rmSync(path, { recursive: true, force: true });
  });
  const reopen = async () => {
    await store.close();
    store = new MemberStore({ path, mapSizeBytes });
    return store;
  };
  return { path, store, reopen };
}

const idIn = (shard: number) => Uint8Array.from([shard, ...randomBytes(15)]);
const sealedBytes = (text: string) => ({ nonce: new Uint8Array(12), ciphertext: Buffer.from(text) });
const of = (memberId: Uint8Array, sequence: number) => ({
  ...{ sequence, atUnixMs: sequence * 1000, member: toHex(memberId), memberId },
  ...{ organisation: "org", gallery: "g", bytes: 200 },
});
const enrolled = (memberId: Uint8Array, sequence: number, profile = "first"): Change => ({
  ...{ kind: "enrolled", ...of(memberId, sequence), profile: sealedBytes(profile) },
  templates: [{ modelId: "m", index: 0, position: 1, signature: sealedBytes("template") }],
});
const changed = (memberId: Uint8Array, sequence: number, profile: string): Change => ({
  ...{ kind: "profile", ...of(memberId, sequence), profile: sealedBytes(profile) },
});
const erased = (memberId: Uint8Array, sequence: number): Change => ({
  kind: "erased",
  ...of(memberId, sequence),
});
const profileOf = (store: MemberStore, id: Uint8Array) =>
  Buffer.from(store.row(toHex(id))?.profile?.ciphertext ?? []).toString();

describe("a store of members", () => {
  it("keeps a member, its newest profile and revision, and how far its shards have read, over a restart", async () => {
    const { store, reopen } = openStore();
    const id = idIn(7);
    expect(store.hold([7, 8]).ok).toBe(true);
    expect(store.apply([enrolled(id, 5), changed(id, 9, "second")], new ShardSet([7]), 11).ok).toBe(true);
    for (const open of [async () => store, reopen]) {
      const each = await open();
      expect(each.row(toHex(id))).toMatchObject({
        ...{ organisation: "org", gallery: "g", revision: 9, enrolledSequence: 5, enrolledUnixMs: 5000 },
        templates: [{ modelId: "m", position: 1 }],
      });
      expect(profileOf(each, id)).toBe("second");
      expect([...each.positions()]).toEqual([
        [7, 11],
        [8, 0],
      ]);
      expect([...each.rows(7)].map(({ member }) => member)).toEqual([toHex(id)]);
      expect([...each.rows(8)]).toEqual([]);
    }
  });

  it("ends the same in whatever way events come again", () => {
    const events = (id: Uint8Array): Change[] => [
      enrolled(id, 1),
      changed(id, 2, "b"),
      changed(id, 3, "c"),
      erased(id, 4),
    ];
    const ends = fc.integer({ min: 1, max: 4 });
    fc.assert(
      fc.property(fc.array(ends, { minLength: 1, maxLength: 4 }), (replays) => {
        const { store } = openStore();
        const id = idIn(1);
        const all = events(id);
        // Each time from the first event on, as far as that follower had come.
        for (const end of replays) store.apply(all.slice(0, end), new ShardSet([1]), end);
        const furthest = Math.max(...replays);
        if (furthest === 4) {
          expect(store.row(toHex(id))).toBeUndefined();
          expect(store.tombstone(toHex(id))).toMatchObject({ organisation: "org", gallery: "g" });
        } else {
          expect(store.row(toHex(id))?.revision).toBe(furthest);
          expect(profileOf(store, id)).toBe(["first", "b", "c"][furthest - 1]);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("keeps of an erased member the id and where it was, and takes nothing that comes later", () => {
    const { store } = openStore();
    const id = idIn(2);
    store.apply([enrolled(id, 1), erased(id, 2)], new ShardSet([2]), 2);
    expect(store.row(toHex(id))).toBeUndefined();
    const { memberId, organisation, gallery, ...rest } = { ...store.tombstone(toHex(id)) } as Record<
      string,
      unknown
    >;
    expect({ memberId, organisation, gallery }).toEqual({
      memberId: Buffer.from(id),
      organisation: "org",
      gallery: "g",
    });
    expect(Object.values(rest).filter((value) => value !== null && value !== undefined)).toEqual([]);
    store.apply([enrolled(id, 9)], new ShardSet([2]), 9);
    expect(store.row(toHex(id))).toBeUndefined();
  });

  it("holds nothing of a shard that it has wiped, and all of the others", async () => {
    const { store, reopen } = openStore();
    const ids = Array.from({ length: 300 }, (_, i) => idIn(i % 3));
    const all = new ShardSet([0, 1, 2]);
    store.apply(
      ids.map((id, i) => enrolled(id, i + 1)),
      all,
      300,
    );
    store.apply(
      ids.slice(0, 30).map((id, i) => erased(id, 301 + i)),
      all,
      330,
    );
    expect((await store.wipe(1, new Slices())).ok).toBe(true);
    for (const open of [async () => store, reopen]) {
      const each = await open();
      expect([...each.positions().keys()]).toEqual([0, 2]);
      expect([...each.rows(1)]).toEqual([]);
      expect([...each.rows(0), ...each.rows(2)]).toHaveLength(180);
      for (const id of ids.filter(([shard]) => shard === 1))
        expect(each.tombstone(toHex(id))).toBeUndefined();
      expect(each.tombstone(toHex(ids[0] ?? new Uint8Array()))).toBeDefined();
    }
  });

  it("trusts nothing of a shard whose wiping was cut short: it is read anew", async () => {
    const { store, reopen } = openStore();
    const ids = Array.from({ length: 200 }, () => idIn(6));
    const events = ids.map((id, i) => enrolled(id, i + 1));
    store.apply(events, new ShardSet([6]), 200);
    const cut = { breathe: () => Promise.reject(new Error("killed")) } as unknown as Slices;
    await expect(store.wipe(6, cut)).rejects.toThrow("killed");
    const again = await reopen();
    const left = [...again.rows(6)].length;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(200);
    expect(again.positions().get(6)).toBe(0);
    again.apply(events, new ShardSet([6]), 200);
    expect([...again.rows(6)]).toHaveLength(200);
  });

  it("refuses what adds when its quota is used up, stays as it was, and can still erase and let go", async () => {
    const { store, path } = openStore(256 * KIB);
    const shards = new ShardSet([4]);
    const ids: Uint8Array[] = [];
    for (let sequence = 1; ; sequence++) {
      const id = idIn(4);
      const applied = store.apply([{ ...enrolled(id, sequence), bytes: 2 * KIB }], shards, sequence);
      if (!applied.ok) {
        expect(applied.code).toBe("STORE_FULL");
        expect(store.row(toHex(id))).toBeUndefined();
        expect(store.positions().get(4)).toBe(sequence - 1);
        break;
      }
      ids.push(id);
    }
    const [first] = ids;
    if (first === undefined) throw new Error("nobody fitted in");
    expect(readFileSync(join(path, "data.mdb")).length).toBeLessThanOrEqual(256 * KIB);
    expect(store.apply([erased(first, 1000)], shards, 1000).ok).toBe(true);
    expect(store.row(toHex(first))).toBeUndefined();
    expect((await store.wipe(4, new Slices())).ok).toBe(true);
    expect([...store.rows(4)]).toEqual([]);
  });
});
