// A search of templates: the index names the few nearest; then those are compared with the probe, by their line maps where
// the model makes these; then the best members' other templates are, for the most alike need not be the nearest.
//
// Invariants:
// - similarities are all of one kind: of line maps where the index has them, else dot products of vectors;
// - a template that belongs to nobody (its member is hidden) is not compared;
// - no search compares more than COMPARED_TEMPLATES line maps, and what else the members that it answers have.
import type { Signature } from "../../palm/signature.js";
import { bestMembers, type MemberCandidate } from "./merge.js";
import type { Hit } from "./signature-index.js";
import type { TemplateIndex } from "./template-index.js";

/** Of the nearest templates; a search that wants many members may be answered with fewer. */
export const COMPARED_TEMPLATES = 32;

export interface Membership {
  /** `undefined` where the label belongs to nobody. */
  memberOf(label: number): string | undefined;
  /** All labels of a member. */
  labelsOf(member: string): readonly number[];
}

/**
 * Searches deep enough for k members.
 * @param templatesPerMember the most templates that any one member has in the index
 */
export function searchMembers(
  index: TemplateIndex,
  probe: Signature,
  k: number,
  templatesPerMember: number,
  { memberOf, labelsOf }: Membership,
): MemberCandidate[] {
  // In the worst case the nearest members bring all their templates.
  const depth = index.hasLines ? COMPARED_TEMPLATES : k * Math.max(1, templatesPerMember);
  const near = index.shortlist(probe, depth).filter(({ label }) => memberOf(label) !== undefined);
  const hits = compared(
    index,
    probe,
    near.map(({ label }) => label),
  );
  const best = bestMembers(hits, memberOf, k);
  if (!index.hasLines) return best;
  const seen = new Set(hits.map(({ label }) => label));
  const others = best.flatMap(({ member }) => labelsOf(member)).filter((label) => !seen.has(label));
  return bestMembers([...hits, ...compared(index, probe, others)], memberOf, k);
}

function compared(index: TemplateIndex, probe: Signature, labels: readonly number[]): Hit[] {
  const similarities = index.compare(probe, labels);
  return labels.map((label, i) => ({ label, similarity: similarities[i] as number }));
}
