import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seeded } from "../../../bench/seeded.js";
import { type Guidance, guidanceOf, JUDGE_FLOOR, judge } from "../../../palm/hand/judge.js";
import type { FoundHand, HandImage, NotFound, Point } from "../../../palm/hand/types.js";
import { type GreyImage, GUIDED_HAND, renderSample, synthesiseIdentity } from "../../../palm/index.js";
import { edge } from "../../../wire/codec.js";
import { drawn, palm } from "../support.js";
import { drawnHand, IMAGE, type Placed } from "./drawn-hand.js";

/** Hardly any noise, so that nothing is wrong with it. */
const ROI = renderSample(synthesiseIdentity(7), { seed: 1, variation: { ...GUIDED_HAND, noise: 1 } });
const look = (placed: Placed = {}, roi: GreyImage = ROI) => judge(IMAGE, drawnHand(placed), roi);
const random = seeded(1);
const NOISE = drawn(128, 128, () => Math.floor(256 * random()));
function moved(hand: FoundHand, by: Point): FoundHand {
  const [a, b, c, d] = hand.corners;
  const shift = ({ x, y }: Point) => ({ x: x + by.x, y: y + by.y });
  return { ...hand, corners: [shift(a), shift(b), shift(c), shift(d)] };
}
const FRAME_MS = 33;

describe("a judged palm", () => {
  it("is as good as it gets when the hand is flat, open, still and near enough", () => {
    expect(look()).toEqual({ score: 100, reason: "OK" });
  });

  it.each<[Guidance, Placed]>([
    ["CLOSER", { sidePx: 30 }],
    ["FARTHER", { sidePx: 520, centre: { x: 320, y: 240 } }],
    ["CENTRE_HAND", { centre: { x: 60, y: 300 } }],
    ["CENTRE_HAND", { centre: { x: 320, y: 900 } }],
    ["HOLD_FLAT", { breadth: 0.5, sidePx: 250 }],
    ["HOLD_FLAT", { length: 0.5, sidePx: 250 }],
    ["OPEN_HAND", { stretch: 0.2 }],
    ["OPEN_HAND", { stretch: 0 }],
  ])("asks for %s (case %#)", (reason, placed) => {
    const judgement = look(placed);
    expect(judgement.reason).toBe(reason);
    expect(judgement.score).toBeLessThan(JUDGE_FLOOR);
  });

  it.each<[Guidance, GreyImage]>([
    ["TOO_DARK", drawn(128, 128, () => 0)],
    ["TOO_BRIGHT", drawn(128, 128, () => 255)],
    ["LOW_CONTRAST", drawn(128, 128, () => 128)],
    ["BLURRED", drawn(128, 128, (x) => 60 + x)],
    ["TOO_DARK", NOISE],
    ["LOW_CONTRAST", drawn(1, 1, () => 128)],
  ])("asks for %s when the crop shows no palm (case %#)", (reason, roi) => {
    const judgement = look({}, roi);
    expect(judgement.reason).toBe(reason);
    expect(judgement.score).toBeLessThan(JUDGE_FLOOR);
  });

  it("asks for the worst fault, and for the hand's place before its light when both are hopeless", () => {
    expect(
      look(
        { sidePx: 10 },
        drawn(128, 128, () => 0),
      ).reason,
    ).toBe("CLOSER");
    expect(
      look(
        { sidePx: 30 },
        drawn(128, 128, () => 0),
      ).reason,
    ).toBe("TOO_DARK");
  });

  it("is judged without landmarks too, as a close-up sensor sees it", () => {
    const hand: FoundHand = { ...drawnHand({ stretch: 0 }), landmarks: [], path: "CONTOUR" };
    expect(judge(IMAGE, hand, ROI)).toEqual({ score: 100, reason: "OK" });
    const squeezed: FoundHand = { ...drawnHand({ breadth: 0.5, sidePx: 250 }), landmarks: [] };
    expect(judge(IMAGE, squeezed, ROI).reason).toBe("HOLD_FLAT");
  });

  it("leaves the image and the crop as they were", () => {
    const roi = palm(3);
    const [image, before] = [{ ...IMAGE, pixels: IMAGE.pixels.slice() }, roi.pixels.slice()];
    judge(image, drawnHand(), roi);
    expect(roi.pixels).toEqual(before);
    expect(image.pixels).toEqual(IMAGE.pixels);
  });
});

describe("motion", () => {
  const hand = drawnHand();
  const judgedAfter = (by: Point, agoMs = FRAME_MS) =>
    judge(IMAGE, hand, ROI, { hand: moved(hand, by), atMs: 1000 }, 1000 + agoMs);

  it("asks to hold still when the palm crossed a quarter of itself between two frames", () => {
    expect(judgedAfter({ x: 38, y: 0 })).toMatchObject({ reason: "HOLD_STILL", score: 0 });
    expect(judgedAfter({ x: 1, y: 1 })).toEqual({ score: 100, reason: "OK" });
  });

  it("goes by speed: the same way in more time is still enough", () => {
    expect(judgedAfter({ x: 25, y: 0 }).reason).toBe("HOLD_STILL");
    expect(judgedAfter({ x: 25, y: 0 }, 6 * FRAME_MS).reason).toBe("OK");
  });

  it.each([
    ["no time between them", judgedAfter({ x: 99, y: 0 }, 0)],
    ["time that ran backwards", judgedAfter({ x: 99, y: 0 }, -FRAME_MS)],
    ["an image of long ago", judgedAfter({ x: 99, y: 0 }, 5000)],
    ["no clock", judge(IMAGE, hand, ROI, { hand: moved(hand, { x: 99, y: 0 }), atMs: 1000 })],
    [
      "another hand",
      judge(IMAGE, hand, ROI, { hand: { ...moved(hand, { x: 99, y: 0 }), side: "LEFT" }, atMs: 1 }, 34),
    ],
  ])("is not guessed from %s", (_, judgement) => {
    expect(judgement).toEqual({ score: 100, reason: "OK" });
  });
});

describe("the score", () => {
  const falls = (scores: number[]) => expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  const steps = Array.from({ length: 12 }, (_, i) => i / 11);

  it("never rises as the hand leaves the image, shrinks, tilts, closes or moves faster", () => {
    falls(steps.map((step) => look({ centre: { x: 320 - 340 * step, y: 300 } }).score));
    falls(steps.map((step) => look({ sidePx: 150 - 140 * step }).score));
    falls(steps.map((step) => look({ breadth: 1 - 0.9 * step }).score));
    falls(steps.map((step) => look({ length: 1 - 0.9 * step }).score));
    falls(steps.map((step) => look({ stretch: 1 - step }).score));
    const hand = drawnHand();
    falls(
      steps.map((step) => {
        const previous = { hand: moved(hand, { x: 60 * step, y: 0 }), atMs: 0 };
        return judge(IMAGE, hand, ROI, previous, FRAME_MS).score;
      }),
    );
  });

  it("is the same however the hand is turned in the image", () => {
    const image: HandImage = { width: 900, height: 900, channels: 1, pixels: new Uint8Array(810_000) };
    const placed = fc.record({
      turnRad: fc.double({ min: -Math.PI, max: Math.PI, noNaN: true }),
      breadth: fc.double({ min: 0.5, max: 1, noNaN: true }),
      length: fc.double({ min: 0.5, max: 1, noNaN: true }),
      stretch: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const judged = (given: Placed) =>
      judge(image, drawnHand({ ...given, centre: { x: 450, y: 450 }, sidePx: 140 }), ROI);
    fc.assert(
      fc.property(placed, (given) => {
        const [turned, upright] = [judged(given), judged({ ...given, turnRad: 0 })];
        // A hair's breadth may round to the other side.
        expect(Math.abs(turned.score - upright.score)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("is a whole number of 0 to 100 wherever the points lie, and OK exactly from the floor on", () => {
    const number = fc.oneof(
      fc.double({ min: -2000, max: 2000 }),
      fc.constantFrom(0, 320, Infinity, -Infinity),
    );
    const point = fc.record({ x: number, y: number });
    const hand: fc.Arbitrary<FoundHand> = fc.record({
      side: fc.constantFrom("LEFT" as const, "RIGHT" as const),
      corners: fc.tuple(point, point, point, point),
      landmarks: fc.oneof(fc.array(point, { minLength: 21, maxLength: 21 }), fc.constant([])),
      presence: fc.double({ min: 0, max: 1, noNaN: true }),
      path: fc.constantFrom("SEARCHED" as const, "TRACKED" as const, "CONTOUR" as const),
    });
    fc.assert(
      fc.property(hand, hand, fc.double(), (now, before, nowMs) => {
        const { score, reason } = judge(IMAGE, now, ROI, { hand: before, atMs: 0 }, nowMs);
        expect(Number.isInteger(score) && score >= 0 && score <= 100).toBe(true);
        expect(reason === "OK").toBe(score >= JUDGE_FLOOR);
      }),
    );
  });
});

describe("guidance", () => {
  it.each<[NotFound, Guidance]>([
    ["NO_HAND", "NO_HAND"],
    ["TWO_HANDS", "ONE_HAND"],
    ["BACK_OF_HAND", "SHOW_PALM"],
    ["HAND_CLOSED", "OPEN_HAND"],
    ["PARTLY_OUTSIDE", "CENTRE_HAND"],
    ["BAD_IMAGE", "NO_HAND"],
  ])("turns %s into %s, a reason of the wire", (notFound, guidance) => {
    expect(guidanceOf(notFound)).toBe(guidance);
    expect(edge.Reason[guidance]).toBeGreaterThanOrEqual(40);
  });
});
