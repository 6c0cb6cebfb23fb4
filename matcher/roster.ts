// Who is in a partition's index: members on one side, index labels on the other.
//
// Invariants:
// - a member's templates go in together and out together, in one synchronous call: no search sees half a member;
// - a label is used once and never again, so that an old label can never name a new member;
// - setting a member twice leaves it as if set once (a batch of events may come again after a failure).
import { type MemberCandidate, searchMembers } from "./index/merge.js";
import type { SignatureIndex } from "./index/signature-index.js";

export class Roster {
  readonly #index: SignatureIndex;
  readonly #labelsOf = new Map<string, number[]>();
  readonly #memberOf = new Map<number, string>();
  #nextLabel = 0;
  #templatesPerMember = 1;

  constructor(index: SignatureIndex) {
    this.#index = index;
  }

  get members(): number {
    return this.#labelsOf.size;
  }

  get templates(): number {
    return this.#index.size;
  }

  /** @param signatures unit vectors of the index's dimension; none of them is kept outside the index */
  set(member: string, signatures: readonly Float32Array[]): void {
    this.remove(member);
    if (signatures.length === 0) return;
    const labels: number[] = [];
    this.#labelsOf.set(member, labels);
    for (const signature of signatures) {
      const label = this.#nextLabel++;
      this.#index.add(label, signature);
      labels.push(label);
      this.#memberOf.set(label, member);
    }
    this.#templatesPerMember = Math.max(this.#templatesPerMember, labels.length);
  }

  /** Zeroes and forgets all that the member has in the index. */
  remove(member: string): void {
    for (const label of this.#labelsOf.get(member) ?? []) {
      this.#index.erase(label);
      this.#memberOf.delete(label);
    }
    this.#labelsOf.delete(member);
  }

  has(member: string): boolean {
    return this.#labelsOf.has(member);
  }

  /** The k members most alike, best first. */
  search(probe: Float32Array, k: number): MemberCandidate[] {
    return searchMembers(this.#index, probe, k, this.#templatesPerMember, (label) =>
      this.#memberOf.get(label),
    );
  }
}
