// The crops of one visit: which is sent first, which next. A camera sees thirty a second, a gateway wants two or three.
//
// Invariants:
// - at most `maxKept` crops are kept, the best ones; those that go are zeroed, and `clear` zeroes all;
// - a presentation gets the best crop that it has not had yet, and no two from neighbouring frames, which hold the same
//   noise and teach the gateway nothing;
// - whoever asks for a crop waits for it no longer than `waitMs`: when no other comes (the hand has gone), the first one
//   goes once more as the last, so that the gateway decides on what it has and does not wait for its deadline.
import type { GreyImage } from "../palm/image.js";
import { edge } from "../wire/edge-codec.js";
import { type CapturedFrame, type Frames, greyImage, type Palm } from "./source/source.js";

export interface Crop {
  roi: GreyImage;
  /** 0 .. 100, see palm/hand/judge.ts. */
  score: number;
  /** When its frame was taken, on the clock of performance.now(). */
  atMs: number;
}

export interface CropBounds {
  /** One crop of this score is enough to begin. */
  goodScore: number;
  /** So long after the first crop the best one must do. */
  collectMs: number;
  maxKept: number;
  /** How long one presentation waits for a further crop. */
  waitMs: number;
  /** Crops nearer to each other than this count as the same. */
  apartMs: number;
  maxSent: number;
}

export const CROP_BOUNDS: Readonly<CropBounds> = {
  goodScore: 75,
  collectMs: 250,
  maxKept: 8,
  waitMs: 250,
  apartMs: 60,
  maxSent: 3,
};

export class BestCrops {
  readonly #bounds: Readonly<CropBounds>;
  /** Best first. */
  #crops: Crop[] = [];
  #firstAtMs: number | undefined;
  #wake = new Set<() => void>();

  constructor(bounds: Readonly<CropBounds> = CROP_BOUNDS) {
    this.#bounds = bounds;
  }

  /** Takes a crop; it is this collection's from here on. */
  offer(crop: Crop): void {
    this.#firstAtMs ??= crop.atMs;
    this.#crops.push(crop);
    this.#crops.sort((a, b) => b.score - a.score || a.atMs - b.atMs);
    this.#crops.splice(this.#bounds.maxKept).forEach(zero);
    for (const wake of [...this.#wake]) wake();
  }

  /** Whether a presentation may begin. @param nowMs on the clock of performance.now() */
  isReady(nowMs: number): boolean {
    const [best] = this.#crops;
    if (!best || this.#firstAtMs === undefined) return false;
    return best.score >= this.#bounds.goodScore || nowMs - this.#firstAtMs >= this.#bounds.collectMs;
  }

  clear(): void {
    this.#crops.splice(0).forEach(zero);
    this.#firstAtMs = undefined;
  }

  /** The palm of this visit: yields crops as they are asked for, also those that come meanwhile. */
  palm(label: string, modality: edge.Modality = edge.Modality.VISIBLE): Palm {
    return { label, frames: () => this.#frames(modality) };
  }

  #frames(modality: edge.Modality): Frames {
    const sent: Crop[] = [];
    return {
      next: async (): Promise<CapturedFrame | undefined> => {
        const fresh = this.#bestBeside(sent) ?? (await this.#awaited(sent));
        const crop = fresh ?? sent[0];
        if (!crop) return undefined;
        sent.push(crop);
        // The pixels may be zeroed while the frame is still on its way.
        const roi = { ...crop.roi, pixels: crop.roi.pixels.slice() };
        return { image: greyImage(roi, modality), last: !fresh || sent.length >= this.#bounds.maxSent };
      },
    };
  }

  #bestBeside(sent: readonly Crop[]): Crop | undefined {
    const isFar = (a: Crop, b: Crop) => Math.abs(a.atMs - b.atMs) >= this.#bounds.apartMs;
    return this.#crops.find((crop) => sent.every((other) => isFar(crop, other)));
  }

  #awaited(sent: readonly Crop[]): Promise<Crop | undefined> {
    return new Promise((resolve) => {
      const answer = (crop: Crop | undefined) => {
        clearTimeout(timer);
        this.#wake.delete(look);
        resolve(crop);
      };
      const look = () => {
        const crop = this.#bestBeside(sent);
        if (crop) answer(crop);
      };
      const timer = setTimeout(() => answer(undefined), this.#bounds.waitMs);
      this.#wake.add(look);
    });
  }
}

const zero = ({ roi }: Crop): void => void roi.pixels.fill(0);
