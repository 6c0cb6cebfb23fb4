// A search of templates: the index names the few nearest; then those are compared with the probe, by their line maps where
// the model makes these.
//
// Invariants:
// - similarities are all of one kind: of line maps where the index has them, else dot products of vectors;
// - a template that belongs to nobody (its member is hidden) is not compared;
// - no search compares more than COMPARED_TEMPLATES line maps.
import type { Signature } from "../../palm/signature.js";
import { bestMembers, type MemberCandidate } from "./merge.js";
import type { TemplateIndex } from "./template-index.js";

/** Templates whose line maps are compared: a search that wants many members may be answered with fewer. */
export const COMPARED_TEMPLATES = 32;

/**
 * Searches deep enough for k members.
 * @param templatesPerMember the most templates that any one member has in the index
 */
export function searchMembers(
  index: TemplateIndex,
  probe: Signature,
  k: number,
  templatesPerMember: number,
  memberOf: (label: number) => string | undefined,
): MemberCandidate[] {
  // In the worst case the nearest members bring all their templates.
  const depth = index.hasLines ? COMPARED_TEMPLATES : k * Math.max(1, templatesPerMember);
  const near = index.shortlist(probe, depth).filter(({ label }) => memberOf(label) !== undefined);
  const labels = near.map(({ label }) => label);
  const similarities = index.compare(probe, labels);
  const hits = labels.map((label, i) => ({ label, similarity: similarities[i] as number }));
  return bestMembers(hits, memberOf, k);
}
