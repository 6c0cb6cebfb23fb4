// A segment: the templates of one gallery that one thread has, of all its shards together: what a search searches.
//
// Invariants:
// - a member is found with all templates or with none, also while it is being added or removed;
// - when remove() resolves, no number of the member's templates is left in the index;
// - removing hides the member at once; its slots are zeroed in steps between which the thread answers searches;
// - a failed add() leaves the member hidden and not whole; remove() clears what of it got in;
// - a shortlist names templates of the wanted shards only, and as many as there are up to the number asked for;
// - a handle is used once in the life of a thread: it never names another template than the one it was given to.
import type { Signature } from "../palm/signature.js";
import { fromHex } from "../wire/hex.js";
import { SHARDS, type ShardSet, shardOf } from "../wire/shard.js";
import type { MemberCandidate } from "./index/merge.js";
import { compareMembers } from "./index/search-members.js";
import type { Scale, TemplateIndex } from "./index/template-index.js";
import type { Slices } from "./slices.js";

/** Members that a comparison answers with. */
export const COMPARED_MEMBERS = 3;
/** A shortlist that has hits of other shards is searched this many times deeper. */
const DEEPER_FACTOR = 4;

export interface NearTemplate {
  handle: number;
  /** Of the index's scale: the smaller the nearer. */
  distance: number;
  shard: number;
}

export type Compared =
  | { ok: true; candidates: MemberCandidate[] }
  /** A handle is of no template here, or of a shard that is not wanted. */
  | { ok: false; code: "STALE_HANDLES" | "OTHER_SHARD" };

interface Entry {
  shard: number;
  /** Of the event that brought the templates; `undefined` until all of them are in. */
  enrolledSequence: number | undefined;
  labels: number[];
}

export class Segment {
  readonly #index: TemplateIndex;
  readonly #nextHandle: () => number;
  readonly #entries = new Map<string, Entry>();
  /** Of whole members that are not being removed. */
  readonly #memberOf = new Map<number, string>();
  readonly #templatesOfShard = new Uint32Array(SHARDS);

  /** @param index empty, and from now on the segment's own @param nextHandle never gives a number twice */
  constructor(index: TemplateIndex, nextHandle: () => number) {
    this.#index = index;
    this.#nextHandle = nextHandle;
  }

  get members(): number {
    return this.#entries.size;
  }

  get templates(): number {
    return this.#index.size;
  }

  /** Of the distances in its shortlists. */
  get scale(): Scale {
    return this.#index.scale;
  }

  /** Templates of these shards that a search can find. */
  templatesOf(shards: ShardSet): number {
    let sum = 0;
    for (const shard of shards) sum += this.#templatesOfShard[shard] ?? 0;
    return sum;
  }

  has(member: string): boolean {
    return this.#entries.has(member);
  }

  /** Sequence of the event whose templates are all in; `undefined` where they are not. */
  enrolledSequence(member: string): number | undefined {
    return this.#entries.get(member)?.enrolledSequence;
  }

  membersOf(shard: number): string[] {
    return [...this.#entries].filter(([, entry]) => entry.shard === shard).map(([member]) => member);
  }

  /** @param signatures of templates, fit for the index; none of them is kept outside it */
  add(member: string, enrolledSequence: number, signatures: readonly Signature[]): void {
    if (this.has(member)) throw new Error("this member is in the segment already");
    const shard = shardOf(fromHex(member));
    const entry: Entry = { shard, enrolledSequence: undefined, labels: [] };
    this.#entries.set(member, entry);
    for (const signature of signatures) {
      const label = this.#nextHandle();
      // First of all: where the index throws, remove() must know the label.
      entry.labels.push(label);
      this.#index.add(label, signature);
    }
    for (const label of entry.labels) this.#memberOf.set(label, member);
    this.#count(shard, entry.labels.length);
    entry.enrolledSequence = enrolledSequence;
  }

  /** Hides the member at once, then zeroes and forgets all that the index has of it. */
  async remove(member: string, slices: Slices): Promise<void> {
    const entry = this.#entries.get(member);
    if (entry === undefined) return;
    if (entry.enrolledSequence !== undefined) this.#count(entry.shard, -entry.labels.length);
    entry.enrolledSequence = undefined;
    for (const label of entry.labels) this.#memberOf.delete(label);
    for (const label of entry.labels) {
      this.#index.erase(label);
      await slices.breathe();
    }
    this.#entries.delete(member);
  }

  /** The k nearest templates of these shards, nearest first. @param probe whose vector and codes count */
  shortlist(probe: Signature, k: number, shards: ShardSet): NearTemplate[] {
    const { size } = this.#index;
    for (let asked = k; ; asked = Math.min(asked * DEEPER_FACTOR, size)) {
      const hits = this.#index.shortlist(probe, asked);
      const near = hits.flatMap(({ label, distance }) => {
        const shard = this.#shardOf(label);
        return shard !== undefined && shards.has(shard) ? [{ handle: label, distance, shard }] : [];
      });
      if (near.length >= k || hits.length < asked || asked >= size) {
        return near.slice(0, k);
      }
    }
  }

  /** The members of these templates, by the most alike of all theirs, best first, at most COMPARED_MEMBERS. */
  compare(probe: Signature, handles: readonly number[], shards: ShardSet): Compared {
    for (const handle of handles) {
      const shard = this.#shardOf(handle);
      if (shard === undefined) return { ok: false, code: "STALE_HANDLES" };
      if (!shards.has(shard)) return { ok: false, code: "OTHER_SHARD" };
    }
    const candidates = compareMembers(this.#index, probe, handles, COMPARED_MEMBERS, {
      memberOf: (label) => this.#memberOf.get(label),
      labelsOf: (member) => this.#entries.get(member)?.labels ?? [],
    });
    return { ok: true, candidates };
  }

  #shardOf(label: number): number | undefined {
    const member = this.#memberOf.get(label);
    return member === undefined ? undefined : this.#entries.get(member)?.shard;
  }

  #count(shard: number, more: number): void {
    this.#templatesOfShard[shard] = (this.#templatesOfShard[shard] ?? 0) + more;
  }
}
