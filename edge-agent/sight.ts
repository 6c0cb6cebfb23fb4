// How the agent looks at images of whole hands: find the hand, cut its palm, judge it. On Node: node-sight.ts.
import type { Look } from "../palm/hand/sight.js";
import type { HandImage } from "../palm/hand/types.js";

export type { Look };

/** One look at a time. The pixels become the sight's own. */
export interface Sight {
  /** One image of a stream, in its order. @param nowMs when it was taken, on one clock for all looks */
  look(image: HandImage, nowMs: number): Promise<Look>;
  /** An image that stands for itself. */
  lookAtStill(image: HandImage): Promise<Look>;
  close(): Promise<void>;
}
