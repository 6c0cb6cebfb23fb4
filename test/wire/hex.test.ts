import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../wire/hex.js";

describe("hex digits", () => {
  it("are what Node makes of the same bytes, and come back as they were", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(toHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
        expect(fromHex(toHex(bytes))).toEqual(bytes);
      }),
    );
  });

  it("are read as far as they are digits", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("0", "9", "a", "F", "g", " ", "-"), maxLength: 8 }),
        (text) => {
          expect(Buffer.from(fromHex(text))).toEqual(Buffer.from(text, "hex"));
        },
      ),
    );
  });
});
