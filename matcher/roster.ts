// Who can be found in a partition: members on one side; on the other the labels under which the index has the vectors
// of their templates, and the shelf the line maps.
//
// Invariants:
// - a member's templates go in together and are hidden together, each in one synchronous call: no search sees half a
//   member;
// - a hidden member counts as present (`has`) until the last of its slots is zeroed: zeroing one costs milliseconds, so
//   it is done in steps between which the thread answers searches. Line maps are zeroed in the call that hides it;
// - what a failed add() has put in already is hidden, and goes with the member in remove();
// - a label is used once and never again, so that an old label can never name a new member.
import type { Signature } from "../palm/signature.js";
import type { MemberCandidate } from "./index/merge.js";
import { searchMembers, type Templates } from "./index/search-members.js";
import type { Slices } from "./slices.js";

export class Roster {
  readonly #templates: Templates;
  readonly #labelsOf = new Map<string, number[]>();
  readonly #memberOf = new Map<number, string>();
  #nextLabel = 0;
  #templatesPerMember = 1;

  /** @param templates empty, and from now on the roster's own */
  constructor(templates: Templates) {
    this.#templates = templates;
  }

  get members(): number {
    return this.#labelsOf.size;
  }

  get templates(): number {
    return this.#templates.index.size;
  }

  /** @param signatures of templates, fit for index and shelf; none of them is kept outside these */
  add(member: string, signatures: readonly Signature[]): void {
    const { index, shelf } = this.#templates;
    if (this.has(member)) throw new Error("this member is in the roster already");
    if (signatures.length === 0) return;
    const labels: number[] = [];
    this.#labelsOf.set(member, labels);
    for (const { vector, lines } of signatures) {
      const label = this.#nextLabel++;
      // First of all: where index or shelf throws, remove() must know the label.
      labels.push(label);
      index.add(label, vector);
      shelf?.add(label, lines);
    }
    for (const label of labels) this.#memberOf.set(label, member);
    this.#templatesPerMember = Math.max(this.#templatesPerMember, labels.length);
  }

  /** Hides the member at once, then zeroes and forgets all that index and shelf have of it. */
  async remove(member: string, slices: Slices): Promise<void> {
    const { index, shelf } = this.#templates;
    const labels = this.#labelsOf.get(member) ?? [];
    for (const label of labels) {
      this.#memberOf.delete(label);
      shelf?.erase(label);
    }
    for (const label of labels) {
      index.erase(label);
      await slices.breathe();
    }
    this.#labelsOf.delete(member);
  }

  has(member: string): boolean {
    return this.#labelsOf.has(member);
  }

  /** The k members most alike, best first. */
  search(probe: Signature, k: number): MemberCandidate[] {
    return searchMembers(this.#templates, probe, k, this.#templatesPerMember, (label) =>
      this.#memberOf.get(label),
    );
  }
}
