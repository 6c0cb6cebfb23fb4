// The members' data keys in memory, fed by the KEYS stream: never on a disk of ours.
//
// Invariants:
// - openMemberKeys() resolves when every key that the log held at start is here;
// - a forgotten key is overwritten with zeros, and never comes back, however late its event arrives;
// - an event that does not fit its subject, or holds a key that is not wrapped, is not taken;
// - a master key that opens none of them is wrong configuration, not a hall full of erased members.
import { toHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import { readDataKey } from "./data-key.js";
import type { LogEvent } from "./event.js";
import type { EventLog } from "./log.js";
import { keySubjectOf } from "./member-events.js";

/** Erased members remembered, so that a late event does not bring a key back. Far more than are erased in flight. */
const MAX_FORGOTTEN_MEMBERS = 10_000;

export interface MemberKeys {
  /** The member's key, for use at once: it is zeroed when the member is forgotten. */
  get(memberHex: string): Uint8Array | undefined;
  /** From memory, else from the log. `undefined`: destroyed, or never was. Throws LogUnavailableError. */
  fetch(place: MemberPlace): Promise<Uint8Array | undefined>;
  /** Overwrites the key in memory. */
  forget(memberHex: string): void;
  /** Events that are no key which opens here, since the start. */
  readonly unopened: number;
  readonly size: number;
  /** Stops following and overwrites every key. */
  close(): Promise<void>;
}

export interface MemberKeysOptions {
  /** Filters of stream KEYS, e.g. by shardKeysFilter(). */
  filters: readonly string[];
  log: Log;
}

/** Resolves when caught up. Throws when the keyring opens none of the keys that are there. */
export async function openMemberKeys(
  eventLog: EventLog,
  keyring: Pick<Keyring, "unwrap">,
  { filters, log }: MemberKeysOptions,
): Promise<MemberKeys> {
  const keys = new KeysInMemory(eventLog, keyring, log);
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

/**
 * One member's data key, read from the log and kept nowhere: the caller wipes it. `undefined`: destroyed, never was, or
 * opens under no key here. Throws LogUnavailableError.
 */
export async function fetchDataKey(
  eventLog: Pick<EventLog, "last">,
  keyring: Pick<Keyring, "unwrap">,
  place: MemberPlace,
): Promise<Uint8Array | undefined> {
  const event = await eventLog.last(STREAMS.keys, keySubjectOf(place));
  const read = event && readDataKey(keyring, event.subject, event.body);
  return read?.ok === true ? read.key : undefined;
}

class KeysInMemory implements MemberKeys {
  readonly #eventLog: EventLog;
  readonly #keyring: Pick<Keyring, "unwrap">;
  readonly #log: Log;
  readonly #keys = new Map<string, Uint8Array>();
  readonly #forgotten = new Set<string>();
  unopened = 0;
  onClose: () => Promise<void> = async () => {};

  constructor(eventLog: EventLog, keyring: Pick<Keyring, "unwrap">, log: Log) {
    this.#eventLog = eventLog;
    this.#keyring = keyring;
    this.#log = log;
  }

  get size(): number {
    return this.#keys.size;
  }

  get(memberHex: string): Uint8Array | undefined {
    return this.#keys.get(memberHex);
  }

  async fetch(place: MemberPlace): Promise<Uint8Array | undefined> {
    const memberHex = toHex(place.memberId);
    const known = this.#keys.get(memberHex);
    if (known !== undefined || this.#forgotten.has(memberHex)) return known;
    const event = await this.#eventLog.last(STREAMS.keys, keySubjectOf(place));
    if (event !== undefined) this.take([event]);
    return this.#keys.get(memberHex);
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
