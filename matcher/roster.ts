// Who is in a partition's index: members on one side, index labels on the other.
//
// Invariants:
// - a member's templates go in together and are hidden together, each in one synchronous call: no search sees half a
//   member;
// - a hidden member counts as present (`has`) until the last of its slots is zeroed: zeroing one costs milliseconds, so
//   it is done in steps between which the thread answers searches;
// - a label is used once and never again, so that an old label can never name a new member.
import { type MemberCandidate, searchMembers } from "./index/merge.js";
import type { SignatureIndex } from "./index/signature-index.js";
import type { Slices } from "./slices.js";

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
  add(member: string, signatures: readonly Float32Array[]): void {
    if (this.has(member)) throw new Error("this member is in the roster already");
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

  /** Hides the member at once, then zeroes and forgets all that it has in the index. */
  async remove(member: string, slices: Slices): Promise<void> {
    const labels = this.#labelsOf.get(member) ?? [];
    for (const label of labels) this.#memberOf.delete(label);
    for (const label of labels) {
      this.#index.erase(label);
      await slices.breathe();
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
