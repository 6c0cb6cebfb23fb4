// What an answer needs of the thread that gives it. Types only.
import type { bus } from "../wire/codec.js";
import type { ShardSet } from "../wire/shard.js";
import type { Segment } from "./segment.js";

/** Who answers. */
export interface Identity {
  workerId: string;
  /** Of this life of the process: handles are of it alone. */
  instance: string;
  /** 0, 1, .. within the worker. */
  thread: number;
}

/** What all templates of a gallery have in common. */
export interface SegmentFacts {
  organisation: string;
  gallery: string;
  modelId: string;
  dimension: number;
  /** Its model's signatures have line maps. */
  lineMaps: boolean;
}

export interface Served {
  /** Of those that were wanted: caught up and current. Never empty. */
  shards: ShardSet;
  /** Of stream MEMBERS: the least of theirs. */
  appliedSequence: number;
}

/** What of a member is asked for by its id. */
export type KnownMember =
  | { status: "FOUND"; gallery: string; templates: bus.ITemplateInfo[]; facts: bus.MemberFacts.$Properties }
  | { status: "ERASED"; gallery: string }
  /** UNREADY: its profile cannot be opened at this moment. */
  | { status: "UNKNOWN" | "UNREADY" };

export interface ServingThread {
  readonly identity: Identity;
  /** The log's clock. */
  nowUnixMs(): number;
  /**
   * NOT_HERE: this thread has none of the wanted shards. NOT_READY: none of them has caught up. NOT_CURRENT: one has, but
   * cannot know that it is current.
   */
  serving(wanted: ShardSet): Served | "NOT_HERE" | "NOT_READY" | "NOT_CURRENT";
  /** Shards where somebody of the gallery is known and not in the segment yet. */
  asideIn(organisation: string, gallery: string): ShardSet;
  /** `undefined`: the directory has told of no such gallery yet, or it is being read in. */
  segment(organisation: string, gallery: string): { facts: SegmentFacts; templates: Segment } | undefined;
  /** Of a shard that is served. @param member 32 hex digits */
  member(organisation: string, member: string): KnownMember;
  /** Key that facts are sealed under. */
  factsKey(organisation: string): Uint8Array;
}
