// One person's visit, frame by frame: when to guide, when to present, when the next may begin. Pure.
//
// Invariants:
// - one presentation for a visit that was granted: the next begins when the hand has been gone for GONE_AFTER_MS;
// - any other end may be tried again without leaving, AGAIN_AFTER_MS after it, so that its words can be read;
// - nothing is presented before its crops are ready (edge-agent/best-crops.ts).
import type { BestCrops } from "../../edge-agent/best-crops.js";
import { type Guidance, guidanceOf, type Look } from "../../palm/hand/index.js";

const GONE_AFTER_MS = 500;
const AGAIN_AFTER_MS = 2_500;
/** Crops of a hand that left are not mixed with those of the next. */
const CROPS_LAST_MS = 1_000;

export type Step =
  /** NO_HAND: nobody is there. */
  | { kind: "guide"; reason: Guidance }
  | { kind: "hold" }
  | { kind: "present" }
  /** Under way, or its end is still shown. */
  | { kind: "wait" };

type Phase =
  | { kind: "watching" }
  | { kind: "presenting" }
  | { kind: "granted" }
  | { kind: "again"; sinceMs: number };

export class Visit {
  readonly #crops: BestCrops;
  #phase: Phase = { kind: "watching" };
  /** When a hand was last in the picture, and a palm that could be cut. */
  #handAtMs = Number.NEGATIVE_INFINITY;
  #palmAtMs = Number.NEGATIVE_INFINITY;

  constructor(crops: BestCrops) {
    this.#crops = crops;
  }

  /** @param atMs when the frame was taken, on the clock of performance.now() */
  see(look: Look, atMs: number): Step {
    if (isHand(look)) this.#handAtMs = atMs;
    this.#rest(atMs);
    const isOpen = this.#phase.kind === "watching" || this.#phase.kind === "presenting";
    if (isOpen) this.#collect(look, atMs);
    if (this.#phase.kind !== "watching") return { kind: "wait" };
    if (this.#crops.isReady(atMs)) {
      this.#phase = { kind: "presenting" };
      return { kind: "present" };
    }
    if (look.kind === "palm") return { kind: "hold" };
    return { kind: "guide", reason: look.kind === "guide" ? look.reason : guidanceOf(look.reason) };
  }

  /** The presentation has ended. */
  ended(isGranted: boolean, atMs: number): void {
    this.#crops.clear();
    this.#phase = isGranted ? { kind: "granted" } : { kind: "again", sinceMs: atMs };
  }

  #rest(atMs: number): void {
    const isGone = atMs - this.#handAtMs >= GONE_AFTER_MS;
    const phase = this.#phase;
    if (phase.kind === "granted" && isGone) this.#phase = { kind: "watching" };
    if (phase.kind === "again" && atMs - phase.sinceMs >= AGAIN_AFTER_MS) this.#phase = { kind: "watching" };
  }

  #collect(look: Look, atMs: number): void {
    if (look.kind === "palm") {
      this.#palmAtMs = atMs;
      this.#crops.offer({ roi: look.roi, score: look.score, atMs });
    } else if (this.#phase.kind === "watching" && atMs - this.#palmAtMs >= CROPS_LAST_MS) {
      this.#crops.clear();
    }
  }
}

const isHand = (look: Look): boolean => look.kind !== "nothing" || look.reason !== "NO_HAND";
