// One look at an image: find the hand, cut its palm, judge it. What comes out is a palm to send, or what to tell the person.
//
// Invariants:
// - a palm comes out only of a hand that was steadily found (followed from the last image, or by its contour), and above
//   the floor of judge.ts; a crop that is not handed out is zeroed;
// - one look at a time.
import type { GreyImage } from "../image.js";
import { cutRoi } from "./cut.js";
import { HandFinder } from "./finder.js";
import { type Guidance, judge } from "./judge.js";
import type { FindResult, FoundHand, HandImage, HandNetworks, NotFound } from "./types.js";

export type Look =
  | { kind: "nothing"; reason: NotFound }
  | { kind: "guide"; reason: Guidance; hand?: FoundHand | undefined }
  /** score: 0 .. 100, of judge.ts. */
  | { kind: "palm"; roi: GreyImage; score: number; hand: FoundHand };

export class HandSight {
  readonly #finder: HandFinder;
  #previous: { hand: FoundHand; atMs: number } | undefined;

  constructor(networks: HandNetworks) {
    this.#finder = new HandFinder(networks);
  }

  /** The next look starts anew. */
  forget(): void {
    this.#finder.forget();
    this.#previous = undefined;
  }

  /**
   * One image of a stream, in its order. The image in which a hand is first seen gives no palm yet: the next one does.
   * @param nowMs when it was taken, on one clock for all looks
   */
  async look(image: HandImage, nowMs: number): Promise<Look> {
    const found = await this.#finder.find(image);
    const previous = this.#previous;
    this.#previous = found.ok ? { hand: found.hand, atMs: nowMs } : undefined;
    if (found.ok && found.hand.path === "SEARCHED") {
      return { kind: "guide", reason: "HOLD_STILL", hand: found.hand };
    }
    return seen(image, found, previous, nowMs);
  }

  /** An image that stands for itself. Takes longer than a look, and leaves nothing for the next. */
  async lookAtStill(image: HandImage): Promise<Look> {
    this.#previous = undefined;
    return seen(image, await this.#finder.findStill(image));
  }
}

function seen(
  image: HandImage,
  found: FindResult,
  previous?: { hand: FoundHand; atMs: number },
  nowMs?: number,
): Look {
  if (!found.ok) return { kind: "nothing", reason: found.reason };
  const { hand } = found;
  const roi = cutRoi(image, hand.corners);
  const { score, reason } = judge(image, hand, roi, previous, nowMs);
  if (reason === "OK") return { kind: "palm", roi, score, hand };
  roi.pixels.fill(0);
  return { kind: "guide", reason, hand };
}
