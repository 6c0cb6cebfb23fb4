// A data key as an event of stream KEYS: wrapped under its organisation's key, never in the clear.
//
// Why wrapped: nats-server's own at-rest encryption turns its secure delete into a mere delete (see
// ops/nats/nats-server.conf), so the server runs without it, and the log's disk and backups must not hold a key that
// opens anything. And why nothing else is taken: whoever may write into the log could else write a member of their own.
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { aadOf } from "../wire/seal.js";

export type ReadKey =
  | { ok: true; memberHex: string; key: Uint8Array }
  /**
   * MALFORMED: no data key, or of another member than the subject's, or not wrapped.
   * UNOPENED: the organisation or its key is not known here, or lies under another master key.
   */
  | { ok: false; code: "MALFORMED" | "UNOPENED" };

/** @param subject of the event that holds the wrapped data key */
const dataKeyAad = (subject: string): Uint8Array => aadOf("palmgate-data-key", [subject]);

/** keys.<shard>.<organisation>.<gallery>.<member id, hex> */
const organisationOf = (subject: string): string => subject.split(".")[2] ?? "";

/** The event's body, or `undefined` when the organisation has no key that opens here. */
export function dataKeyEvent(
  keyring: Pick<Keyring, "wrap">,
  subject: string,
  memberId: Uint8Array,
  key: Uint8Array,
): Uint8Array | undefined {
  const wrapped = keyring.wrap(organisationOf(subject), dataKeyAad(subject), key);
  return wrapped && encode(bus.DataKey, { memberId, wrapped });
}

/** The key is the caller's own copy. */
export function readDataKey(keyring: Pick<Keyring, "unwrap">, subject: string, body: Uint8Array): ReadKey {
  const message = decode(bus.DataKey, body);
  const memberHex = message?.memberId.length === MEMBER_ID_BYTES ? toHex(message.memberId) : "";
  if (!message?.wrapped?.sealed || memberHex === "" || !subject.endsWith(`.${memberHex}`)) {
    return { ok: false, code: "MALFORMED" };
  }
  const key = keyring.unwrap(organisationOf(subject), dataKeyAad(subject), message.wrapped);
  return key === undefined ? { ok: false, code: "UNOPENED" } : { ok: true, memberHex, key };
}
