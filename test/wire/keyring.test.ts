import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  masterKeyIdOf,
  newOrganisationKey,
  type OrganisationKey,
  openKeyring,
  parseMasterKey,
} from "../../wire/keyring.js";

const master = randomBytes(32);
const aad = Buffer.from("place");
const fresh = () => Uint8Array.from(randomBytes(32));

function ring(keys: Record<string, OrganisationKey[]>, masterKey: Uint8Array = master) {
  return openKeyring(masterKey, (organisation) => keys[organisation] ?? []);
}

describe("keyring", () => {
  it("opens what it wrapped, at its own place and for its own organisation only", () => {
    const keys = { acme: [newOrganisationKey(master, "acme")], other: [newOrganisationKey(master, "other")] };
    const keyring = ring(keys);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (place, elsewhere) => {
        const key = fresh();
        const wrapped = keyring.wrap("acme", place, key);
        expect(wrapped?.keyId).toBe(keys.acme[0]?.id);
        expect(Buffer.from(wrapped?.sealed?.ciphertext ?? []).includes(Buffer.from(key))).toBe(false);
        expect(keyring.unwrap("acme", place, wrapped)).toEqual(Buffer.from(key));
        if (!Buffer.from(place).equals(elsewhere))
          expect(keyring.unwrap("acme", elsewhere, wrapped)).toBeUndefined();
        expect(keyring.unwrap("other", place, wrapped)).toBeUndefined();
        expect(
          keyring.unwrap("other", place, { ...wrapped, keyId: keys.other[0]?.id ?? "" }),
        ).toBeUndefined();
      }),
    );
  });

  it("wraps under the newest key, and goes on opening what is under an older one", () => {
    const keys = { acme: [newOrganisationKey(master, "acme")] };
    const keyring = ring(keys);
    const key = fresh();
    const old = keyring.wrap("acme", aad, key);
    keys.acme.push(newOrganisationKey(master, "acme"));
    const now = keyring.wrap("acme", aad, key);
    expect([old?.keyId, now?.keyId]).toEqual(keys.acme.map(({ id }) => id));
    for (const wrapped of [old, now]) expect(keyring.unwrap("acme", aad, wrapped)).toEqual(Buffer.from(key));
    keys.acme.shift();
    expect(keyring.unwrap("acme", aad, old)).toBeUndefined();
  });

  it("says nothing for an unknown organisation, another master key, another organisation's key, or nonsense", () => {
    const own = newOrganisationKey(master, "acme");
    const wrapped = ring({ acme: [own] }).wrap("acme", aad, fresh());
    const stranger = ring({ acme: [own] }, randomBytes(32));
    expect(ring({}).wrap("acme", aad, fresh())).toBeUndefined();
    expect([stranger.wrap("acme", aad, fresh()), stranger.unwrap("acme", aad, wrapped)]).toEqual([
      undefined,
      undefined,
    ]);
    // The key of "acme" put in the place of another organisation's, and one that claims our master key.
    const moved = ring({ other: [own] });
    expect(moved.wrap("other", aad, fresh())).toBeUndefined();
    const forged = { ...newOrganisationKey(randomBytes(32), "acme"), masterKeyId: masterKeyIdOf(master) };
    expect(ring({ acme: [forged] }).wrap("acme", aad, fresh())).toBeUndefined();
    for (const none of [undefined, null, {}, { keyId: own.id }, { keyId: own.id, sealed: {} }]) {
      expect(ring({ acme: [own] }).unwrap("acme", aad, none)).toBeUndefined();
    }
  });

  it("does not hand out what is no key of 32 bytes", () => {
    const keyring = ring({ acme: [newOrganisationKey(master, "acme")] });
    expect(keyring.unwrap("acme", aad, keyring.wrap("acme", aad, new Uint8Array(31)))).toBeUndefined();
  });

  it("makes keys for the bus that differ by purpose, organisation and master key, and are the same everywhere", () => {
    const one = ring({});
    const made = [
      one.busKey("facts", "acme"),
      one.busKey("facts", "other"),
      one.busKey("facts", ""),
      one.busKey("passage", "acme"),
      ring({}, randomBytes(32)).busKey("facts", "acme"),
    ].map((key) => Buffer.from(key).toString("hex"));
    expect(new Set(made).size).toBe(made.length);
    expect(made.every((hex) => hex.length === 64)).toBe(true);
    expect(Buffer.from(ring({}).busKey("facts", "acme")).toString("hex")).toBe(made[0]);
    expect(one.busKey("facts", "acme")).toBe(one.busKey("facts", "acme"));
  });

  it("takes a master key of 64 hex digits and nothing else, and names it without telling it", () => {
    expect(parseMasterKey(`${"0a".repeat(32)}\n`)).toEqual(new Uint8Array(32).fill(10));
    expect(() => parseMasterKey("0a0b")).toThrow(/64 hex digits/);
    expect(masterKeyIdOf(master)).toMatch(/^[0-9a-f]{16}$/);
    expect(master.toString("hex")).not.toContain(masterKeyIdOf(master));
  });
});
