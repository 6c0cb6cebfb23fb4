// The members' data keys in memory, fed by the KEYS stream: never on a disk of ours.
//
// Invariants:
// - openMemberKeys() resolves when every key that the log held at start is here;
// - a forgotten key is overwritten with zeros, and never comes back, however late its event arrives;
// - an event that does not fit its subject is not taken.
import { bus, decode } from "../wire/codec.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { toHex } from "../wire/partition.js";
import { keySubject, STREAMS } from "../wire/subjects.js";
import type { LogEvent } from "./event.js";
import type { EventLog } from "./log.js";
import { DATA_KEY_BYTES } from "./seal.js";

/** Erased members remembered, so that a late event does not bring a key back. Far more than are erased in flight. */
const MAX_FORGOTTEN_MEMBERS = 10_000;

export interface MemberKeys {
  /** The member's key, for use at once: it is zeroed when the member is forgotten. */
  get(memberHex: string): Uint8Array | undefined;
  /** From memory, else from the log. `undefined`: destroyed, or never was. Throws LogUnavailableError. */
  fetch(gallery: string, partition: number, memberHex: string): Promise<Uint8Array | undefined>;
  /** Overwrites the key in memory. */
  forget(memberHex: string): void;
  readonly size: number;
  /** Stops following and overwrites every key. */
  close(): Promise<void>;
}

/** Follows `filter` of stream KEYS. Resolves when caught up. */
export async function openMemberKeys(
  log: EventLog,
  options: { filter: string; log: Log },
): Promise<MemberKeys> {
  const keys = new KeysInMemory(log, options.log);
  const follower = log.follow({
    stream: STREAMS.keys,
    filter: options.filter,
    afterSequence: 0,
    onBatch: (events) => keys.take(events),
    log: options.log,
  });
  keys.onClose = () => follower.stop();
  await follower.caughtUp();
  return keys;
}

class KeysInMemory implements MemberKeys {
  readonly #eventLog: EventLog;
  readonly #log: Log;
  readonly #keys = new Map<string, Uint8Array>();
  readonly #forgotten = new Set<string>();
  onClose: () => Promise<void> = async () => {};

  constructor(eventLog: EventLog, log: Log) {
    this.#eventLog = eventLog;
    this.#log = log;
  }

  get size(): number {
    return this.#keys.size;
  }

  get(memberHex: string): Uint8Array | undefined {
    return this.#keys.get(memberHex);
  }

  async fetch(gallery: string, partition: number, memberHex: string): Promise<Uint8Array | undefined> {
    const known = this.#keys.get(memberHex);
    if (known !== undefined || this.#forgotten.has(memberHex)) return known;
    const event = await this.#eventLog.last(STREAMS.keys, keySubject(gallery, partition, memberHex));
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
      const message = decode(bus.DataKey, body);
      const memberHex = message?.memberId.length === MEMBER_ID_BYTES ? toHex(message.memberId) : "";
      if (message?.key.length !== DATA_KEY_BYTES || !memberHex || !subject.endsWith(`.${memberHex}`)) {
        this.#log.error({ subject, sequence }, "not a data key; left out");
        continue;
      }
      // A member has one key for ever: the first one counts.
      if (!this.#forgotten.has(memberHex) && !this.#keys.has(memberHex)) {
        this.#keys.set(memberHex, Uint8Array.from(message.key));
      }
      // The decoded key is a view on the event's bytes: leave no second copy behind.
      message.key.fill(0);
    }
  }

  async close(): Promise<void> {
    await this.onClose();
    for (const key of this.#keys.values()) key.fill(0);
    this.#keys.clear();
  }
}
