// One person's visit before the camera, look by look: when it has begun, when to present, when the next may begin. Pure.
//
// Invariants:
// - one presentation for a visit, unless its end may be tried again: then AGAIN_AFTER_MS later, without leaving, and
//   MAX_PRESENTATIONS at most, so that a thing that only resembles a hand cannot ask for ever;
// - a visit is over when looks have seen no hand for GONE_AFTER_MS (that nobody looked says nothing); its crops are
//   overwritten then;
// - no crop waits longer than CROPS_LAST_MS to be presented: a gate opens for who is there now.

import type { Look } from "../../palm/hand/index.js";
import type { BestCrops } from "../best-crops.js";

const GONE_AFTER_MS = 400;
const AGAIN_AFTER_MS = 2_000;
const CROPS_LAST_MS = 1_000;
const MAX_PRESENTATIONS = 5;

type Phase =
  /** Collecting crops since `firstAtMs`; undefined: there is none yet. */
  | { kind: "watching"; firstAtMs: number | undefined }
  | { kind: "presenting"; hasLeft: boolean }
  /** `againAtMs` undefined: the hand must leave first. */
  | { kind: "ended"; againAtMs: number | undefined };

const watching = (): Phase => ({ kind: "watching", firstAtMs: undefined });

export class Visit {
  readonly #crops: BestCrops;
  #phase: Phase = watching();
  #handAtMs = Number.NEGATIVE_INFINITY;
  #isEmpty = true;
  #presentations = 0;

  constructor(crops: BestCrops) {
    this.#crops = crops;
  }

  /** Looks have seen no hand for a while. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** The presentation is over and the hand still here. */
  get isOver(): boolean {
    return this.#phase.kind === "ended";
  }

  /**
   * @param atMs when the image was taken, on the clock of performance.now()
   * @returns whether the crops may be presented now
   */
  see(look: Look, atMs: number): boolean {
    if (isHand(look)) {
      this.#handAtMs = atMs;
      this.#isEmpty = false;
    } else if (!this.#isEmpty && atMs - this.#handAtMs >= GONE_AFTER_MS) {
      this.#leave();
    }
    const phase = this.#phase;
    if (phase.kind === "ended" && phase.againAtMs !== undefined && atMs >= phase.againAtMs) {
      this.#phase = watching();
    }
    this.#dropOldCrops(atMs);
    if (look.kind === "palm") this.#collect(look, atMs);
    return this.#phase.kind === "watching" && this.#crops.isReady(atMs);
  }

  /** Somebody presents the crops. */
  begin(): void {
    this.#phase = { kind: "presenting", hasLeft: false };
    this.#presentations += 1;
  }

  /** The presentation has ended. */
  ended(mayTryAgain: boolean, nowMs: number): void {
    this.#crops.clear();
    if (this.#phase.kind === "presenting" && this.#phase.hasLeft) {
      this.#phase = watching();
      return;
    }
    const isTryLeft = this.#presentations < MAX_PRESENTATIONS;
    this.#phase = { kind: "ended", againAtMs: mayTryAgain && isTryLeft ? nowMs + AGAIN_AFTER_MS : undefined };
  }

  #collect({ roi, score }: Look & { kind: "palm" }, atMs: number): void {
    const phase = this.#phase;
    // A hand that comes during the presentation of one that left may be another's.
    if (phase.kind === "ended" || (phase.kind === "presenting" && phase.hasLeft)) {
      roi.pixels.fill(0);
      return;
    }
    if (phase.kind === "watching") phase.firstAtMs ??= atMs;
    this.#crops.offer({ roi, score, atMs });
  }

  #dropOldCrops(atMs: number): void {
    const phase = this.#phase;
    if (phase.kind !== "watching" || phase.firstAtMs === undefined) return;
    if (atMs - phase.firstAtMs <= CROPS_LAST_MS) return;
    this.#crops.clear();
    this.#phase = watching();
  }

  #leave(): void {
    this.#isEmpty = true;
    this.#presentations = 0;
    if (this.#phase.kind === "presenting") {
      this.#phase.hasLeft = true;
      return;
    }
    this.#crops.clear();
    this.#phase = watching();
  }
}

const isHand = (look: Look): boolean =>
  look.kind !== "nothing" || (look.reason !== "NO_HAND" && look.reason !== "BAD_IMAGE");
