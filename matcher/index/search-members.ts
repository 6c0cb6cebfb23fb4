// A search of templates: the index finds the few nearest vectors; then, where the model makes line maps, the line map of
// each of those templates is compared with the probe's.
//
// Invariants:
// - similarities are all of one kind: of line maps where there is a shelf, else the index's dot products;
// - a template that belongs to nobody (its member is hidden) is not compared;
// - no search compares more than MAX_COMPARED_TEMPLATES line maps.
import { compareFrames } from "../../palm/lines/frames.js";
import type { Signature } from "../../palm/signature.js";
import type { LineShelf } from "./line-shelf.js";
import { bestMembers, type MemberCandidate } from "./merge.js";
import type { SignatureIndex } from "./signature-index.js";

/** Templates whose line maps are compared, where the members wanted do not ask for more. */
export const COMPARED_TEMPLATES = 16;
/** The most: a search that wants many members may be answered with fewer. */
export const MAX_COMPARED_TEMPLATES = 32;

/** In the worst case the nearest members bring all their templates. */
const depthFor = (k: number, templatesPerMember: number) => k * Math.max(1, templatesPerMember);

/** How many a search for the k best members compares. @param templatesPerMember the most that any one member has */
export function comparedTemplates(k: number, templatesPerMember: number): number {
  return Math.min(Math.max(depthFor(k, templatesPerMember), COMPARED_TEMPLATES), MAX_COMPARED_TEMPLATES);
}

export interface Templates {
  index: SignatureIndex;
  /** Line maps of the index's labels; none where the model makes none. */
  shelf?: LineShelf | undefined;
}

/**
 * Searches deep enough for k members.
 * @param templatesPerMember the most templates that any one member has in the index
 */
export function searchMembers(
  { index, shelf }: Templates,
  probe: Signature,
  k: number,
  templatesPerMember: number,
  memberOf: (label: number) => string | undefined,
): MemberCandidate[] {
  if (shelf === undefined) {
    return bestMembers(index.search(probe.vector, depthFor(k, templatesPerMember)), memberOf, k);
  }
  const compared = comparedTemplates(k, templatesPerMember);
  const near = index.search(probe.vector, compared).filter(({ label }) => memberOf(label) !== undefined);
  const maps = near.map(({ label }) => shelf.mapOf(label));
  const similarities = compareFrames(probe.lines, maps);
  const hits = near.map(({ label }, i) => ({ label, similarity: similarities[i] as number }));
  return bestMembers(hits, memberOf, k);
}
