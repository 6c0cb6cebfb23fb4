import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";
import { openProfile, openTemplate, sealProfile, sealTemplate, templateAad } from "../../records/index.js";
import { aadOf, newSealKey, open, seal } from "../../wire/seal.js";

const member = (fill: number) => new Uint8Array(16).fill(fill);

const unitVector = fc
  .array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 2, maxLength: 64 })
  .map((numbers) => {
    const raw = Float32Array.from([1, ...numbers]);
    const norm = Math.hypot(...raw);
    return raw.map((value) => value / norm);
  });

/** With line maps and codes or without; records do not care how long they are. */
const signatures = fc.record({
  vector: unitVector,
  lines: fc.uint32Array({ maxLength: TEMPLATE_LINES_WORDS }),
  codes: fc.uint32Array({ maxLength: TEMPLATE_CODE_WORDS }),
});

const place = fc.record({
  memberId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  organisation: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
  gallery: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
  modelId: fc.string({ maxLength: 16 }),
  index: fc.nat(7),
  position: fc.nat(2),
});

describe("sealed bytes", () => {
  it("open under their key and additional data, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 40 }), (plain, aad) => {
        const key = newSealKey();
        const sealed = seal(key, aad, plain);
        expect(Buffer.from(open(key, aad, sealed) ?? [1, 2, 3])).toEqual(Buffer.from(plain));
        expect(open(newSealKey(), aad, sealed)).toBeUndefined();
        expect(open(key, Uint8Array.of(...aad, 0), sealed)).toBeUndefined();
      }),
    );
  });

  it("do not open with any bit of nonce, ciphertext or tag changed, nor cut short", () => {
    const key = newSealKey();
    const aad = aadOf("place", [member(1), "g"]);
    const sealed = seal(key, aad, new Uint8Array(20).fill(7));
    for (const part of ["nonce", "ciphertext"] as const) {
      for (let bit = 0; bit < sealed[part].length * 8; bit++) {
        const changed = Uint8Array.from(sealed[part]);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(open(key, aad, { ...sealed, [part]: changed })).toBeUndefined();
      }
      for (let length = 0; length < sealed[part].length; length++) {
        expect(open(key, aad, { ...sealed, [part]: sealed[part].subarray(0, length) })).toBeUndefined();
      }
    }
    expect(open(key, aad, {})).toBeUndefined();
    expect(open(key, aad, undefined)).toBeUndefined();
    expect(open(key, aad, sealed)).toHaveLength(20);
  });

  it("never repeat a nonce or a ciphertext", () => {
    const key = newSealKey();
    const sealed = Array.from({ length: 200 }, () => seal(key, new Uint8Array(), new Uint8Array(16)));
    expect(new Set(sealed.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).toBe(200);
    expect(new Set(sealed.map(({ ciphertext }) => Buffer.from(ciphertext).toString("hex"))).size).toBe(200);
  });
});

describe("a sealed template", () => {
  it("gives the same signature back, at its own place only", () => {
    fc.assert(
      fc.property(
        place,
        signatures,
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        (at, signature, other) => {
          fc.pre(Buffer.compare(at.memberId, other) !== 0);
          const key = newSealKey();
          const template = sealTemplate(key, at, signature);
          const { length } = signature.vector;
          const codeWords = signature.codes.length;
          expect(openTemplate(key, at, template, length, codeWords)).toEqual(signature);
          expect(openTemplate(newSealKey(), at, template, length, codeWords)).toBeUndefined();
          for (const elsewhere of [
            { ...at, memberId: other },
            { ...at, gallery: `${at.gallery}x` },
            { ...at, organisation: `${at.organisation}x` },
          ]) {
            expect(openTemplate(key, elsewhere, template, length, codeWords)).toBeUndefined();
          }
          const otherIndex = { ...template, index: at.index + 1 };
          expect(openTemplate(key, at, otherIndex, length, codeWords)).toBeUndefined();
          const otherModel = { ...template, modelId: `${at.modelId}x` };
          expect(openTemplate(key, at, otherModel, length, codeWords)).toBeUndefined();
        },
      ),
    );
  });

  it("binds different places with different bytes, wherever the parts begin and end", () => {
    fc.assert(
      fc.property(place, place, (a, b) => {
        const same =
          Buffer.compare(a.memberId, b.memberId) === 0 &&
          a.organisation === b.organisation &&
          a.gallery === b.gallery &&
          a.modelId === b.modelId &&
          a.index === b.index;
        expect(Buffer.compare(templateAad(a), templateAad(b)) === 0).toBe(same);
      }),
    );
    const at = { memberId: member(1), index: 0, modelId: "m" };
    expect(templateAad({ ...at, organisation: "ab", gallery: "c" })).not.toEqual(
      templateAad({ ...at, organisation: "a", gallery: "bc" }),
    );
  });

  it("does not open to numbers that are no unit vector and whole words, though the tag fits", () => {
    const key = newSealKey();
    const at = { memberId: member(1), organisation: "acme", gallery: "g" };
    const aad = templateAad({ ...at, modelId: "m", index: 0 });
    const openBytes = (bytes: Uint8Array, codeWords = 0) => {
      const template = { modelId: "m", index: 0, signature: seal(key, aad, bytes) };
      return openTemplate(key, at, template, 2, codeWords);
    };
    const openNumbers = (...numbers: number[]) => openBytes(Buffer.from(Float32Array.from(numbers).buffer));
    const vector = Float32Array.from([0.6, 0.8]);
    expect(openNumbers(0.6, 0.8)).toEqual({ vector, lines: new Uint32Array(), codes: new Uint32Array() });
    expect(openNumbers(0.6, 0.9)).toBeUndefined();
    expect(openNumbers(Number.NaN, 1)).toBeUndefined();
    expect(openNumbers(Number.POSITIVE_INFINITY, 0)).toBeUndefined();
    expect(openNumbers()).toBeUndefined();
    expect(openNumbers(1)).toBeUndefined();
    const rest = (...bytes: number[]) => openBytes(Buffer.from([...new Uint8Array(vector.buffer), ...bytes]));
    for (const odd of [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5]]) expect(rest(...odd)).toBeUndefined();
    const [lines, codes] = [Uint32Array.of(0x01020304), Uint32Array.of(0x08070605)];
    expect(rest(4, 3, 2, 1)).toEqual({ vector, lines, codes: new Uint32Array() });
    const both = Buffer.from([...new Uint8Array(vector.buffer), 4, 3, 2, 1, 5, 6, 7, 8]);
    expect(openBytes(both, 1)).toEqual({ vector, lines, codes });
    expect(openBytes(both, 3)).toBeUndefined();
  });

  it("refuses to seal what could never be opened", () => {
    const at = {
      memberId: member(1),
      organisation: "acme",
      gallery: "g",
      modelId: "m",
      index: 0,
      position: 0,
    };
    const tooLong = { vector: Float32Array.from([2, 0]), lines: new Uint32Array(), codes: new Uint32Array() };
    expect(() => sealTemplate(newSealKey(), at, tooLong)).toThrow(/unit length/);
  });
});

describe("a sealed profile", () => {
  it("comes back whole for its member, gallery and organisation only", () => {
    const key = newSealKey();
    const at = { memberId: member(1), organisation: "acme", gallery: "g" };
    const profile = {
      consents: [1, 2],
      instrument: { processor: "sandbox", token: "tok_1", brand: "visa", last4: "4242" },
      contact: { phone: "+4915112345678" },
      consentTextSha256: new Uint8Array(32).fill(9),
    };
    const sealed = sealProfile(key, at, profile);
    expect(openProfile(key, at, sealed)).toMatchObject({
      consents: [1, 2],
      instrument: profile.instrument,
      contact: profile.contact,
    });
    expect(openProfile(key, { ...at, memberId: member(2) }, sealed)).toBeUndefined();
    expect(openProfile(key, { ...at, organisation: "other" }, sealed)).toBeUndefined();
    expect(openProfile(key, { ...at, gallery: "h" }, sealed)).toBeUndefined();
    expect(openProfile(newSealKey(), at, sealed)).toBeUndefined();
    expect(openProfile(key, at, undefined)).toBeUndefined();
    expect(Buffer.from(sealed.ciphertext).includes("tok_1")).toBe(false);
  });
});
