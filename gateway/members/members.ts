// The gateway's view of the record: who is a member, what each may do, what became of each presentation and payment.
//
// Invariants:
// - get() is synchronous and reads memory or LMDB, never the network: it is on the hot path;
// - nothing here waits for a disk: a thread of its own follows the log and writes the view;
// - a member without a data key is nobody: from the Erased event on, and before the key has arrived here;
// - at most MAX_CACHED_MEMBERS are kept ready in memory; one that changes is dropped from there before anybody is told
//   that the change is applied.
import { setImmediate } from "node:timers/promises";
import { type EventLog, type MemberKeys, openMemberKeys, type ViewTable } from "../../records/index.js";
import { STREAMS } from "../../wire/subjects.js";
import type { Members, ServiceDeps } from "../seams.js";
import { type FollowedView, openFollowedView, type StartThread, startViewThread } from "./followed-view.js";
import { type HistoryPage, readHistory } from "./history.js";
import { KnownMember } from "./member.js";
import { readOpenPayments, readRow, TABLES } from "./rows.js";
import type { Source } from "./view-messages.js";

const MAX_CACHED_MEMBERS = 10_000;
/** Tombstones looked at in one turn of the event loop. */
const MAX_FORGOTTEN_AT_ONCE = 256;

const HISTORY_SOURCES = [
  { source: "decisions", filter: "decisions.>" },
  { source: "payments", filter: "payments.>" },
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

export interface MembersDeps
  extends Pick<ServiceDeps, "eventLog" | "log" | "dataDir" | "masterKey" | "natsUrl" | "metrics"> {
  startThread?: StartThread;
}

/** Opens the view, whose thread starts to follow the log; see ready(). Throws when the view cannot be opened. */
export async function openMembers({
  eventLog,
  log,
  masterKey,
  metrics,
  dataDir,
  natsUrl,
  startThread = startViewThread,
}: MembersDeps): Promise<MemberDirectory> {
  const onRefused = metrics.dataKeyRefused;
  const keys = await openMemberKeys(eventLog, { filter: "keys.>", log, masterKey, onRefused });
  const settings = { natsUrl, path: `${dataDir}/members-view` };
  try {
    return new FollowedMembers(eventLog, keys, await openFollowedView({ settings, log, startThread }));
  } catch (error) {
    await keys.close();
    throw error;
  }
}

class FollowedMembers implements MemberDirectory {
  readonly #eventLog: EventLog;
  readonly #view: FollowedView;
  readonly #keys: MemberKeys;
  readonly #cache = new Map<string, KnownMember>();
  readonly #grantedListeners = new Set<(presentationHex: string) => void>();
  readonly #waiting = new Set<() => void>();

  constructor(eventLog: EventLog, keys: MemberKeys, view: FollowedView) {
    this.#eventLog = eventLog;
    this.#keys = keys;
    this.#view = view;
    view.listen({
      onApplied: (source, changed) => this.#onApplied(source, changed),
      onTakenOver: () => void this.#onTakenOver(),
      onReached: () => {
        for (const look of [...this.#waiting]) look();
      },
    });
  }

  get(memberHex: string): KnownMember | undefined {
    const cached = this.#cache.get(memberHex);
    if (cached) return cached;
    const row = readRow(this.#table(TABLES.members).get(memberHex));
    const key = row && this.#keys.get(memberHex);
    if (!row || !key) return undefined;
    const member = new KnownMember(row, key);
    this.#cache.set(memberHex, member);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > MAX_CACHED_MEMBERS && oldest !== undefined) this.#cache.delete(oldest);
    return member;
  }

  place(memberHex: string) {
    const member = readRow(this.#table(TABLES.members).get(memberHex));
    const row = member ?? readRow(this.#table(TABLES.erased).get(memberHex));
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
    return this.#until(() => this.#view.reached("members") >= sequence, deadlineMs);
  }

  async historyCaughtUp(deadlineMs: number): Promise<boolean> {
    const waits = HISTORY_SOURCES.map(async ({ source, filter }) => {
      const last = await this.#eventLog.last(STREAMS[source], filter);
      return this.#until(() => this.#view.reached(source) >= (last?.sequence ?? 0), deadlineMs);
    });
    return (await Promise.all(waits)).every((caughtUp) => caughtUp);
  }

  history(memberHex: string, options: { limit: number; before?: string }): HistoryPage {
    return readHistory(this.#table(TABLES.history), memberHex, options);
  }

  openPayments(limit: number) {
    return readOpenPayments(this.#table(TABLES.openPayments), limit);
  }

  wasGranted = (presentationHex: string): boolean =>
    this.#table(TABLES.granted).get(presentationHex) !== undefined;

  decisionsLag(): number {
    return this.#view.caughtUp("decisions") ? this.#view.lag("decisions") : Number.POSITIVE_INFINITY;
  }

  onGranted(listener: (presentationHex: string) => void): () => void {
    this.#grantedListeners.add(listener);
    return () => this.#grantedListeners.delete(listener);
  }

  count(): number {
    return this.#table(TABLES.members).count();
  }

  lag(): number {
    return this.#view.lag("members");
  }

  ready(): boolean {
    return this.#view.caughtUp("members");
  }

  async close(): Promise<void> {
    await this.#view.close();
    await this.#keys.close();
    this.#cache.clear();
  }

  #table(name: string): ViewTable {
    return this.#view.reader.table(name);
  }

  #onApplied(source: Source, changed: readonly string[]): void {
    if (source === "members") {
      for (const memberHex of changed) {
        this.#cache.delete(memberHex);
        if (this.place(memberHex)?.erased) this.#keys.forget(memberHex);
      }
    }
    if (source !== "decisions") return;
    for (const presentationHex of changed) {
      for (const listener of this.#grantedListeners) listener(presentationHex);
    }
  }

  /** Makes up for what may never have been told. Presentations granted are found by the next sweep over payments. */
  async #onTakenOver(): Promise<void> {
    this.#cache.clear();
    let looked = 0;
    for (const { key: memberHex } of this.#table(TABLES.erased).range()) {
      this.#keys.forget(memberHex);
      if (++looked % MAX_FORGOTTEN_AT_ONCE === 0) await setImmediate();
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
