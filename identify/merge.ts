// Merges what several workers, or several frames, found: by member, best similarity wins. Pure.
//
// Invariants: order-free and associative; ties are broken by the member id, so the same finds give the same order
// everywhere; each member appears once.
import type { bus } from "../wire/codec.js";

export interface Ranked {
  /** 32 hex digits. */
  member: string;
  /** -1..1, the larger the more alike (palm/signature.ts). Never leaves the house. */
  similarity: number;
}

export interface Candidate extends Ranked {
  /** Always there for the first one that a search found. */
  facts?: bus.MemberFacts;
}

/** @returns candidates by member, best first */
export function mergeCandidates<C extends Ranked>(lists: Iterable<readonly C[]>): C[] {
  const best = new Map<string, C>();
  for (const list of lists) {
    for (const candidate of list) {
      const known = best.get(candidate.member);
      if (known === undefined || candidate.similarity > known.similarity)
        best.set(candidate.member, candidate);
    }
  }
  return [...best.values()].sort(byRank);
}

/** Best first. */
export const byRank = (a: Ranked, b: Ranked): number =>
  b.similarity - a.similarity || (a.member < b.member ? -1 : a.member > b.member ? 1 : 0);
