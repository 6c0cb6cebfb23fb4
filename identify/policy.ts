// The policy, pure: what the frames of one presentation say about who it is.
//
// The threshold is never an operator's number. Operators set a target FPIR (ISO/IEC 19795-1: share of presentations of
// unknown palms that end with somebody's name). A presentation compares up to `maxFrames` probes with `templates`
// templates each, so by the union bound a per-comparison false match rate of FPIR / (templates x maxFrames) keeps the
// target, even though a presentation may decide after any of its frames. The calibration turns that rate into a similarity.
// `templates` is all that were searched, not the few whose line maps a search compares: those are the likeliest to be alike.
//
// Invariants (each a property test):
// - a stricter target never turns another outcome into MATCH;
// - a frame with a shard missing, or lost, is no evidence: it never makes MATCH or NO_MATCH; while one is there
//   the outcome is MATCH by the complete frames alone, or UNDECIDED;
// - MATCH only when as many frames as the rules want find that member above the threshold, each by itself;
// - neither the order of candidates nor the order of frames changes the outcome.

import { type Candidate, mergeCandidates } from "./merge.js";

/** What one frame has told. Poor frames are never searched with. */
export type Evidence =
  | { kind: "searched"; complete: boolean; candidates: readonly Candidate[]; templates: number }
  | { kind: "poor"; reason: PoorReason }
  /** No signer had it in time, or its thread died: nobody has seen it. */
  | { kind: "lost" };

export type PoorReason = "TOO_DARK" | "TOO_BRIGHT" | "BLURRED" | "LOW_CONTRAST";

export interface PolicyRules {
  /** Wanted false positive identification rate, 0..1. */
  targetFpir: number;
  /** Frames a presentation may have. */
  maxFrames: number;
  /** Similarity by which the best member must lead the second. */
  ambiguityMargin: number;
  /** Similarity that a non-mated comparison passes with the given probability. Never increases with it. */
  similarityFor(falseMatchRate: number): number;
  /** Frames that must each find the member above the threshold: 2 for money. Time runs out where they do not come. */
  framesToAgree: number;
}

export type Verdict =
  | { outcome: "MATCH"; member: string }
  | { outcome: "NO_MATCH"; reason: "NOT_RECOGNISED" }
  | { outcome: "AMBIGUOUS"; reason: "TWO_CANDIDATES" }
  | { outcome: "LOW_QUALITY"; reason: PoorReason }
  | { outcome: "UNDECIDED"; reason: "SHARD_MISSING" | "DEADLINE_PASSED" };

/**
 * Decides on the frames seen so far.
 * @param evidence at least one frame
 */
export function decide(evidence: readonly Evidence[], rules: PolicyRules): Verdict {
  const searched = evidence.filter((each) => each.kind === "searched");
  const complete = searched.filter((each) => each.complete);
  const verdict = complete.length > 0 ? judge(complete, rules) : undefined;
  if (verdict?.outcome === "MATCH") return verdict;
  if (complete.length < searched.length) return { outcome: "UNDECIDED", reason: "SHARD_MISSING" };
  if (evidence.some((each) => each.kind === "lost"))
    return { outcome: "UNDECIDED", reason: "DEADLINE_PASSED" };
  return verdict ?? { outcome: "LOW_QUALITY", reason: lastPoorReason(evidence) };
}

/** Fuses complete frames (best similarity of each member) and compares with the threshold. */
function judge(frames: readonly (Evidence & { kind: "searched" })[], rules: PolicyRules): Verdict {
  const threshold = thresholdOf(Math.max(...frames.map((frame) => frame.templates)), rules);
  const [best, rival] = mergeCandidates(frames.map((frame) => frame.candidates));
  // Not `<`: what is no number is nobody either.
  if (best === undefined || !(best.similarity >= threshold))
    return { outcome: "NO_MATCH", reason: "NOT_RECOGNISED" };
  if (rival !== undefined && rival.similarity >= best.similarity - rules.ambiguityMargin)
    return { outcome: "AMBIGUOUS", reason: "TWO_CANDIDATES" };
  const agreeing = frames.filter(({ candidates }) =>
    candidates.some(({ member, similarity }) => member === best.member && similarity >= threshold),
  );
  if (agreeing.length < rules.framesToAgree) return { outcome: "UNDECIDED", reason: "DEADLINE_PASSED" };
  return { outcome: "MATCH", member: best.member };
}

/** Similarity from which on a candidate is taken, for a gallery of so many templates. */
export function thresholdOf(
  templates: number,
  rules: Pick<PolicyRules, "targetFpir" | "maxFrames" | "similarityFor">,
): number {
  return rules.similarityFor(rules.targetFpir / (Math.max(1, templates) * rules.maxFrames));
}

function lastPoorReason(evidence: readonly Evidence[]): PoorReason {
  for (const each of evidence.toReversed()) if (each.kind === "poor") return each.reason;
  throw new Error("decide() was asked without a single frame");
}
