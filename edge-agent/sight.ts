// How the agent looks at an image of a whole hand: find it, cut the palm, judge it. The work is done in a thread of its
// own, for it blocks (palm/hand/node-sight.ts).
import type { Guidance } from "../palm/hand/judge.js";
import type { FoundHand, HandImage, NotFound } from "../palm/hand/types.js";
import type { GreyImage } from "../palm/image.js";
import { UsageError } from "../wire/config.js";

export type Look =
  | { kind: "nothing"; reason: NotFound }
  | { kind: "guide"; reason: Guidance; hand?: FoundHand | undefined }
  | { kind: "palm"; roi: GreyImage; score: number; hand: FoundHand };

export interface Sight {
  /** The pixels become the sight's own. @param nowMs when the image was taken, on one clock for all looks */
  look(image: HandImage, nowMs: number): Promise<Look>;
  close(): Promise<void>;
}

export async function openSight(): Promise<Sight> {
  throw new UsageError("this build finds no hands: it lacks palm/hand/node-sight.ts");
}
