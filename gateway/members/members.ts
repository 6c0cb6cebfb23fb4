// The gateway's view of the record: who is a member, what each may do, what became of each presentation and payment.
//
// Invariants:
// - get() is synchronous and reads memory or LMDB, never the network: it is on the hot path;
// - a member without a data key is nobody: from the Erased event on, and before the key has arrived here;
// - at most MAX_CACHED_MEMBERS are kept ready in memory; one that changes is dropped from there before anybody reads
//   the change;
// - one writer: each stream is followed from where the view stopped, and applied in batches, because every batch
//   costs this thread a flush to disk.
import { setTimeout as wait } from "node:timers/promises";
import {
  type EventLog,
  type Follower,
  type LogEvent,
  type MemberKeys,
  openMemberKeys,
  openView,
  type View,
  type ViewTables,
} from "../../records/index.js";
import { STREAMS } from "../../wire/subjects.js";
import type { Members, ServiceDeps } from "../seams.js";
import { type HistoryPage, readHistory } from "./history.js";
import { KnownMember } from "./member.js";
import { applyDecision, applyMemberEvent, applyPayment, readOpenPayments, readRow, TABLES } from "./rows.js";

const MAX_CACHED_MEMBERS = 10_000;
/** A batch smaller than this waits a little for more. */
const SMALL_BATCH_EVENTS = 64;
/** Members are waited for (enrolment, erasure); decisions and payments are not. */
const GATHER_MEMBERS_MS = 5;
const GATHER_OTHERS_MS = 100;

const HISTORY_SOURCES = [
  { stream: STREAMS.decisions, filter: "decisions.>" },
  { stream: STREAMS.payments, filter: "payments.>" },
] as const;

export interface MemberDirectory extends Members {
  get(memberHex: string): KnownMember | undefined;
  /** Where the member is or was; `undefined`: this view has never heard of it. */
  place(memberHex: string): { gallery: string; partition: number; erased: boolean } | undefined;
  /** The member's data key, for use at once; `undefined`: destroyed, or never was. Throws LogUnavailableError. */
  key(memberHex: string): Promise<Uint8Array | undefined>;
  /** Waits until get() knows the member, at most `deadlineMs`. */
  seen(memberHex: string, deadlineMs: number): Promise<KnownMember | undefined>;
  /** Waits until the view has applied (and flushed) MEMBERS up to the sequence. */
  applied(sequence: number, deadlineMs: number): Promise<boolean>;
  /** Waits until decisions and payments that the log holds now are here. Throws LogUnavailableError. */
  historyCaughtUp(deadlineMs: number): Promise<boolean>;
  /** The member's uses, latest first. @param before cursor of the page before */
  history(memberHex: string, options: { limit: number; before?: string }): HistoryPage;
  /** Payments not at their end, at most `limit`. */
  openPayments(limit: number): Iterable<{ presentationHex: string; atUnixMs: number }>;
  /** Whether a granted decision of this presentation is on record. */
  wasGranted(presentationHex: string): boolean;
  /** Decisions in the log and not yet here. */
  decisionsLag(): number;
  /** @returns the function that ends it */
  onGranted(listener: (presentationHex: string) => void): () => void;
}

export interface MembersDeps extends Pick<ServiceDeps, "eventLog" | "log" | "dataDir" | "masterKey"> {}

/** Opens the view and starts to follow the log; see ready(). */
export async function openMembers({
  eventLog,
  log,
  dataDir,
  masterKey,
}: MembersDeps): Promise<MemberDirectory> {
  const keys = await openMemberKeys(eventLog, { filter: "keys.>", log, masterKey });
  const view = openView({ path: `${dataDir}/members-view` });
  return new FollowedMembers({ eventLog, log, dataDir, masterKey }, view, keys);
}

class FollowedMembers implements MemberDirectory {
  readonly #eventLog: EventLog;
  readonly #view: View;
  readonly #keys: MemberKeys;
  readonly #followers: Record<"members" | "decisions" | "payments", Follower>;
  readonly #cache = new Map<string, KnownMember>();
  readonly #grantedListeners = new Set<(presentationHex: string) => void>();
  readonly #waiting = new Set<() => void>();
  #ready = false;
  #decisionsCaughtUp = false;

  constructor({ eventLog, log }: MembersDeps, view: View, keys: MemberKeys) {
    this.#eventLog = eventLog;
    this.#view = view;
    this.#keys = keys;
    const follow = (
      stream: string,
      filter: string,
      gatherMs: number,
      applyOne: (event: LogEvent, tables: ViewTables) => string | undefined,
      after: (changed: string[]) => void,
      onCaughtUp = () => {},
    ) =>
      eventLog.follow({
        stream,
        filter,
        afterSequence: view.sequence(stream),
        log,
        onCaughtUp,
        onBatch: async (events) => {
          if (events.length < SMALL_BATCH_EVENTS) await wait(gatherMs);
          const changed: string[] = [];
          const applied = await view.apply(stream, events, (event, tables) => {
            const each = applyOne(event, tables);
            if (each !== undefined) changed.push(each);
          });
          // The follower brings the same events again, later.
          if (!applied.ok) throw new Error(`the gateway's view is full: ${applied.detail}`);
          after(changed);
          for (const look of [...this.#waiting]) look();
        },
      });
    this.#followers = {
      members: follow(
        STREAMS.members,
        "members.>",
        GATHER_MEMBERS_MS,
        applyMemberEvent,
        (changed) => this.#onMembers(changed),
        () => {
          this.#ready = true;
        },
      ),
      decisions: follow(
        STREAMS.decisions,
        "decisions.>",
        GATHER_OTHERS_MS,
        applyDecision,
        (granted) => {
          for (const presentationHex of granted) {
            for (const listener of this.#grantedListeners) listener(presentationHex);
          }
        },
        () => {
          this.#decisionsCaughtUp = true;
        },
      ),
      payments: follow(
        STREAMS.payments,
        "payments.>",
        GATHER_OTHERS_MS,
        (event, tables) => {
          applyPayment(event, tables);
          return undefined;
        },
        () => {},
      ),
    };
  }

  get(memberHex: string): KnownMember | undefined {
    const cached = this.#cache.get(memberHex);
    if (cached) return cached;
    const row = readRow(this.#view.table(TABLES.members).get(memberHex));
    const key = row && this.#keys.get(memberHex);
    if (!row || !key) return undefined;
    const member = new KnownMember(row, key);
    this.#cache.set(memberHex, member);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > MAX_CACHED_MEMBERS && oldest !== undefined) this.#cache.delete(oldest);
    return member;
  }

  place(memberHex: string) {
    const member = readRow(this.#view.table(TABLES.members).get(memberHex));
    const row = member ?? readRow(this.#view.table(TABLES.erased).get(memberHex));
    return row && { gallery: row.gallery, partition: row.partition, erased: member === undefined };
  }

  async seen(memberHex: string, deadlineMs: number): Promise<KnownMember | undefined> {
    await this.#until(() => this.place(memberHex) !== undefined, deadlineMs);
    // The key may still be on its way here: the log is asked once.
    await this.key(memberHex);
    return this.get(memberHex);
  }

  async key(memberHex: string): Promise<Uint8Array | undefined> {
    const place = this.place(memberHex);
    if (!place || place.erased) return undefined;
    return this.#keys.fetch(place.gallery, place.partition, memberHex);
  }

  applied(sequence: number, deadlineMs: number): Promise<boolean> {
    return this.#until(() => this.#view.sequence(STREAMS.members) >= sequence, deadlineMs);
  }

  async historyCaughtUp(deadlineMs: number): Promise<boolean> {
    const waits = HISTORY_SOURCES.map(async ({ stream, filter }) => {
      const last = await this.#eventLog.last(stream, filter);
      return this.#until(() => this.#view.sequence(stream) >= (last?.sequence ?? 0), deadlineMs);
    });
    return (await Promise.all(waits)).every((caughtUp) => caughtUp);
  }

  history(memberHex: string, options: { limit: number; before?: string }): HistoryPage {
    return readHistory(this.#view.table(TABLES.history), memberHex, options);
  }

  openPayments(limit: number) {
    return readOpenPayments(this.#view.table(TABLES.openPayments), limit);
  }

  wasGranted = (presentationHex: string): boolean =>
    this.#view.table(TABLES.granted).get(presentationHex) !== undefined;

  decisionsLag(): number {
    return this.#decisionsCaughtUp ? this.#followers.decisions.lag() : Number.POSITIVE_INFINITY;
  }

  onGranted(listener: (presentationHex: string) => void): () => void {
    this.#grantedListeners.add(listener);
    return () => this.#grantedListeners.delete(listener);
  }

  count(): number {
    return this.#view.table(TABLES.members).count();
  }

  lag(): number {
    return this.#followers.members.lag();
  }

  ready(): boolean {
    return this.#ready;
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#followers).map((follower) => follower.stop()));
    await this.#keys.close();
    this.#cache.clear();
    await this.#view.close();
  }

  #onMembers(changed: readonly string[]): void {
    for (const memberHex of changed) {
      this.#cache.delete(memberHex);
      if (this.place(memberHex)?.erased) this.#keys.forget(memberHex);
    }
  }

  /** @returns whether it became true in time */
  #until(holds: () => boolean, deadlineMs: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (result: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(result);
      };
      const look = () => {
        if (holds()) end(true);
      };
      const timer = setTimeout(() => end(false), deadlineMs);
      this.#waiting.add(look);
    });
  }
}
