// Shards of a thread that read the log together: their members' data keys, and the follower that moves them on.
//
// Invariants:
// - store first, flushed; then segments and keys; then the promise: `appliedSequence` moves last, so that what it promises
//   is both durable and searchable;
// - a group is current while the newest beat that it has applied is at most CURRENT_MS old by the log's clock, which was
//   heard of as lately, and its disk takes what must be written: whoever was paused, cut off or fell behind knows it;
// - that beat is no older than the first one heard since the link is up: on a machine that slept, no clock tells the time
//   that has passed;
// - while the disk refuses writes, the follower keeps its place and tries again;
// - shards that leave the group leave no key behind in it.
import {
  type DataKeyRefusal,
  type EventLog,
  type Follower,
  type LogEvent,
  type MemberKeys,
  openMemberKeys,
} from "../records/index.js";
import { type Beat, readBeat } from "../wire/beat.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import type { LogClock } from "../wire/log-clock.js";
import type { ShardSet } from "../wire/shard.js";
import { BEAT_SUBJECT, STREAMS, shardKeysFilter, shardMembersFilter } from "../wire/subjects.js";
import { type Change, readChange } from "./member-changes.js";
import type { Members } from "./members.js";
import { Slices } from "./slices.js";

/** How old the newest applied beat may be, on the log's clock. */
export const CURRENT_MS = 5000;
/** A batch is one flush of the disk; its signatures are in memory in the clear until the segments have them. */
const MAX_BATCH_EVENTS = 128;
/** A batch with members whom the directory does not explain yet is held back this long. */
const DIRECTORY_PATIENCE_MS = 3000;

export interface ShardGroupOptions {
  shards: ShardSet;
  /** All of its shards have reached it. */
  afterSequence: number;
  members: Members;
  eventLog: EventLog;
  keyring: Keyring;
  clock: LogClock;
  log: Log;
  onApplied(events: number): void;
  onKeyRefused(code: DataKeyRefusal): void;
  /** It moved on, became ready, or its disk filled up or has room again. */
  onChanged(): void;
}

class StoreFullError extends Error {}
class DirectoryBehindError extends Error {}

export class ShardGroup {
  readonly #options: ShardGroupOptions;
  #shards: ShardSet;
  #keys: MemberKeys;
  #follower: Follower | undefined;
  #appliedSequence: number;
  #appliedBeat: Beat | undefined;
  #caughtUp = false;
  #storeFull = false;
  /** Sequence of the first event of a batch that is held back, and since when. */
  #heldBack: { sequence: number; sinceMs: number } | undefined;

  private constructor(options: ShardGroupOptions, keys: MemberKeys) {
    this.#options = options;
    this.#shards = options.shards;
    this.#keys = keys;
    this.#appliedSequence = options.afterSequence;
  }

  /** Reads keys and members in and starts to follow the log; `onChanged` tells when it has caught up. */
  static async open(options: ShardGroupOptions, stopped: AbortSignal): Promise<ShardGroup> {
    const { shards, afterSequence, members, eventLog } = options;
    const last = await eventLog.lastSequence(STREAMS.members);
    if (afterSequence > last) {
      throw new Error(
        `the store has applied event ${afterSequence}, but the log ends at ${last}: the log has lost events. Restore ` +
          "it; or remove this worker's data folder, and it is made anew from what the log still has.",
      );
    }
    const keys = await openKeys(options, shards);
    try {
      const slices = new Slices();
      for (const shard of shards) {
        stopped.throwIfAborted();
        await members.load(shard, keys, slices);
      }
      const group = new ShardGroup(options, keys);
      group.#follow();
      return group;
    } catch (error) {
      await keys.close();
      throw error;
    }
  }

  get shards(): ShardSet {
    return this.#shards;
  }
  get keys(): MemberKeys {
    return this.#keys;
  }
  get caughtUp(): boolean {
    return this.#caughtUp;
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

  /** On the log's clock, since the newest beat that is applied; infinite before the first. */
  beatAgeMs(): number {
    const { clock } = this.#options;
    if (this.#appliedBeat === undefined || this.#appliedBeat.atUnixMs < clock.freshFromUnixMs())
      return Number.POSITIVE_INFINITY;
    return Math.max(clock.nowUnixMs() - this.#appliedBeat.atUnixMs, clock.beatAgeMs());
  }

  /** Can answer for all that the log holds, but for the last moments. */
  current(): boolean {
    return this.#caughtUp && !this.#storeFull && this.beatAgeMs() <= CURRENT_MS;
  }

  /** Goes on with these of its shards alone; resolves when no key of the others is left. */
  async narrow(shards: ShardSet): Promise<void> {
    await this.#follower?.stop();
    this.#shards = shards;
    this.#follow();
    const left = this.#keys;
    this.#keys = await openKeys(this.#options, shards);
    await left.close();
  }

  async close(): Promise<void> {
    this.#caughtUp = false;
    await this.#follower?.stop();
    await this.#keys.close();
  }

  #follow(): void {
    const { eventLog, log, onChanged } = this.#options;
    this.#follower = eventLog.follow({
      stream: STREAMS.members,
      filters: [...[...this.#shards].map(shardMembersFilter), BEAT_SUBJECT],
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

  /** A failure leaves the batch to come again. */
  async #applyBatch(events: LogEvent[]): Promise<void> {
    const last = events.at(-1);
    if (last === undefined) return;
    const beat = this.#newestBeat(events);
    const changes = events.flatMap((event) => this.#read(event) ?? []);
    // Beats alone need no flush: what the disk has stands for them too.
    if (changes.length > 0) await this.#applyChanges(changes, last.sequence);
    this.#appliedSequence = last.sequence;
    this.#appliedBeat = beat ?? this.#appliedBeat;
    this.#options.onApplied(events.length);
    this.#options.onChanged();
  }

  async #applyChanges(changes: readonly Change[], sequence: number): Promise<void> {
    const { members } = this.#options;
    const applied = members.store.apply(changes, this.#shards, sequence);
    this.#setStoreFull(!applied.ok);
    if (!applied.ok) {
      throw new StoreFullError(
        `the store's disk refuses writes (${applied.detail}); the log keeps our place`,
      );
    }
    const slices = new Slices();
    const waiting: string[] = [];
    for (const { member } of changes) {
      if ((await members.settle(member, this.#keys, slices)) === "WAITING") waiting.push(member);
      await slices.breathe();
    }
    this.#holdBack(waiting, changes[0]?.sequence ?? 0);
  }

  /** Waits for the directory, by letting the batch come again; not for ever. */
  #holdBack(waiting: readonly string[], sequence: number): void {
    const { members } = this.#options;
    if (waiting.length === 0) {
      this.#heldBack = undefined;
      return;
    }
    if (this.#heldBack?.sequence !== sequence) this.#heldBack = { sequence, sinceMs: performance.now() };
    if (performance.now() - this.#heldBack.sinceMs < DIRECTORY_PATIENCE_MS) {
      throw new DirectoryBehindError(
        "members of a gallery or under a key that the directory has not told of yet",
      );
    }
    this.#heldBack = undefined;
    for (const member of waiting) members.setAside(member);
  }

  #newestBeat(events: readonly LogEvent[]): Beat | undefined {
    const { keyring, log } = this.#options;
    const event = events.findLast(({ subject }) => subject === BEAT_SUBJECT);
    if (event === undefined) return undefined;
    const beat = readBeat(keyring, event.body);
    if (beat === undefined)
      log.error({ sequence: event.sequence }, "a beat that nobody of this fleet has signed");
    return beat;
  }

  #read(event: LogEvent): Change | undefined {
    if (event.subject === BEAT_SUBJECT) return undefined;
    const change = readChange(event);
    if (typeof change !== "string") return change;
    this.#options.log.error({ sequence: event.sequence, detail: change }, "event left out");
    return undefined;
  }

  #setStoreFull(storeFull: boolean): void {
    if (this.#storeFull === storeFull) return;
    this.#storeFull = storeFull;
    this.#options.onChanged();
  }
}

function openKeys(
  { eventLog, keyring, log, onKeyRefused }: ShardGroupOptions,
  shards: ShardSet,
): Promise<MemberKeys> {
  const filters = [...shards].map(shardKeysFilter);
  return openMemberKeys(eventLog, keyring, { filters, log, onRefused: onKeyRefused });
}
