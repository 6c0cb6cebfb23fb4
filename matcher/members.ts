// The members of a thread: store (LMDB) and segments (memory), and how the second follows the first.
//
// Invariants:
// - a segment is a cache of the store: built from its rows, and changed only after they are flushed;
// - settling a member twice changes nothing; settling one that is erased leaves nothing of it in segments, nor its key;
// - a member whose gallery or whose organisation's key the directory has not told of yet is nobody's stranger: it is
//   waited for, then set aside, and entered as soon as the directory tells. Meanwhile its shard does not answer searches of
//   its gallery (`asideIn`), and nobody is told that its enrolment is applied (`isEntered`).
import { wipe } from "../palm/signature.js";
import { booksRef, type MemberKeys, openProfile, pairwiseRoot } from "../records/index.js";
import type { Gallery } from "../wire/directory.js";
import { fromHex } from "../wire/hex.js";
import type { Log } from "../wire/log.js";
import { ShardSet, shardOf } from "../wire/shard.js";
import { type Engine, openTemplateIndex } from "./index/engines.js";
import { openTemplates, type SkipReason } from "./member-changes.js";
import type { MemberRow, MemberStore } from "./member-store.js";
import { Segment } from "./segment.js";
import type { KnownMember, SegmentFacts } from "./serving.js";
import type { Slices } from "./slices.js";

export interface MembersOptions {
  store: MemberStore;
  engine: Engine;
  /** Search threads of the worker: a search of a gallery asks each for its part, or more. */
  threads: number;
  log: Log;
  onSkipped(reason: SkipReason): void;
}

interface OpenSegment {
  facts: SegmentFacts;
  templates: Segment;
}

/** Somebody who is in the store and in no segment. */
interface Aside {
  segment: string;
  shard: number;
  enrolledSequence: number;
}

/** WAITING: the directory must tell more before the member can be entered. */
export type Settled = "SETTLED" | "WAITING";

const keyOf = (organisation: string, gallery: string) => `${organisation}/${gallery}`;

export class Members {
  readonly store: MemberStore;
  readonly #options: MembersOptions;
  readonly #segments = new Map<string, OpenSegment>();
  readonly #aside = new Map<string, Aside>();
  #handles = 0;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.store = options.store;
  }

  get templates(): number {
    return sum(this.#segments, ({ templates }) => templates.templates);
  }

  get members(): number {
    return sum(this.#segments, ({ templates }) => templates.members);
  }

  segment(organisation: string, gallery: string): OpenSegment | undefined {
    return this.#segments.get(keyOf(organisation, gallery));
  }

  /** Makes a segment for each gallery that is new. A gallery's facts never change. */
  setGalleries(galleries: readonly Gallery[]): void {
    const named = new Set(galleries.map(({ organisation, name }) => keyOf(organisation, name)));
    for (const [key, { templates }] of this.#segments) {
      if (!named.has(key) && templates.members === 0) this.#segments.delete(key);
    }
    for (const { organisation, name, modelId, dimension, lineMaps } of galleries) {
      const key = keyOf(organisation, name);
      const known = this.#segments.get(key)?.facts;
      if (known === undefined) {
        const facts = { organisation, gallery: name, modelId, dimension, lineMaps };
        this.#segments.set(key, { facts, templates: this.#newSegment(facts) });
      } else if (known.modelId !== modelId || known.dimension !== dimension || known.lineMaps !== lineMaps) {
        this.#options.log.error(
          { gallery: key },
          "the directory gives this gallery another model; left as it was",
        );
      }
    }
  }

  /** Reads all members of a shard into segments. */
  async load(shard: number, keys: MemberKeys, slices: Slices): Promise<void> {
    for (const { member, row } of this.store.rows(shard)) {
      if ((await this.#enter(member, row, keys, slices)) === "WAITING") this.setAside(member);
      await slices.breathe();
    }
  }

  /** Makes segments and keys say of a member what the store says. Throws LogUnavailableError. */
  async settle(member: string, keys: MemberKeys, slices: Slices): Promise<Settled> {
    const row = this.store.row(member);
    if (row !== undefined) {
      const settled = await this.#enter(member, row, keys, slices);
      if (settled === "SETTLED") this.#aside.delete(member);
      return settled;
    }
    for (const { templates } of this.#segments.values()) await templates.remove(member, slices);
    this.#aside.delete(member);
    if (this.store.tombstone(member) !== undefined) keys.forget(member);
    return "SETTLED";
  }

  /** Goes on without a member for now. */
  setAside(member: string): void {
    const row = this.store.row(member);
    if (row === undefined) return;
    const { organisation, gallery, enrolledSequence } = row;
    this.#options.log.error(
      { member, organisation, gallery },
      "a member waits for its gallery or its organisation's key in the directory",
    );
    const segment = keyOf(organisation, gallery);
    this.#aside.set(member, { segment, shard: shardOf(fromHex(member)), enrolledSequence });
  }

  /** Shards where somebody of the gallery is set aside: who searches them may miss a member. */
  asideIn(organisation: string, gallery: string): ShardSet {
    const key = keyOf(organisation, gallery);
    const shards = new ShardSet();
    for (const { segment, shard } of this.#aside.values()) if (segment === key) shards.add(shard);
    return shards;
  }

  /** Whether nobody who was enrolled by the event of this sequence is set aside. */
  isEntered(sequence: number): boolean {
    for (const { enrolledSequence } of this.#aside.values()) if (enrolledSequence === sequence) return false;
    return true;
  }

  /** Tries those that were set aside once more. */
  async retryAside(keysOf: (shard: number) => MemberKeys | undefined, slices: Slices): Promise<void> {
    for (const member of [...this.#aside.keys()]) {
      const keys = keysOf(shardOf(fromHex(member)));
      if (keys !== undefined) await this.settle(member, keys, slices);
    }
  }

  /** Leaves nothing of a shard in segments and store. Keys are its group's to forget. @returns false: the disk refuses */
  async wipe(shard: number, slices: Slices): Promise<boolean> {
    for (const { templates } of this.#segments.values()) {
      for (const member of templates.membersOf(shard)) await templates.remove(member, slices);
    }
    for (const [member, aside] of [...this.#aside]) if (aside.shard === shard) this.#aside.delete(member);
    return (await this.store.wipe(shard, slices)).ok;
  }

  /** Anything of the member is in a segment or in the store. */
  holds(member: string): boolean {
    if (this.store.row(member) !== undefined) return true;
    return [...this.#segments.values()].some(({ templates }) => templates.has(member));
  }

  read(organisation: string, member: string, dataKey: Uint8Array | undefined): KnownMember {
    const row = this.store.row(member);
    if (row === undefined) {
      const tombstone = this.store.tombstone(member);
      const isTheirs = tombstone?.organisation === organisation;
      return isTheirs ? { status: "ERASED", gallery: tombstone.gallery } : { status: "UNKNOWN" };
    }
    if (row.organisation !== organisation) return { status: "UNKNOWN" };
    const memberId = fromHex(member);
    const { gallery, revision, enrolledUnixMs } = row;
    const profile = dataKey && openProfile(dataKey, { memberId, organisation, gallery }, row.profile);
    if (dataKey === undefined || profile === undefined) return { status: "UNREADY" };
    const pseudonyms = { booksRef: booksRef(dataKey), pairwiseRoot: pairwiseRoot(dataKey) };
    const templates = row.templates.map(({ modelId, position }) => ({
      modelId: modelId ?? "",
      position: position ?? 0,
    }));
    const facts = { memberId, revision, profile, ...pseudonyms, enrolledUnixMs };
    return { status: "FOUND", gallery, templates, facts };
  }

  async #enter(member: string, row: MemberRow, keys: MemberKeys, slices: Slices): Promise<Settled> {
    const { organisation, gallery } = row;
    const segment = this.segment(organisation, gallery);
    if (segment === undefined) return "WAITING";
    if (segment.templates.enrolledSequence(member) === row.enrolledSequence) return "SETTLED";
    await segment.templates.remove(member, slices);
    const key = await this.#keyOf(member, row, keys);
    if (key === "UNOPENED") return "WAITING";
    // Destroyed: the event that says so is on its way.
    if (key === "DESTROYED") return "SETTLED";
    const signatures = openTemplates(key, member, row.templates, segment.facts, this.#options.onSkipped);
    try {
      segment.templates.add(member, row.enrolledSequence, signatures);
    } finally {
      for (const signature of signatures) wipe(signature);
    }
    return "SETTLED";
  }

  /** From memory, else from the log. */
  async #keyOf(
    member: string,
    { organisation, gallery }: MemberRow,
    keys: MemberKeys,
  ): Promise<Uint8Array | "DESTROYED" | "UNOPENED"> {
    const known = keys.get(member);
    if (known !== undefined) return known;
    const fetched = await keys.fetch({ organisation, gallery, memberId: fromHex(member) });
    return fetched.ok ? fetched.key : fetched.code;
  }

  #newSegment({ dimension, lineMaps }: SegmentFacts): Segment {
    const { engine, threads } = this.#options;
    const index = openTemplateIndex(engine, { dimension, lineMaps }, threads);
    return new Segment(index, () => this.#handles++);
  }
}

const sum = (segments: ReadonlyMap<string, OpenSegment>, value: (segment: OpenSegment) => number): number =>
  [...segments.values()].reduce((total, segment) => total + value(segment), 0);
