import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataKeyEvent, readDataKey } from "../../records/data-key.js";
import { fetchDataKey, keySubjectOf, type MemberKeys, openMemberKeys } from "../../records/index.js";
import { bus, encode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { newSealKey } from "../../wire/seal.js";
import { type MemberPlace, shardKeysFilter } from "../../wire/subjects.js";
import { unwrappedKeyEvents } from "./support/forged.js";
import { log, newKeyring, openRig, type Rig } from "./support/rig.js";

describe("member keys", () => {
  let rig: Rig;
  let shards = 0;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  /** Tests do not share shards. */
  const freshShard = () => shards++;
  const placeIn = (shard: number, organisation = "acme"): MemberPlace => {
    const memberId = Uint8Array.from(randomBytes(16));
    memberId[0] = shard;
    return { organisation, gallery: "main", memberId };
  };
  const put = async (shard: number, organisation = "acme") => {
    const place = placeIn(shard, organisation);
    const key = newSealKey();
    const body = dataKeyEvent(rig.keyring, keySubjectOf(place), place.memberId, key);
    const stored = await rig.eventLog.append(keySubjectOf(place), body ?? new Uint8Array());
    if (!stored.ok) throw new Error(stored.detail);
    return { place, hex: toHex(place.memberId), key };
  };
  const openKeys = (...shards: number[]): Promise<MemberKeys> =>
    openMemberKeys(rig.eventLog, rig.keyring, { filters: shards.map(shardKeysFilter), log });
  const hexOf = (key: Uint8Array | undefined) => key && toHex(key);

  it("has every key that the log held when it opens, of its own shards only", async () => {
    const [one, two, other] = [freshShard(), freshShard(), freshShard()];
    const own = [await put(one), await put(two), await put(one, "other")];
    const stranger = await put(other);
    const keys = await openKeys(one, two);
    expect(own.map(({ hex }) => hexOf(keys.get(hex)))).toEqual(own.map(({ key }) => toHex(key)));
    expect([keys.size, keys.get(stranger.hex)]).toEqual([3, undefined]);
    await keys.close();
  });

  it("learns a key that comes later, by itself or by asking the log", async () => {
    const shard = freshShard();
    const keys = await openKeys(shard);
    const late = await put(shard);
    expect(await keys.fetch(late.place)).toEqual({ ok: true, key: Buffer.from(late.key) });
    const later = await put(shard);
    await expect.poll(() => hexOf(keys.get(later.hex))).toBe(toHex(later.key));
    await keys.close();
  });

  it("overwrites a forgotten key, and does not take it back from the log", async () => {
    const shard = freshShard();
    const { place, hex } = await put(shard);
    const keys = await openKeys(shard);
    const held = keys.get(hex);
    expect(held?.some((byte) => byte !== 0)).toBe(true);
    keys.forget(hex);
    expect(held?.every((byte) => byte === 0)).toBe(true);
    expect([keys.get(hex), keys.size]).toEqual([undefined, 0]);
    expect(await keys.fetch(place)).toEqual({ ok: false, code: "DESTROYED" });
    const after = await put(shard);
    await expect.poll(() => keys.get(after.hex)).toBeDefined();
    expect(keys.get(hex)).toBeUndefined();
    await keys.close();
  });

  it("tells a key that was destroyed, or never was, from one that does not open here", async () => {
    const shard = freshShard();
    const destroyed = await put(shard);
    await rig.eventLog.secureDelete("KEYS", keySubjectOf(destroyed.place));
    const kept = await put(shard);
    const [keys, strangers] = [await openKeys(shard), newKeyring()];
    for (const place of [destroyed.place, placeIn(shard)]) {
      expect(await keys.fetch(place)).toEqual({ ok: false, code: "DESTROYED" });
      expect(await fetchDataKey(rig.eventLog, rig.keyring, place)).toEqual({ ok: false, code: "DESTROYED" });
    }
    expect(await fetchDataKey(rig.eventLog, rig.keyring, kept.place)).toMatchObject({ ok: true });
    expect(await fetchDataKey(rig.eventLog, strangers, kept.place)).toEqual({ ok: false, code: "UNOPENED" });
    await keys.close();
  });

  it("opens a key later whose organisation it did not know at first", async () => {
    const shard = freshShard();
    const first = await put(shard, "other");
    const second = await put(shard);
    let isKnown = false;
    const keyring = {
      unwrap: (...call: Parameters<typeof rig.keyring.unwrap>) =>
        call[0] === "acme" && !isKnown ? undefined : rig.keyring.unwrap(...call),
    };
    const keys = await openMemberKeys(rig.eventLog, keyring, { filters: [shardKeysFilter(shard)], log });
    expect([hexOf(keys.get(first.hex)), keys.unopened]).toEqual([toHex(first.key), 1]);
    expect(await keys.fetch(second.place)).toEqual({ ok: false, code: "UNOPENED" });
    isKnown = true;
    expect(await keys.fetch(second.place)).toMatchObject({ ok: true });
    await keys.close();
  });

  it("leaves out an event that is no key, or that names another member than its subject", async () => {
    const shard = freshShard();
    const place = placeIn(shard);
    const subject = keySubjectOf(place);
    const bodies = [
      new Uint8Array([255]),
      dataKeyEvent(rig.keyring, subject, place.memberId, new Uint8Array(31).fill(1)),
      dataKeyEvent(rig.keyring, subject, new Uint8Array(16), newSealKey()),
    ];
    for (const body of bodies) await rig.eventLog.append(subject, body ?? new Uint8Array());
    const good = await put(shard);
    const refused: string[] = [];
    const keys = await openMemberKeys(rig.eventLog, rig.keyring, {
      filters: [shardKeysFilter(shard)],
      log,
      onRefused: (code) => refused.push(code),
    });
    expect(refused).toEqual(["MALFORMED", "UNOPENED", "MALFORMED"]);
    expect([keys.size, keys.get(toHex(place.memberId))]).toEqual([1, undefined]);
    expect(keys.get(good.hex)).toBeDefined();
    await keys.close();
  });

  it("takes no key that is not wrapped under its organisation's, at start, later or when asked for", async () => {
    const shard = freshShard();
    const forge = async () => {
      const places: MemberPlace[] = [];
      for (let kind = 0; kind < unwrappedKeyEvents(placeIn(shard).memberId, newSealKey()).length; kind++) {
        const place = placeIn(shard);
        const body = unwrappedKeyEvents(place.memberId, newSealKey())[kind] ?? new Uint8Array();
        await rig.eventLog.append(keySubjectOf(place), body);
        places.push(place);
      }
      return places;
    };
    const good = await put(shard);
    const before = await forge();
    const refused: string[] = [];
    const keys = await openMemberKeys(rig.eventLog, rig.keyring, {
      filters: [shardKeysFilter(shard)],
      log,
      onRefused: (code) => refused.push(code),
    });
    const later = await forge();
    for (const place of [...before, ...later]) {
      expect(await keys.fetch(place)).toEqual({ ok: false, code: "UNOPENED" });
      expect(keys.get(toHex(place.memberId))).toBeUndefined();
    }
    expect(keys.get(good.hex)).toBeDefined();
    expect([keys.size, new Set(refused)]).toEqual([1, new Set(["UNWRAPPED", "UNOPENED"])]);
    await keys.close();
  });

  it("does not take one member's wrapped key for another's", async () => {
    const shard = freshShard();
    const { place, key } = await put(shard);
    const other = placeIn(shard);
    const own = dataKeyEvent(rig.keyring, keySubjectOf(place), place.memberId, key) ?? new Uint8Array();
    const forged = { ...bus.DataKey.decode(own), memberId: other.memberId };
    const moved = encode(bus.DataKey, forged);
    expect(readDataKey(rig.keyring, keySubjectOf(other), moved)).toEqual({ ok: false, code: "UNOPENED" });
    const elsewhere = keySubjectOf({ ...place, organisation: "other" });
    expect(readDataKey(rig.keyring, elsewhere, own)).toEqual({ ok: false, code: "UNOPENED" });
    expect(Buffer.from(own).includes(Buffer.from(key))).toBe(false);
  });

  it("refuses to open when the master key opens none of the keys that are there", async () => {
    const shard = freshShard();
    await put(shard);
    const options = { filters: [shardKeysFilter(shard)], log };
    await expect(openMemberKeys(rig.eventLog, newKeyring(), options)).rejects.toThrow(
      /opens none of the 1 data keys/,
    );
  });

  it("overwrites all keys when it closes", async () => {
    const shard = freshShard();
    const { hex } = await put(shard);
    const keys = await openKeys(shard);
    const held = keys.get(hex);
    await keys.close();
    expect(held?.every((byte) => byte === 0)).toBe(true);
    expect(keys.size).toBe(0);
  });
});
