// The small pure parts of the browser's pages.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { amountText, minorOf } from "../../web/lane/money.js";
import { Steady } from "../../web/steady.js";
import { MAX_AMOUNT_MINOR } from "../../wire/limits.js";

describe("an amount", () => {
  it.each([
    ["4.20", 420],
    ["4,2", 420],
    [" 4 ", 400],
    ["0.01", 1],
    ["0.1", 10],
    ["1000000", 100_000_000],
  ])("is read as people write it: %s", (text, minor) => {
    expect(minorOf(text)).toBe(minor);
  });

  it.each(["", "0", "0.00", "-1", "1.234", "1e3", "0x10", "1000000.01", "one", ".5", "Infinity"])(
    "is refused when it cannot be charged: %s",
    (text) => {
      expect(minorOf(text)).toBeUndefined();
    },
  );

  it("survives being written and read", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_AMOUNT_MINOR }), (minor) => {
        expect(minorOf(amountText(minor))).toBe(minor);
      }),
    );
  });
});

describe("a steady sign", () => {
  it("changes only when something else has held for a while", () => {
    const sign = new Steady("a", 100);
    expect([sign.take("b", 0), sign.take("b", 99), sign.take("b", 100)]).toEqual(["a", "a", "b"]);
  });

  it("never shows what comes and goes", () => {
    const sign = new Steady("a", 100);
    for (let nowMs = 0; nowMs < 1000; nowMs += 50) {
      expect(sign.take(nowMs % 100 === 0 ? "b" : "c", nowMs)).toBe("a");
    }
  });

  it("shows at once what is set", () => {
    const sign = new Steady("a", 100);
    sign.take("b", 0);
    sign.set("c");
    expect(sign.take("c", 150)).toBe("c");
  });
});
