// Thresholds: what a wanted rate of wrong names means as a similarity, by the calibration beside the model.
import { type Calibration, thresholdFor } from "../palm/calibration.js";
import type { Policy } from "../wire/directory.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../wire/limits.js";
import type { PolicyRules } from "./policy.js";

/** A gallery grows one enrolment at a time, so the same few rates are asked for again and again. */
const MAX_REMEMBERED_RATES = 256;

/** Similarity that a non-mated comparison passes with the given probability. Never increases with it. */
export type SimilarityFor = (falseMatchRate: number) => number;

/** The calibration's function with a bounded memory. */
export function similarityBy(calibration: Calibration): SimilarityFor {
  const known = new Map<number, number>();
  return (rate) => {
    const before = known.get(rate);
    if (before !== undefined) return before;
    if (known.size >= MAX_REMEMBERED_RATES) known.clear();
    const similarity = thresholdFor(calibration, rate);
    known.set(rate, similarity);
    return similarity;
  };
}

/** The rules by which a presentation of one purpose is decided. */
export const rulesOf = (
  policy: Policy,
  purpose: "ENTRY" | "PAY",
  { similarityFor, framesToAgree }: { similarityFor: SimilarityFor; framesToAgree: number },
): PolicyRules => ({
  targetFpir: policy[purpose].targetFpir,
  ambiguityMargin: policy.ambiguityMargin,
  maxFrames: MAX_FRAMES_PER_PRESENTATION,
  framesToAgree,
  similarityFor,
});
