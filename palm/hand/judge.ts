// How good a found palm is for matching, and what the person should do for a better one. Pure.
//
// In the terms of ISO/IEC 29794-1: a score of 0..100 that predicts matching, and the reason of the worst component
// (docs/quality.md). Components: exposure, contrast and sharpness of the region of interest (../quality.ts), and from
// where it lies: coverage (its share inside the image, the pixels it is cut from), pose (tilt; the turn in the image's
// plane is free), open hand (fingers stretched and apart), motion since the last image.
//
// Invariants: the score is the worst component's, so that no virtue hides a fault; each component is 1 where it does no
// harm and falls straight to 0; what cannot be seen (no landmarks, no previous image) costs nothing; never NaN.
import type { GreyImage } from "../image.js";
import { assessQuality, QUALITY_FLOOR, type QualityReason, ramp } from "../quality.js";
import {
  flatnessOf,
  insideShareOf,
  LANDMARK_COUNT,
  reachOf,
  shiftOf,
  sidePxOf,
  spreadOf,
  squarenessOf,
} from "./measures.js";
import { noiseInCut } from "./source-noise.js";
import type { FoundHand, HandImage, NotFound } from "./types.js";

/** What a person can do for a better image; the names are the wire's Reason. */
export type Guidance =
  | Exclude<QualityReason, "OK">
  | "HOLD_STILL"
  | "CLOSER"
  | "FARTHER"
  | "CENTRE_HAND"
  | "OPEN_HAND"
  | "SHOW_PALM"
  | "ONE_HAND"
  | "HOLD_FLAT"
  | "NO_HAND";

export interface Judgement {
  /** 0 useless .. 100 as good as it gets. */
  score: number;
  /** OK from the floor on; below, what the worst component asks for. */
  reason: Guidance | "OK";
}

/** Below this score a palm is not sent; one floor for lanes and gateways. */
export const JUDGE_FLOOR = QUALITY_FLOOR;

/** Where a component starts to cost, and where nothing is left of it. */
/** Side of the region in the image, pixels: a crop that grew from fewer has no more detail than they; misses begin at 30. */
const SIDE_PX = { full: 64, none: 16 };
/** The same, as a share of the image's shorter side: beyond, the hand does not fit and close lenses bend it. */
const SIDE_SHARE = { full: 0.85, none: 1.1 };
/** Share of the region inside the image. */
const INSIDE = { full: 0.98, none: 0.9 };
/** How round a circle of the region stays, for paths that see no bones: tilted by 45 degrees, 0.7. */
const SQUARENESS = { full: 0.8, none: 0.5 };
/** The same of the palm's bones: flat hands have 0.8 to 1, for hands differ. At 40 degrees, 0.6 to 0.85, half are missed. */
const FLATNESS = { full: 0.86, none: 0.64 };
/** Reach of the least stretched finger; flat hands have 1.6 and more, fists 1. */
const REACH = { full: 1.5, none: 1.15 };
/** Distance of neighbouring fingertips over the breadth of the roots; pressed together they hide the valleys. */
const SPREAD = { full: 0.25, none: 0.1 };
/** Sides of the region per second. A camera in a dim room exposes for 33 ms: 5 and 17 pixels of 128, and misses begin at 12. */
const SPEED_PER_S = { full: 1.2, none: 4 };
/** An older image says nothing about how fast the hand is now. */
const MAX_PREVIOUS_AGE_MS = 400;

const FROM_NOT_FOUND: Readonly<Record<NotFound, Guidance>> = {
  NO_HAND: "NO_HAND",
  TWO_HANDS: "ONE_HAND",
  BACK_OF_HAND: "SHOW_PALM",
  HAND_CLOSED: "OPEN_HAND",
  PARTLY_OUTSIDE: "CENTRE_HAND",
  BAD_IMAGE: "NO_HAND",
};

/** What to ask of the person when there is no palm to judge. */
export const guidanceOf = (reason: NotFound): Guidance => FROM_NOT_FOUND[reason];

/**
 * @param roi cut from `image` at `hand.corners`, of any size
 * @param previous the same hand in the last image, for its motion
 * @param nowMs when `image` was taken, on the clock of `previous`
 */
export function judge(
  image: HandImage,
  hand: FoundHand,
  roi: GreyImage,
  previous?: { hand: FoundHand; atMs: number },
  nowMs?: number,
): Judgement {
  const quality = assessQuality(roi, noiseInCut(image, hand.corners));
  // Where the palm lies comes first, for it wins a tie: grey values of what is outside mean nothing.
  const components: Component[] = [
    ...coverageOf(image, hand),
    ["HOLD_STILL", stillness(hand, previous, nowMs)],
    ["HOLD_FLAT", flatness(hand)],
    ...opennessOf(hand),
    [quality.reason, quality.score / 100],
  ];
  const [reason, worst] = components.reduce((low, each) => (each[1] < low[1] ? each : low));
  const score = Math.round(100 * worst);
  return { score, reason: score >= JUDGE_FLOOR ? "OK" : reason };
}

type Component = readonly [Guidance | "OK", number];

function coverageOf({ width, height }: HandImage, { corners }: FoundHand): Component[] {
  const sidePx = sidePxOf(corners);
  return [
    ["CENTRE_HAND", ramp(insideShareOf(corners, width, height), INSIDE)],
    ["FARTHER", ramp(sidePx / Math.min(width, height), SIDE_SHARE)],
    ["CLOSER", ramp(sidePx, SIDE_PX)],
  ];
}

function flatness({ corners, landmarks }: FoundHand): number {
  if (landmarks.length !== LANDMARK_COUNT) return ramp(squarenessOf(corners), SQUARENESS);
  return ramp(flatnessOf(landmarks), FLATNESS);
}

function opennessOf({ landmarks }: FoundHand): Component[] {
  if (landmarks.length !== LANDMARK_COUNT) return [];
  return [["OPEN_HAND", Math.min(ramp(reachOf(landmarks), REACH), ramp(spreadOf(landmarks), SPREAD))]];
}

function stillness(
  hand: FoundHand,
  previous: { hand: FoundHand; atMs: number } | undefined,
  nowMs: number | undefined,
): number {
  if (previous === undefined || nowMs === undefined || previous.hand.side !== hand.side) return 1;
  const agoMs = nowMs - previous.atMs;
  if (!(agoMs > 0 && agoMs <= MAX_PREVIOUS_AGE_MS)) return 1;
  return ramp((shiftOf(hand.corners, previous.hand.corners) / agoMs) * 1000, SPEED_PER_S);
}
