import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Credits, windowUnderLoad } from "../../../gateway/lane/credits.js";
import { CREDIT_WINDOW_FRAMES } from "../../../wire/limits.js";

const fill = fc.double({ min: 0, max: 1.5, noNaN: true });
/** What happens on a link: the agent sends if its limit allows, a frame is done, or the load changes. */
const step = fc.oneof(
  fc.record({ kind: fc.constant("send" as const) }),
  fc.record({ kind: fc.constant("done" as const), fill }),
  fc.record({ kind: fc.constant("refresh" as const), fill }),
);

describe("credits", () => {
  it("never refuse an agent that obeys, never let more than the window in flight, never shrink the limit", () => {
    fc.assert(
      fc.property(fill, fc.array(step, { maxLength: 300 }), (atStart, steps) => {
        const credits = new Credits(atStart);
        let sent = 0;
        let told = credits.limit;
        for (const each of steps) {
          if (each.kind === "send" && sent < told) {
            sent += 1;
            expect(credits.take()).toBe(true);
          }
          if (each.kind === "done" && credits.inFlight > 0) credits.giveBack(each.fill);
          if (each.kind === "refresh") credits.refresh(each.fill);
          expect(credits.limit).toBeGreaterThanOrEqual(told);
          told = credits.limit;
          expect(credits.inFlight).toBeLessThanOrEqual(CREDIT_WINDOW_FRAMES);
        }
      }),
    );
  });

  it("come back for every frame: with nothing in flight a lane holds at least one, and all of them without load", () => {
    fc.assert(
      fc.property(fc.array(fill, { maxLength: 100 }), (fills) => {
        const credits = new Credits(0);
        for (const each of fills) {
          expect(credits.take()).toBe(true);
          credits.giveBack(each);
          expect(credits.outstanding).toBeGreaterThanOrEqual(1);
        }
        credits.refresh(0);
        expect(credits.outstanding).toBe(CREDIT_WINDOW_FRAMES);
      }),
    );
  });

  it("refuse the first frame beyond the limit and do not count it", () => {
    const credits = new Credits(0);
    for (let frame = 0; frame < CREDIT_WINDOW_FRAMES; frame++) expect(credits.take()).toBe(true);
    expect(credits.take()).toBe(false);
    expect(credits.inFlight).toBe(CREDIT_WINDOW_FRAMES);
  });

  it("come back only for frames that were taken", () => {
    expect(() => new Credits(0).giveBack(0)).toThrow("never taken");
  });

  it("shrink with the load down to one frame", () => {
    expect([0, 0.3, 0.5, 0.8, 1, 9].map(windowUnderLoad)).toEqual([4, 3, 2, 1, 1, 1]);
  });
});
