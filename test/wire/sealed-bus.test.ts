// What crosses NATS sealed or signed: facts of a member, passage tokens, beats; and pseudonyms.
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBeat, readBeat } from "../../wire/beat.js";
import { bus, encode } from "../../wire/codec.js";
import { openFacts, sealFacts } from "../../wire/facts.js";
import { openKeyring } from "../../wire/keyring.js";
import { pairwiseId } from "../../wire/pairwise.js";
import { type PassagePlace, passageToken, readPassageToken } from "../../wire/passage-token.js";
import { seal } from "../../wire/seal.js";

const bytes = (length: number) => Uint8Array.from(randomBytes(length));
const key = bytes(32);

describe("facts of a member", () => {
  const memberId = bytes(16);
  const nonce = bytes(16);
  const facts = {
    memberId,
    revision: 7,
    profile: { consents: [1], contact: { phone: "+4915112345678" } },
    booksRef: bytes(16),
    pairwiseRoot: bytes(32),
    enrolledUnixMs: 1_700_000_000_000,
  };

  it("open for their request and member only", () => {
    const sealed = sealFacts(key, nonce, facts);
    expect(Buffer.from(sealed.ciphertext).includes(Buffer.from(memberId))).toBe(false);
    const opened = openFacts(key, nonce, memberId, sealed);
    expect(opened).toMatchObject({
      revision: 7,
      profile: { consents: [1], contact: { phone: "+4915112345678" } },
    });
    expect(openFacts(bytes(32), nonce, memberId, sealed)).toBeUndefined();
    expect(openFacts(key, bytes(16), memberId, sealed)).toBeUndefined();
    expect(openFacts(key, nonce, bytes(16), sealed)).toBeUndefined();
    expect(openFacts(key, nonce, memberId, undefined)).toBeUndefined();
  });

  it("that name another member inside than outside are nothing", () => {
    const other = bytes(16);
    const aadOfFacts = sealFactsAs(other);
    expect(openFacts(key, nonce, memberId, aadOfFacts)).toBeUndefined();
    expect(openFacts(key, nonce, other, aadOfFacts)).toBeUndefined();
  });

  /** Sealed for `memberId` by somebody who has the key, about another member. */
  function sealFactsAs(inside: Uint8Array) {
    const part = (text: Uint8Array | string) => {
      const raw = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(raw.length);
      return Buffer.concat([length, raw]);
    };
    const aad = Buffer.concat([part("palmgate-facts"), part(nonce), part(memberId)]);
    return seal(key, aad, encode(bus.MemberFacts, { ...facts, memberId: inside }));
  }
});

const name = fc.stringMatching(/^[a-z0-9-]{1,32}$/);
const place: fc.Arbitrary<PassagePlace> = fc.record({
  organisation: name,
  deviceId: name,
  presentationId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});

describe("a passage token", () => {
  it("is good for its own place and key, says when it was made, and is good for nothing else", () => {
    fc.assert(
      fc.property(place, place, fc.nat({ max: 2 ** 52 }), (own, other, atUnixMs) => {
        const token = passageToken(key, { ...own, atUnixMs });
        expect(token).toHaveLength(24);
        expect(readPassageToken(key, own, token)).toBe(atUnixMs);
        expect(readPassageToken(bytes(32), own, token)).toBeUndefined();
        const mixed: PassagePlace[] = [
          other,
          { ...own, organisation: other.organisation },
          { ...own, deviceId: other.deviceId },
          { ...own, presentationId: other.presentationId },
        ];
        const told = ({ organisation, deviceId, presentationId }: PassagePlace) =>
          JSON.stringify([organisation, deviceId, [...presentationId]]);
        for (const each of mixed) {
          if (told(each) !== told(own)) expect(readPassageToken(key, each, token)).toBeUndefined();
        }
      }),
    );
  });

  it("is nothing with any bit changed, or of another length", () => {
    fc.assert(
      fc.property(place, fc.nat({ max: 24 * 8 - 1 }), (own, bit) => {
        const token = passageToken(key, { ...own, atUnixMs: 1_700_000_000_000 });
        const changed = token.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(readPassageToken(key, own, changed)).toBeUndefined();
        expect(readPassageToken(key, own, token.subarray(0, 23))).toBeUndefined();
        expect(readPassageToken(key, own, new Uint8Array())).toBeUndefined();
      }),
    );
  });

  it("is not taken for another's where two names run together", () => {
    const presentationId = bytes(16);
    const token = passageToken(key, { organisation: "ab", deviceId: "c", presentationId, atUnixMs: 1 });
    expect(
      readPassageToken(key, { organisation: "a", deviceId: "bc", presentationId }, token),
    ).toBeUndefined();
  });
});

describe("a beat", () => {
  const keyring = openKeyring(bytes(32), () => []);
  const beat = { atUnixMs: 1_700_000_000_000, ledgerId: "ledger-1", headSequence: 42 };

  it("is read back by whoever has the fleet's key", () => {
    expect(readBeat(keyring, encodeBeat(keyring, beat))).toEqual(beat);
    expect(
      readBeat(
        openKeyring(bytes(32), () => []),
        encodeBeat(keyring, beat),
      ),
    ).toBeUndefined();
  });

  it("is none with any byte changed, any field changed under its mac, or no mac", () => {
    const body = encodeBeat(keyring, beat);
    for (let at = 0; at < body.length; at++) {
      const changed = Uint8Array.from(body);
      changed[at] = (changed[at] ?? 0) ^ 1;
      const read = readBeat(keyring, changed);
      expect(read === undefined || JSON.stringify(read) === JSON.stringify(beat)).toBe(true);
    }
    const { mac } = bus.Beat.decode(body);
    for (const forged of [{ atUnixMs: 1 }, { ledgerId: "ledger-14" }, { headSequence: 2 }]) {
      expect(readBeat(keyring, encode(bus.Beat, { ...beat, ...forged, mac }))).toBeUndefined();
    }
    expect(readBeat(keyring, encode(bus.Beat, beat))).toBeUndefined();
    expect(readBeat(keyring, Buffer.from("nonsense"))).toBeUndefined();
  });
});

describe("a pseudonym", () => {
  it("is the same at one site, another at every other, and 16 of [a-z2-7]", () => {
    const root = bytes(32);
    expect(pairwiseId(root, "door")).toMatch(/^[a-z2-7]{16}$/);
    expect(pairwiseId(root, "door")).toBe(pairwiseId(root, "door"));
    const ids = ["door", "till", "doo", ""].map((site) => pairwiseId(root, site));
    expect(new Set([...ids, pairwiseId(bytes(32), "door")]).size).toBe(5);
  });

  it("is made the same way for ever", () => {
    expect(pairwiseId(new Uint8Array(32), "main")).toBe("hguzd4ki2yqromii");
  });
});
