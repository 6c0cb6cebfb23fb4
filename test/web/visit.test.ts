// One person's visit: when the lane guides, presents and waits.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BestCrops, CROP_BOUNDS } from "../../edge-agent/best-crops.js";
import type { FoundHand, Look } from "../../palm/hand/index.js";
import { Visit } from "../../web/lane/visit.js";

const HAND: FoundHand = {
  side: "LEFT",
  corners: [
    { x: 0, y: 0 },
    { x: 1, y: 0 },
    { x: 1, y: 1 },
    { x: 0, y: 1 },
  ],
  landmarks: [],
  presence: 1,
  path: "SEARCHED",
};
const FRAME_MS = 33;
const NOBODY: Look = { kind: "nothing", reason: "NO_HAND" };
const FIST: Look = { kind: "nothing", reason: "HAND_CLOSED" };
const TOO_FAR: Look = { kind: "guide", reason: "CLOSER", hand: HAND };
const palm = (score: number): Look => ({
  kind: "palm",
  roi: { width: 1, height: 1, pixels: Uint8Array.of(1) },
  score,
  hand: HAND,
});
const good = () => palm(CROP_BOUNDS.goodScore);

/** A visit that is told frames at the camera's pace. */
function visitAt() {
  const crops = new BestCrops();
  const visit = new Visit(crops);
  let nowMs = 0;
  const see = (look: Look) => {
    nowMs += FRAME_MS;
    return visit.see(look, nowMs).kind;
  };
  const until = (kind: string, look: () => Look, mostMs = 10_000) => {
    const fromMs = nowMs;
    while (see(look()) !== kind) if (nowMs - fromMs > mostMs) return Number.POSITIVE_INFINITY;
    return nowMs - fromMs;
  };
  return { visit, crops, see, until, ended: (isGranted: boolean) => visit.ended(isGranted, nowMs) };
}

describe("a visit", () => {
  it("guides until a palm can be cut, in the words of the look's reason", () => {
    const { visit } = visitAt();
    expect(visit.see(NOBODY, 0)).toEqual({ kind: "guide", reason: "NO_HAND" });
    expect(visit.see(FIST, 1)).toEqual({ kind: "guide", reason: "OPEN_HAND" });
    expect(visit.see(TOO_FAR, 2)).toEqual({ kind: "guide", reason: "CLOSER" });
  });

  it("presents a good palm at once, and a middling one after a while of holding", () => {
    expect(visitAt().see(good())).toBe("present");
    const { see, until } = visitAt();
    expect(see(palm(50))).toBe("hold");
    const heldMs = until("present", () => palm(50));
    expect(heldMs).toBeGreaterThanOrEqual(CROP_BOUNDS.collectMs - FRAME_MS);
    expect(heldMs).toBeLessThanOrEqual(CROP_BOUNDS.collectMs + FRAME_MS);
  });

  it("presents once for a visit that is granted, however long the hand stays", () => {
    const { see, until, ended } = visitAt();
    see(good());
    ended(true);
    expect(until("present", good)).toBe(Number.POSITIVE_INFINITY);
    expect(until("guide", () => NOBODY)).toBeLessThan(1_000);
    expect(see(good())).toBe("present");
  });

  it("lets a refused person read why, then try again without leaving", () => {
    const { see, until, ended } = visitAt();
    see(good());
    ended(false);
    const againMs = until("present", good);
    expect(againMs).toBeGreaterThan(2_000);
    expect(againMs).toBeLessThan(4_000);
  });

  it("does not mix the crops of two people", () => {
    const { crops, see, until } = visitAt();
    see(palm(60));
    until("never", () => NOBODY, 1_500);
    expect(crops.isReady(Number.MAX_SAFE_INTEGER)).toBe(false);
  });

  it("never presents while a presentation is under way, whatever the camera sees", () => {
    const looks = fc.array(fc.constantFrom("nobody", "fist", "far", "poor", "good"), { maxLength: 200 });
    fc.assert(
      fc.property(looks, (names) => {
        const { see } = visitAt();
        const lookOf = {
          nobody: () => NOBODY,
          fist: () => FIST,
          far: () => TOO_FAR,
          poor: () => palm(40),
          good,
        };
        const presented = names.filter((name) => see(lookOf[name]()) === "present");
        expect(presented.length).toBeLessThanOrEqual(1);
      }),
    );
  });
});
