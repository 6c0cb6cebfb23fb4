// Which looks become the pictures of a hand: the asked hand's best, three of them, apart in time.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FoundHand, HandSide, Look, NotFound } from "../../palm/hand/index.js";
import type { GreyImage } from "../../palm/image.js";
import { CAPTURES_PER_HAND, HandCaptures } from "../../web/enroll/captures.js";

const POINT = { x: 0, y: 0 };
const LANDMARKS = 21;
const FRAME_MS = 33;

const handOf = (side: HandSide, landmarks = LANDMARKS): FoundHand => ({
  side,
  corners: [POINT, POINT, POINT, POINT],
  landmarks: Array.from({ length: landmarks }, () => POINT),
  presence: 1,
  path: landmarks > 0 ? "TRACKED" : "CONTOUR",
});

const crop = (): GreyImage => ({ width: 2, height: 2, pixels: new Uint8Array(4).fill(9) });
const palm = (score: number, side: HandSide = "RIGHT", landmarks = LANDMARKS): Look & { kind: "palm" } => ({
  kind: "palm",
  roi: crop(),
  score,
  hand: handOf(side, landmarks),
});
const nothing = (reason: NotFound = "NO_HAND"): Look => ({ kind: "nothing", reason });

const isZeroed = ({ roi }: { roi: GreyImage }) => roi.pixels.every((value) => value === 0);

/** Looks one after another, a frame apart. @returns what was advised last */
function seeAll(captures: HandCaptures, looks: readonly Look[], fromMs = 0) {
  return looks.map((look, index) => captures.see(look, fromMs + index * FRAME_MS)).at(-1);
}

describe("the pictures of a hand", () => {
  it("are three, and then it is whole", () => {
    const captures = new HandCaptures("RIGHT");
    const looks = Array.from({ length: 100 }, () => palm(90));
    expect(seeAll(captures, looks)).toBe("WHOLE");
    expect(captures.taken).toHaveLength(CAPTURES_PER_HAND);
    expect(looks.filter((look) => !isZeroed(look))).toHaveLength(CAPTURES_PER_HAND);
  });

  it("are the best of a while, when none is good at once", () => {
    const captures = new HandCaptures("RIGHT");
    const looks = [palm(50), palm(60), palm(55), ...Array.from({ length: 12 }, () => palm(40))];
    seeAll(captures, looks);
    expect(captures.taken).toEqual([looks[1]?.roi]);
  });

  it("are of the hand that was asked for", () => {
    const captures = new HandCaptures("LEFT");
    const looks = Array.from({ length: 100 }, () => palm(90, "RIGHT"));
    expect(seeAll(captures, looks)).toBe("OTHER_HAND");
    expect(captures.taken).toHaveLength(0);
    expect(looks.every(isZeroed)).toBe(true);
  });

  it("are also taken from a contour, which cannot tell which hand it is", () => {
    const captures = new HandCaptures("LEFT");
    captures.see(palm(90, "RIGHT", 0), 0);
    expect(captures.taken).toHaveLength(1);
  });

  it("leave nothing behind when they are cleared", () => {
    const captures = new HandCaptures("RIGHT");
    const looks = [palm(90), palm(50)];
    captures.see(looks[0] ?? nothing(), 0);
    captures.see(looks[1] ?? nothing(), 2000);
    captures.clear();
    expect(captures.taken).toHaveLength(0);
    expect(looks.every(isZeroed)).toBe(true);
  });

  it("say what is seen while there is none to take", () => {
    const captures = new HandCaptures("RIGHT");
    expect(captures.see(nothing(), 0)).toBe("NO_HAND");
    expect(captures.see(nothing("BACK_OF_HAND"), 1)).toBe("SHOW_PALM");
    expect(captures.see({ kind: "guide", reason: "CLOSER" }, 2)).toBe("CLOSER");
    expect(captures.see(palm(50), 3)).toBe("HOLD");
    expect(captures.see(palm(90), 4)).toBe("TAKEN");
    expect(captures.see(palm(90), 5)).toBe("TAKEN");
  });

  it("are at least 900 ms apart, never more than three, and every crop is kept or zeroed", () => {
    const look = fc.oneof(
      fc.record({
        score: fc.integer({ min: 0, max: 100 }),
        side: fc.constantFrom<HandSide>("LEFT", "RIGHT"),
      }),
      fc.constant(undefined),
    );
    fc.assert(
      fc.property(fc.array(look, { maxLength: 200 }), fc.integer({ min: 5, max: 400 }), (seen, frameMs) => {
        const captures = new HandCaptures("RIGHT");
        const palms: (Look & { kind: "palm" })[] = [];
        const takenAtMs: number[] = [];
        for (const [index, each] of seen.entries()) {
          const before = captures.taken.length;
          const one = each ? palm(each.score, each.side) : nothing();
          if (one.kind === "palm") palms.push(one);
          captures.see(one, index * frameMs);
          if (captures.taken.length > before) takenAtMs.push(index * frameMs);
        }
        expect(captures.taken.length).toBeLessThanOrEqual(CAPTURES_PER_HAND);
        for (const [index, atMs] of takenAtMs.entries()) {
          if (index > 0) expect(atMs - (takenAtMs[index - 1] ?? 0)).toBeGreaterThanOrEqual(900);
        }
        const pending = palms.filter((each) => !isZeroed(each) && !captures.taken.includes(each.roi));
        expect(pending.length).toBeLessThanOrEqual(1);
        captures.clear();
        expect(palms.every(isZeroed)).toBe(true);
      }),
    );
  });
});
