import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Receipt, signingKeyId, signReceipt, verifyReceipt } from "../../records/index.js";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const facts = {
  organisation: "acme",
  gallery: "main",
  shard: 0,
  memberId: "00112233445566778899aabbccddeeff",
  requestedBy: "operator",
  erasedAtUnixMs: 1_700_000_000_000,
  erasedSequence: 12,
  keySequences: [4],
  memberSequences: [5, 9],
  workers: ["matcher-1", "matcher-2"],
  confirmedAtUnixMs: 1_700_000_000_500,
};

describe("erasure receipt", () => {
  it("verifies under the key that signed it, as an object and as text in any order and spacing", () => {
    const receipt = signReceipt(privateKey, facts);
    expect(verifyReceipt([publicKey], receipt)).toEqual({ ok: true, receipt });
    const shuffled = JSON.stringify(Object.fromEntries(Object.entries(receipt).toReversed()), null, 4);
    expect(verifyReceipt([publicKey], shuffled)).toEqual({ ok: true, receipt });
    const other = generateKeyPairSync("ed25519").publicKey;
    expect(verifyReceipt([other, publicKey], receipt).ok).toBe(true);
  });

  it("says what was destroyed, and nothing else", () => {
    expect(signReceipt(privateKey, facts)).toEqual({
      kind: "palmgate-erasure-receipt",
      version: 2,
      organisation: "acme",
      gallery: "main",
      shard: 0,
      memberId: facts.memberId,
      requestedBy: "operator",
      erasedAtUnixMs: 1_700_000_000_000,
      confirmedAtUnixMs: 1_700_000_000_500,
      dataKey: { stream: "KEYS", subject: `keys.0.acme.main.${facts.memberId}`, sequences: [4] },
      memberEvents: {
        stream: "MEMBERS",
        subject: `members.0.acme.main.${facts.memberId}`,
        sequences: [5, 9],
        erasedSequence: 12,
      },
      workers: ["matcher-1", "matcher-2"],
      signingKeyId: signingKeyId(publicKey),
      signature: expect.any(String),
    });
  });

  it("is signed the same way for ever: these bytes were signed before", () => {
    const seed = Buffer.alloc(32, 7);
    const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
    const fixed = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const receipt = signReceipt(fixed, facts);
    expect([receipt.signingKeyId, receipt.signature]).toMatchInlineSnapshot(`
      [
        "324be2dea8bc4446",
        "gMp4mlemerN5Ay0X/kqFGPa+7rU/Uk4PCSRyjpnjjr0HhLeKQNGTTNNRNls5oy5fwG8GYHAOqlLAclQ3YJEPAg==",
      ]
    `);
    expect(verifyReceipt([createPublicKey(fixed)], receipt).ok).toBe(true);
  });

  it("does not verify with any fact changed", () => {
    const receipt = signReceipt(privateKey, facts);
    const changed: Partial<Receipt>[] = [
      { gallery: "other" },
      { shard: 4 },
      { organisation: "other" },
      { memberId: "ff".repeat(16) },
      { requestedBy: "nobody" },
      { erasedAtUnixMs: 1 },
      { confirmedAtUnixMs: 1 },
      { dataKey: { ...receipt.dataKey, sequences: [] } },
      { memberEvents: { ...receipt.memberEvents, erasedSequence: 13 } },
      { workers: ["matcher-1"] },
      { workers: ["matcher-1,matcher-2"] },
      { signature: Buffer.alloc(64).toString("base64") },
    ];
    for (const change of changed) {
      expect(verifyReceipt([publicKey], { ...receipt, ...change })).toMatchObject({
        ok: false,
        code: "BAD_SIGNATURE",
      });
    }
  });

  it("does not verify under a key that is not trusted, even one that claims the trusted one's id", () => {
    const other = generateKeyPairSync("ed25519");
    const forged = signReceipt(other.privateKey, facts);
    expect(verifyReceipt([publicKey], forged)).toMatchObject({ ok: false, code: "UNKNOWN_KEY" });
    const claiming = { ...forged, signingKeyId: signingKeyId(publicKey) };
    expect(verifyReceipt([publicKey], claiming)).toMatchObject({ ok: false, code: "BAD_SIGNATURE" });
    expect(verifyReceipt([], forged)).toMatchObject({ ok: false, code: "UNKNOWN_KEY" });
  });

  it("refuses what is no receipt, whatever it is, and never throws", () => {
    const receipt = signReceipt(privateKey, facts);
    const { workers: _, ...incomplete } = receipt;
    for (const bad of [incomplete, { ...receipt, template: "x" }, "", "{", "null", null, 7, [], undefined]) {
      expect(verifyReceipt([publicKey], bad)).toMatchObject({ ok: false, code: "MALFORMED" });
    }
    fc.assert(fc.property(fc.anything(), (any) => !verifyReceipt([publicKey], any).ok));
    fc.assert(fc.property(fc.json(), (text) => !verifyReceipt([publicKey], text).ok));
  });

  it("is not signed with a key of another kind", () => {
    const rsa = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    expect(() => signReceipt(rsa, facts)).toThrow(/Ed25519/);
  });
});
