// The pictures of one hand: which of the looks become captures, and what the person hears meanwhile. Pure.
//
// Invariants:
// - a capture is the best crop of a short while, of the hand that was asked for and of no other;
// - captures are CAPTURES_APART_MS apart, so that they are three pictures and not one three times;
// - crops that are not kept are zeroed at once; `clear` zeroes those that are.
import { type Guidance, guidanceOf, type HandSide, type Look } from "../../palm/hand/index.js";
import type { GreyImage } from "../../palm/image.js";

export const CAPTURES_PER_HAND = 3;
/** So good that no better one is waited for. */
const GOOD_SCORE = 75;
/** How long after the first crop the best one must do. */
const COLLECT_MS = 400;
const CAPTURES_APART_MS = 900;

/** OTHER_HAND: show the other one. HOLD: a picture is being taken. TAKEN: it was; move a little. WHOLE: all are there. */
export type Advice = Guidance | "OTHER_HAND" | "HOLD" | "TAKEN" | "WHOLE";

interface Best {
  roi: GreyImage;
  score: number;
  firstAtMs: number;
}

export class HandCaptures {
  readonly side: HandSide;
  readonly #taken: GreyImage[] = [];
  #best: Best | undefined;
  #takenAtMs = Number.NEGATIVE_INFINITY;

  constructor(side: HandSide) {
    this.side = side;
  }

  get taken(): readonly GreyImage[] {
    return this.#taken;
  }

  /** @param look its crop is this collection's from here on @param atMs when the frame was taken */
  see(look: Look, atMs: number): Advice {
    const isResting = atMs - this.#takenAtMs < CAPTURES_APART_MS;
    const isWanted = look.kind === "palm" && this.#isOurs(look) && !isResting && !this.#isWhole;
    if (isWanted) this.#offer(look, atMs);
    else if (look.kind === "palm") look.roi.pixels.fill(0);
    this.#takeWhenReady(atMs);
    if (this.#isWhole) return "WHOLE";
    if (isResting || atMs === this.#takenAtMs) return "TAKEN";
    if (isWanted) return "HOLD";
    if (look.kind === "palm") return "OTHER_HAND";
    return look.kind === "guide" ? look.reason : guidanceOf(look.reason);
  }

  clear(): void {
    for (const { pixels } of this.#taken.splice(0)) pixels.fill(0);
    this.#drop();
    this.#takenAtMs = Number.NEGATIVE_INFINITY;
  }

  get #isWhole(): boolean {
    return this.#taken.length >= CAPTURES_PER_HAND;
  }

  /** A contour has no landmarks, and so cannot tell left from right. */
  #isOurs({ hand }: Look & { kind: "palm" }): boolean {
    return hand.side === this.side || hand.landmarks.length === 0;
  }

  #offer({ roi, score }: Look & { kind: "palm" }, atMs: number): void {
    const best = this.#best;
    if (best && best.score >= score) {
      roi.pixels.fill(0);
      return;
    }
    best?.roi.pixels.fill(0);
    this.#best = { roi, score, firstAtMs: best?.firstAtMs ?? atMs };
  }

  #takeWhenReady(atMs: number): void {
    const best = this.#best;
    if (!best) return;
    if (best.score < GOOD_SCORE && atMs - best.firstAtMs < COLLECT_MS) return;
    this.#taken.push(best.roi);
    this.#takenAtMs = atMs;
    this.#best = undefined;
  }

  #drop(): void {
    this.#best?.roi.pixels.fill(0);
    this.#best = undefined;
  }
}
