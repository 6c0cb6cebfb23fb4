// Card numbers are found however they are written, and ordinary numbers are left alone.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holdsCardNumber, valueHoldsCardNumber } from "../../wire/card-number.js";

/** The digits with the check digit that ISO/IEC 7812-1 asks for, computed another way than the code under test. */
function withCheckDigit(digits: number[]): string {
  const sum = digits
    .toReversed()
    .map((digit, index) => (index % 2 === 0 ? ([0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit] ?? 0) : digit))
    .reduce((a, b) => a + b, 0);
  return [...digits, (10 - (sum % 10)) % 10].join("");
}

const cardNumber = fc.array(fc.nat(9), { minLength: 12, maxLength: 18 }).map(withCheckDigit);

describe("a card number", () => {
  it.each([
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "3782 822463 10005",
    "card:4111111111111111;",
    "order 17 4242 4242 4242 4242",
    "４２４２４２４２４２４２４２４２",
    "4242\u00a04242\u00a04242\u00a04242",
    "4242 – 4242 – 4242 – 4242",
  ])("is seen in %j", (text) => {
    expect(holdsCardNumber(text)).toBe(true);
  });

  it.each(["tok_approve", "4242", "visa", "4242424242424241", "order-2026-11-22-0001", "12 345 678", ""])(
    "is not seen in %j",
    (text) => {
      expect(holdsCardNumber(text)).toBe(false);
    },
  );

  it("is not seen in a UUID, which merchants use as their reference", () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(holdsCardNumber(uuid)).toBe(false);
      }),
      { numRuns: 2000 },
    );
    expect(holdsCardNumber("42424242-4242-4242-8242-000000000000 4242424242424242")).toBe(true);
  });

  it("is seen with any grouping, anywhere in a text", () => {
    const grouped = fc
      .tuple(cardNumber, fc.array(fc.constantFrom("", " ", "-", " - "), { minLength: 19, maxLength: 19 }))
      .map(([digits, gaps]) => [...digits].map((digit, index) => digit + (gaps[index] ?? "")).join(""));
    const around = fc.string().map((text) => text.replaceAll(/\d/g, "x"));
    fc.assert(
      fc.property(grouped, around, around, (text, before, after) => {
        expect(holdsCardNumber(`${before}x${text}x${after}`)).toBe(true);
      }),
    );
  });

  it("is not seen when its check digit is wrong and it stands in one piece", () => {
    fc.assert(
      fc.property(cardNumber, fc.integer({ min: 1, max: 9 }), (digits, wrong) => {
        const last = (Number(digits.at(-1)) + wrong) % 10;
        expect(holdsCardNumber(digits.slice(0, -1) + last)).toBe(false);
      }),
    );
  });

  it("is seen in every corner of a value: numbers, keys, nested arrays, and a nest too deep to look into", () => {
    expect(valueHoldsCardNumber({ a: [{ b: 4242424242424242 }] })).toBe(true);
    expect(valueHoldsCardNumber({ "4242424242424242": 1 })).toBe(true);
    expect(valueHoldsCardNumber({ a: ["x", { b: "4242 4242 4242 4242" }] })).toBe(true);
    const deep = Array.from({ length: 40 }).reduce<unknown>((inner) => [inner], "x");
    expect(valueHoldsCardNumber(deep)).toBe(true);
    expect(valueHoldsCardNumber({ token: "tok_approve", last4: "4242", n: 12, none: null })).toBe(false);
  });
});
