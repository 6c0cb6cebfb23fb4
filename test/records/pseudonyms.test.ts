import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { booksRef, pairwiseRoot } from "../../records/index.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("what stands for a member", () => {
  it("is the same for one data key, another for every other, and tells nothing of key or of each other", () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(key, key, (one, two) => {
        fc.pre(hex(one) !== hex(two));
        expect([booksRef(one).length, pairwiseRoot(one).length]).toEqual([16, 32]);
        expect([hex(booksRef(one)), hex(pairwiseRoot(one))]).toEqual([
          hex(booksRef(one)),
          hex(pairwiseRoot(one)),
        ]);
        const all = [booksRef(one), booksRef(two), pairwiseRoot(one), pairwiseRoot(two), one, two];
        expect(new Set(all.map((each) => hex(each).slice(0, 32))).size).toBe(6);
      }),
    );
  });

  it("is made the same way for ever", () => {
    const key = new Uint8Array(32).fill(7);
    expect([hex(booksRef(key)), hex(pairwiseRoot(key))]).toMatchInlineSnapshot(`
      [
        "85ac8acb846482e3ff810f891aaa278d",
        "a95b493d9e13f12c08713b7910864c3b51a16d0e13c81aaf01ba3889324b147e",
      ]
    `);
  });
});
