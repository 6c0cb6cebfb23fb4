// From the templates that a shortlist named to members: those are compared with the probe, by their line maps where the
// model makes these; then the best members' other templates are, for the most alike need not be among the nearest.
//
// Invariants:
// - similarities are all of one kind: of line maps where the index has them, else dot products of vectors;
// - a template that belongs to nobody (its member is hidden) is not compared;
// - nothing is compared but what was named, and what else the members that are answered have.
import type { Signature } from "../../palm/signature.js";
import { bestMembers, type MemberCandidate } from "./merge.js";
import type { Hit } from "./signature-index.js";
import type { TemplateIndex } from "./template-index.js";

export interface Membership {
  /** `undefined` where the label belongs to nobody. */
  memberOf(label: number): string | undefined;
  /** All labels of a member. */
  labelsOf(member: string): readonly number[];
}

/** The k members most alike of those whose templates are named, best first. @param labels all in the index */
export function compareMembers(
  index: TemplateIndex,
  probe: Signature,
  labels: readonly number[],
  k: number,
  { memberOf, labelsOf }: Membership,
): MemberCandidate[] {
  const named = labels.filter((label) => memberOf(label) !== undefined);
  const hits = compared(index, probe, named);
  const best = bestMembers(hits, memberOf, k);
  if (!index.hasLines) return best;
  const seen = new Set(named);
  const others = best.flatMap(({ member }) => labelsOf(member)).filter((label) => !seen.has(label));
  return bestMembers([...hits, ...compared(index, probe, others)], memberOf, k);
}

function compared(index: TemplateIndex, probe: Signature, labels: readonly number[]): Hit[] {
  const similarities = index.compare(probe, labels);
  return labels.map((label, i) => ({ label, similarity: similarities[i] as number }));
}
