// From hits (one per template) to candidates (one per member).
//
// Invariants: a member is there once, with its best similarity; best first, ties by member id, so that the order of
// the hits never shows.
import type { Hit } from "./signature-index.js";

export interface MemberCandidate {
  /** 32 hex digits. */
  member: string;
  similarity: number;
}

/** The k best members among the hits. Hits whose label belongs to nobody are left out. */
export function bestMembers(
  hits: readonly Hit[],
  memberOf: (label: number) => string | undefined,
  k: number,
): MemberCandidate[] {
  const best = new Map<string, number>();
  for (const { label, similarity } of hits) {
    const member = memberOf(label);
    if (member === undefined) continue;
    const known = best.get(member);
    if (known === undefined || similarity > known) best.set(member, similarity);
  }
  return [...best]
    .map(([member, similarity]) => ({ member, similarity }))
    .sort((a, b) => b.similarity - a.similarity || (a.member < b.member ? -1 : 1))
    .slice(0, k);
}
