import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataKeyEvent, readDataKey } from "../../records/data-key.js";
import { type MemberKeys, newDataKey, openMemberKeys, parseMasterKey } from "../../records/index.js";
import { toHex } from "../../wire/partition.js";
import { keySubject, partitionKeysFilter } from "../../wire/subjects.js";
import { unwrappedKeyEvent } from "./support/forged.js";
import { log, openRig, type Rig } from "./support/rig.js";

describe("member keys", () => {
  let rig: Rig;
  let gallery = 0;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  const masterKey = newDataKey();
  const put = async (name: string, partition = 0) => {
    const memberId = Uint8Array.from(randomBytes(16));
    const key = newDataKey();
    const hex = toHex(memberId);
    const stored = await rig.eventLog.append(
      keySubject(name, partition, hex),
      dataKeyEvent(keySubject(name, partition, hex), memberId, key, masterKey),
    );
    if (!stored.ok) throw new Error(stored.detail);
    return { hex, key };
  };
  const openKeys = (name: string, partition = 0): Promise<MemberKeys> =>
    openMemberKeys(rig.eventLog, { filter: partitionKeysFilter(name, partition), log, masterKey });
  const freshGallery = () => `k${gallery++}`;

  it("has every key that the log held when it opens, of its own partition only", async () => {
    const name = freshGallery();
    const own = [await put(name), await put(name), await put(name)];
    const other = await put(name, 1);
    const keys = await openKeys(name);
    expect(own.map(({ hex }) => toHex(keys.get(hex) ?? new Uint8Array()))).toEqual(
      own.map(({ key }) => toHex(key)),
    );
    expect([keys.size, keys.get(other.hex)]).toEqual([3, undefined]);
    await keys.close();
  });

  it("learns a key that comes later, by itself or by asking the log", async () => {
    const name = freshGallery();
    const keys = await openKeys(name);
    const late = await put(name);
    expect(toHex((await keys.fetch(name, 0, late.hex)) ?? new Uint8Array())).toBe(toHex(late.key));
    const later = await put(name);
    await expect
      .poll(() => keys.get(later.hex) && toHex(keys.get(later.hex) ?? later.key))
      .toBe(toHex(later.key));
    await keys.close();
  });

  it("overwrites a forgotten key, and does not take it back from the log", async () => {
    const name = freshGallery();
    const { hex } = await put(name);
    const keys = await openKeys(name);
    const held = keys.get(hex);
    expect(held?.some((byte) => byte !== 0)).toBe(true);
    keys.forget(hex);
    expect(held?.every((byte) => byte === 0)).toBe(true);
    expect([keys.get(hex), keys.size]).toEqual([undefined, 0]);
    expect(await keys.fetch(name, 0, hex)).toBeUndefined();
    const after = await put(name);
    await expect.poll(() => keys.get(after.hex)).toBeDefined();
    expect(keys.get(hex)).toBeUndefined();
    await keys.close();
  });

  it("knows no key that was destroyed in the log, or never was", async () => {
    const name = freshGallery();
    const { hex } = await put(name);
    await rig.eventLog.secureDelete("KEYS", keySubject(name, 0, hex));
    const keys = await openKeys(name);
    expect(await keys.fetch(name, 0, hex)).toBeUndefined();
    expect(await keys.fetch(name, 0, "00".repeat(16))).toBeUndefined();
    await keys.close();
  });

  it("leaves out an event that is no key, or that names another member than its subject", async () => {
    const name = freshGallery();
    const memberId = Uint8Array.from(randomBytes(16));
    const subject = keySubject(name, 0, toHex(memberId));
    const bodies = [
      new Uint8Array([255]),
      dataKeyEvent(subject, memberId, new Uint8Array(31).fill(1), masterKey),
      dataKeyEvent(subject, new Uint8Array(16), newDataKey(), masterKey),
    ];
    for (const body of bodies) await rig.eventLog.append(subject, body);
    const good = await put(name);
    const refused: string[] = [];
    const filter = partitionKeysFilter(name, 0);
    const onRefused = (code: string) => refused.push(code);
    const keys = await openMemberKeys(rig.eventLog, { filter, log, masterKey, onRefused });
    expect(refused).toEqual(["MALFORMED", "MALFORMED", "MALFORMED"]);
    expect([keys.size, keys.get(toHex(memberId))]).toEqual([1, undefined]);
    expect(keys.get(good.hex)).toBeDefined();
    await keys.close();
  });

  it("takes no key that is not wrapped, whether it was there at start, comes later or is asked for", async () => {
    const name = freshGallery();
    const forge = async () => {
      const memberId = Uint8Array.from(randomBytes(16));
      await rig.eventLog.append(
        keySubject(name, 0, toHex(memberId)),
        unwrappedKeyEvent(memberId, newDataKey()),
      );
      return toHex(memberId);
    };
    const before = await forge();
    const refused: string[] = [];
    const filter = partitionKeysFilter(name, 0);
    const onRefused = (code: string) => refused.push(code);
    const keys = await openMemberKeys(rig.eventLog, { filter, log, masterKey, onRefused });
    const later = await forge();
    for (const hex of [before, later]) {
      expect(await keys.fetch(name, 0, hex)).toBeUndefined();
      expect(keys.get(hex)).toBeUndefined();
    }
    const good = await put(name);
    await expect.poll(() => keys.get(good.hex)).toBeDefined();
    expect([keys.size, new Set(refused)]).toEqual([1, new Set(["UNWRAPPED"])]);
    await keys.close();
  });

  it("wraps keys under a master key, and tells a wrong one from erased members", async () => {
    const name = freshGallery();
    const masterKey = parseMasterKey(`${"0a".repeat(32)}\n`);
    const filter = partitionKeysFilter(name, 0);
    const put = async (memberId = Uint8Array.from(randomBytes(16)), key = newDataKey()) => {
      const subject = keySubject(name, 0, toHex(memberId));
      const body = dataKeyEvent(subject, memberId, key, masterKey);
      expect(Buffer.from(body).includes(Buffer.from(key))).toBe(false);
      await rig.eventLog.append(subject, body);
      return { hex: toHex(memberId), key, memberId, body };
    };
    const { hex, key, body } = await put();
    const keys = await openMemberKeys(rig.eventLog, { filter, log, masterKey });
    expect(toHex(keys.get(hex) ?? new Uint8Array())).toBe(toHex(key));
    const other = Uint8Array.from(randomBytes(16));
    expect(readDataKey(keySubject(name, 0, toHex(other)), body, masterKey)).toMatchObject({ ok: false });
    await keys.close();
    const wrong = newDataKey();
    await expect(openMemberKeys(rig.eventLog, { filter, log, masterKey: wrong })).rejects.toThrow(
      /opens none of the 1 data keys/,
    );
    expect(() => parseMasterKey("0a0b")).toThrow(/64 hex digits/);
  });

  it("overwrites all keys when it closes", async () => {
    const name = freshGallery();
    const { hex } = await put(name);
    const keys = await openKeys(name);
    const held = keys.get(hex);
    await keys.close();
    expect(held?.every((byte) => byte === 0)).toBe(true);
    expect(keys.size).toBe(0);
  });
});
