// The members' data keys in memory, fed by the KEYS stream: never on a disk of ours.
//
// Invariants:
// - openMemberKeys() resolves when every key that the log held at start is here;
// - a forgotten key is overwritten with zeros, and never comes back, however late its event arrives;
// - an event that does not fit its subject, or whose key is not wrapped under its organisation's, is not taken, and counted;
// - a master key that opens none of them is wrong configuration, not a hall full of erased members.
import { toHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import { type DataKeyRefusal, readDataKey } from "./data-key.js";
import type { LogEvent } from "./event.js";
import type { EventLog } from "./log.js";
import { keySubjectOf } from "./member-events.js";

/** Erased members remembered, so that a late event does not bring a key back. Far more than are erased in flight. */
const MAX_FORGOTTEN_MEMBERS = 10_000;

export interface MemberKeys {
  /** The member's key, for use at once: it is zeroed when the member is forgotten. */
  get(memberHex: string): Uint8Array | undefined;
  /** From memory, else from the log. Throws LogUnavailableError. */
  fetch(place: MemberPlace): Promise<FetchedKey>;
  /** Overwrites the key in memory. */
  forget(memberHex: string): void;
  /** Events that are no key which opens here, since the start. */
  readonly unopened: number;
  readonly size: number;
  /** Stops following and overwrites every key. */
  close(): Promise<void>;
}

export type FetchedKey =
  | { ok: true; key: Uint8Array }
  /**
   * DESTROYED: the log has none (any more). UNOPENED: the log has one that opens under no key known here, which says
   * nothing of the member: the directory may be behind.
   */
  | { ok: false; code: "DESTROYED" | "UNOPENED" };

export interface MemberKeysOptions {
  /** Filters of stream KEYS, e.g. by shardKeysFilter(). */
  filters: readonly string[];
  log: Log;
  /** An event was not taken. Logged already. */
  onRefused?: (code: DataKeyRefusal) => void;
}

/** Resolves when caught up. Throws when the keyring opens none of the keys that are there. */
export async function openMemberKeys(
  eventLog: EventLog,
  keyring: Pick<Keyring, "unwrap">,
  { filters, log, onRefused = () => {} }: MemberKeysOptions,
): Promise<MemberKeys> {
  const keys = new KeysInMemory(eventLog, keyring, { log, onRefused });
  const follower = eventLog.follow({
    stream: STREAMS.keys,
    filters,
    afterSequence: 0,
    onBatch: (events) => keys.take(events),
    log,
  });
  keys.onClose = () => follower.stop();
  await follower.caughtUp();
  if (keys.unopened === 0 || keys.size > 0) return keys;
  await keys.close();
  throw new Error(`the master key opens none of the ${keys.unopened} data keys of ${filters.join(" ")}`);
}

/** One member's data key, read from the log and kept nowhere: the caller wipes it. Throws LogUnavailableError. */
export async function fetchDataKey(
  eventLog: Pick<EventLog, "last">,
  keyring: Pick<Keyring, "unwrap">,
  place: MemberPlace,
): Promise<FetchedKey> {
  const event = await eventLog.last(STREAMS.keys, keySubjectOf(place));
  if (event === undefined) return { ok: false, code: "DESTROYED" };
  const read = readDataKey(keyring, event.subject, event.body);
  return read.ok ? { ok: true, key: read.key } : { ok: false, code: "UNOPENED" };
}

class KeysInMemory implements MemberKeys {
  readonly #eventLog: EventLog;
  readonly #keyring: Pick<Keyring, "unwrap">;
  readonly #log: Log;
  readonly #onRefused: (code: DataKeyRefusal) => void;
  readonly #keys = new Map<string, Uint8Array>();
  readonly #forgotten = new Set<string>();
  unopened = 0;
  onClose: () => Promise<void> = async () => {};

  constructor(
    eventLog: EventLog,
    keyring: Pick<Keyring, "unwrap">,
    { log, onRefused }: Required<Pick<MemberKeysOptions, "log" | "onRefused">>,
  ) {
    this.#eventLog = eventLog;
    this.#keyring = keyring;
    this.#log = log;
    this.#onRefused = onRefused;
  }

  get size(): number {
    return this.#keys.size;
  }

  get(memberHex: string): Uint8Array | undefined {
    return this.#keys.get(memberHex);
  }

  async fetch(place: MemberPlace): Promise<FetchedKey> {
    const memberHex = toHex(place.memberId);
    const known = this.#keys.get(memberHex);
    if (known !== undefined) return { ok: true, key: known };
    if (this.#forgotten.has(memberHex)) return { ok: false, code: "DESTROYED" };
    const event = await this.#eventLog.last(STREAMS.keys, keySubjectOf(place));
    if (event === undefined) return { ok: false, code: "DESTROYED" };
    this.take([event]);
    const key = this.#keys.get(memberHex);
    // It may have been forgotten while the log was asked.
    if (key === undefined)
      return { ok: false, code: this.#forgotten.has(memberHex) ? "DESTROYED" : "UNOPENED" };
    return { ok: true, key };
  }

  forget(memberHex: string): void {
    this.#keys.get(memberHex)?.fill(0);
    this.#keys.delete(memberHex);
    this.#forgotten.add(memberHex);
    if (this.#forgotten.size <= MAX_FORGOTTEN_MEMBERS) return;
    for (const oldest of this.#forgotten) {
      this.#forgotten.delete(oldest);
      break;
    }
  }

  take(events: readonly LogEvent[]): void {
    for (const { subject, sequence, body } of events) {
      const read = readDataKey(this.#keyring, subject, body);
      if (!read.ok) {
        if (read.code === "UNOPENED") this.unopened++;
        this.#onRefused(read.code);
        this.#log.error({ subject, sequence, code: read.code }, "not a data key that opens; left out");
        continue;
      }
      // A member has one key for ever: the first one counts.
      if (this.#forgotten.has(read.memberHex) || this.#keys.has(read.memberHex)) read.key.fill(0);
      else this.#keys.set(read.memberHex, read.key);
    }
  }

  async close(): Promise<void> {
    await this.onClose();
    for (const key of this.#keys.values()) key.fill(0);
    this.#keys.clear();
  }
}
