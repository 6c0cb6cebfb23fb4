// Merges what several partitions, or several frames, found: by member, best similarity wins. Pure.
//
// Invariants: order-free and associative; ties are broken by the member id, so the same finds give the same order
// everywhere; each member appears once.
import type { Candidate } from "../seams.js";

/** @returns candidates by member, best first */
export function mergeCandidates(lists: Iterable<readonly Candidate[]>): Candidate[] {
  const best = new Map<string, Candidate>();
  for (const list of lists) {
    for (const candidate of list) {
      const known = best.get(candidate.member);
      if (known === undefined || candidate.similarity > known.similarity)
        best.set(candidate.member, candidate);
    }
  }
  return [...best.values()].sort(byRank);
}

const byRank = (a: Candidate, b: Candidate): number =>
  b.similarity - a.similarity || (a.member < b.member ? -1 : a.member > b.member ? 1 : 0);
