// One partition of a gallery: its view (LMDB), its members' data keys, its roster, and the follower that moves them on.
//
// Invariants:
// - the roster (its index) is a cache of the view: built from it at start, moved on only after it has flushed;
//   `appliedSequence` moves last, so that what it promises is both durable and searchable;
// - a view that is ahead of the log (one restored from a backup, or cut short by a power failure) is not opened: it would
//   take the log's next events for applied, and say so;
// - a member is searchable with all its templates or with none (roster.ts); a batch that comes again changes nothing;
// - while the disk refuses writes, the follower keeps its place and tries again, and searches go on.
import { mkdirSync } from "node:fs";
import { type Signature, wipe } from "../palm/signature.js";
import {
  type EventLog,
  type Follower,
  type LogEvent,
  type MemberKeys,
  openMemberKeys,
  openView,
  type View,
} from "../records/index.js";
import type { Gallery } from "../wire/galleries.js";
import type { Log } from "../wire/log.js";
import { fromHex } from "../wire/partition.js";
import { partitionKeysFilter, partitionMembersFilter, STREAMS } from "../wire/subjects.js";
import type { AppliedSource } from "./applied-desk.js";
import { type Engine, openTemplateIndex } from "./index/engines.js";
import type { MemberCandidate } from "./index/merge.js";
import {
  type Change,
  keyOf,
  MEMBERS_TABLE,
  openTemplates,
  readChange,
  type Scope,
  type SkipReason,
  storedTemplates,
  writeChange,
} from "./member-changes.js";
import { Roster } from "./roster.js";
import type { Searchable } from "./search-request.js";
import { Slices } from "./slices.js";

/** A batch is one flush of the disk; its signatures are in memory in the clear until the roster has them. */
const MAX_BATCH_EVENTS = 128;
const PROGRESS_EVERY_MEMBERS = 10_000;

export interface PartitionOptions {
  gallery: Gallery;
  partition: number;
  engine: Engine;
  /** This partition's own directory. */
  dir: string;
  mapSizeBytes: number | undefined;
  masterKey: Uint8Array;
  eventLog: EventLog;
  log: Log;
  onSkipped(reason: SkipReason): void;
  /** The applied sequence, the readiness or the state of the store changed. */
  onChanged(): void;
}

class StoreFullError extends Error {}

export class Partition implements Searchable, AppliedSource {
  readonly #options: PartitionOptions;
  readonly #scope: Scope;
  readonly #view: View;
  readonly #keys: MemberKeys;
  readonly #roster: Roster;
  readonly #source: string;
  #follower: Follower | undefined;
  #appliedSequence: number;
  #caughtUp = false;
  #storeFull = false;
  #eventsApplied = 0;
  #closing = false;

  private constructor(options: PartitionOptions, view: View, keys: MemberKeys) {
    const { gallery, partition, engine } = options;
    this.#options = options;
    this.#scope = {
      gallery: gallery.name,
      partition,
      modelId: gallery.modelId,
      dimension: gallery.dimension,
      lineMaps: gallery.lineMaps,
    };
    this.#view = view;
    this.#keys = keys;
    this.#roster = new Roster(openTemplateIndex(engine, gallery, gallery.partitions));
    this.#source = `${STREAMS.members}:${gallery.name}/${partition}`;
    this.#appliedSequence = view.sequence(this.#source);
  }

  /** Opens view and keys, builds the roster and starts to follow the log; `onChanged` tells when it has caught up. */
  static async open(options: PartitionOptions): Promise<Partition> {
    const { gallery, partition, dir, mapSizeBytes, masterKey, eventLog, log } = options;
    mkdirSync(dir, { recursive: true });
    const view = openView({ path: dir, ...(mapSizeBytes === undefined ? {} : { mapSizeBytes }) });
    let keys: MemberKeys | undefined;
    try {
      keys = await openMemberKeys(eventLog, {
        filter: partitionKeysFilter(gallery.name, partition),
        log,
        masterKey,
      });
      const opened = new Partition(options, view, keys);
      await opened.#checkAgainstLog();
      await opened.#rebuild();
      opened.#follow();
      return opened;
    } catch (error) {
      await keys?.close();
      await view.close();
      throw error;
    }
  }

  get partition(): number {
    return this.#scope.partition;
  }
  get modelId(): string {
    return this.#scope.modelId;
  }
  get dimension(): number {
    return this.#scope.dimension;
  }
  get lineMaps(): boolean {
    return this.#scope.lineMaps;
  }
  /** Has caught up with the log as it was at start. */
  get ready(): boolean {
    return this.#caughtUp && !this.#closing;
  }
  get templates(): number {
    return this.#roster.templates;
  }
  get members(): number {
    return this.#roster.members;
  }
  get appliedSequence(): number {
    return this.#appliedSequence;
  }
  get storeFull(): boolean {
    return this.#storeFull;
  }
  /** Events known to the log and not applied here. */
  get lag(): number {
    return this.#follower?.lag() ?? 0;
  }
  get eventsApplied(): number {
    return this.#eventsApplied;
  }

  holds(member: string): boolean {
    return this.#roster.has(member);
  }

  forgetKey(member: string): void {
    this.#keys.forget(member);
  }

  search(probe: Signature, k: number): MemberCandidate[] {
    return this.#roster.search(probe, k);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#follower?.stop();
    await this.#keys.close();
    await this.#view.close();
  }

  async #checkAgainstLog(): Promise<void> {
    const { eventLog, dir } = this.#options;
    const last = await eventLog.lastSequence(STREAMS.members);
    if (this.#appliedSequence <= last) return;
    throw new Error(
      `the view in ${dir} has applied event ${this.#appliedSequence}, but the log ends at ${last}: it has lost events. ` +
        "Restore the log; or remove this directory, and the view is made anew from what the log still has.",
    );
  }

  async #rebuild(): Promise<void> {
    const { log } = this.#options;
    const slices = new Slices();
    const startedAtMs = performance.now();
    let seen = 0;
    for (const { key: member, value } of this.#view.table(MEMBERS_TABLE).range()) {
      // Every key of this partition is in memory by now: one that is not there was destroyed.
      const dataKey = this.#keys.get(member);
      if (dataKey !== undefined) this.#enter(member, fromHex(member), storedTemplates(value), dataKey);
      if (++seen % PROGRESS_EVERY_MEMBERS === 0) log.info({ members: seen }, "building the index");
      await slices.breathe();
    }
    const tookMs = Math.round(performance.now() - startedAtMs);
    if (seen > 0) log.info({ members: this.members, templates: this.templates, tookMs }, "index built");
  }

  #follow(): void {
    const { eventLog, log, gallery, onChanged } = this.#options;
    this.#follower = eventLog.follow({
      stream: STREAMS.members,
      filter: partitionMembersFilter(gallery.name, this.partition),
      afterSequence: this.#appliedSequence,
      onBatch: (events) => this.#applyBatch(events),
      onCaughtUp: () => {
        this.#caughtUp = true;
        onChanged();
      },
      log,
      maxBatchEvents: MAX_BATCH_EVENTS,
    });
  }

  /** View first, flushed; then roster; then the promise. A failure leaves the batch to come again. */
  async #applyBatch(events: LogEvent[]): Promise<void> {
    const changes = new Map(events.map((event) => [event.sequence, this.#read(event)]));
    const applied = await this.#view.apply(this.#source, events, (event, tables) => {
      const change = changes.get(event.sequence);
      if (change) writeChange(change, tables);
    });
    if (!applied.ok) {
      this.#setStoreFull(true);
      throw new StoreFullError("the view's disk refuses writes; searches go on, the log keeps our place");
    }
    this.#setStoreFull(false);
    const slices = new Slices();
    for (const change of changes.values()) {
      await this.#changeRoster(change, slices);
      await slices.breathe();
    }
    this.#eventsApplied += events.length;
    this.#appliedSequence = events.at(-1)?.sequence ?? this.#appliedSequence;
    this.#options.onChanged();
  }

  async #changeRoster(change: Change, slices: Slices): Promise<void> {
    if (change.kind === "erased") {
      await this.#roster.remove(change.member, slices);
      this.#keys.forget(change.member);
    }
    if (change.kind === "enrolled") {
      await this.#roster.remove(change.member, slices);
      const dataKey = await keyOf(this.#keys, this.#scope, change.member);
      if (dataKey !== undefined) this.#enter(change.member, change.memberId, change.templates, dataKey);
    }
  }

  #enter(
    member: string,
    memberId: Uint8Array,
    templates: Parameters<typeof openTemplates>[2],
    dataKey: Uint8Array,
  ): void {
    const signatures = openTemplates(dataKey, memberId, templates, this.#scope, this.#options.onSkipped);
    try {
      this.#roster.add(member, signatures);
    } finally {
      for (const signature of signatures) wipe(signature);
    }
  }

  #read(event: LogEvent): Change {
    const change = readChange(event, this.#scope);
    if (change.kind === "malformed") {
      this.#options.log.error({ sequence: event.sequence, detail: change.detail }, "event left out");
    }
    return change;
  }

  #setStoreFull(storeFull: boolean): void {
    if (this.#storeFull === storeFull) return;
    this.#storeFull = storeFull;
    this.#options.onChanged();
  }
}
