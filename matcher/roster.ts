// Who can be found in a partition: members on one side; on the other the labels under which the index has their templates.
//
// Invariants:
// - a member's templates go in together and are hidden together, each in one synchronous call: no search sees half a
//   member;
// - a hidden member counts as present (`has`) until the last of its slots is zeroed: zeroing one costs milliseconds, so
//   it is done in steps between which the thread answers searches;
// - what a failed add() has put in already is hidden, and goes with the member in remove();
// - a label is used once and never again, so that an old label can never name a new member.
import type { Signature } from "../palm/signature.js";
import type { MemberCandidate } from "./index/merge.js";
import { searchMembers } from "./index/search-members.js";
import type { TemplateIndex } from "./index/template-index.js";
import type { Slices } from "./slices.js";

export class Roster {
  readonly #index: TemplateIndex;
  readonly #labelsOf = new Map<string, number[]>();
  readonly #memberOf = new Map<number, string>();
  #nextLabel = 0;
  #templatesPerMember = 1;

  /** @param index empty, and from now on the roster's own */
  constructor(index: TemplateIndex) {
    this.#index = index;
  }

  get members(): number {
    return this.#labelsOf.size;
  }

  get templates(): number {
    return this.#index.size;
  }

  /** @param signatures of templates, fit for the index; none of them is kept outside it */
  add(member: string, signatures: readonly Signature[]): void {
    if (this.has(member)) throw new Error("this member is in the roster already");
    if (signatures.length === 0) return;
    const labels: number[] = [];
    this.#labelsOf.set(member, labels);
    for (const signature of signatures) {
      const label = this.#nextLabel++;
      // First of all: where the index throws, remove() must know the label.
      labels.push(label);
      this.#index.add(label, signature);
    }
    for (const label of labels) this.#memberOf.set(label, member);
    this.#templatesPerMember = Math.max(this.#templatesPerMember, labels.length);
  }

  /** Hides the member at once, then zeroes and forgets all that the index has of it. */
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
  search(probe: Signature, k: number): MemberCandidate[] {
    return searchMembers(this.#index, probe, k, this.#templatesPerMember, {
      memberOf: (label) => this.#memberOf.get(label),
      labelsOf: (member) => this.#labelsOf.get(member) ?? [],
    });
  }
}
