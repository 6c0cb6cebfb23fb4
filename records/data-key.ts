// A data key as an event of stream KEYS: wrapped under its organisation's key, always.
//
// Invariants:
// - a key that is not wrapped is never taken: the keys above it are what tells an enrolment of ours from an event that
//   anybody with the password of the log has written;
// - a wrapped key opens on the subject that it was made for, and on no other.
//
// Why wrapped: nats-server's own at-rest encryption turns its secure delete into a mere delete (see
// ops/nats/nats-server.conf), so the server runs without it, and the log's disk and backups must not hold a key that
// opens anything.
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { aadOf } from "../wire/seal.js";

export type ReadKey = { ok: true; memberHex: string; key: Uint8Array } | { ok: false; code: DataKeyRefusal };

/**
 * MALFORMED: no data key, or of another member than the subject's. UNWRAPPED: nothing in it is sealed: whoever wrote it
 * had no key of ours. UNOPENED: the organisation or its key is not known here, lies under another master key, or sealed
 * it for another subject.
 */
export const DATA_KEY_REFUSALS = ["MALFORMED", "UNWRAPPED", "UNOPENED"] as const;
export type DataKeyRefusal = (typeof DATA_KEY_REFUSALS)[number];

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
  if (message === undefined || memberHex === "" || !subject.endsWith(`.${memberHex}`)) {
    return { ok: false, code: "MALFORMED" };
  }
  if (!message.wrapped) return { ok: false, code: "UNWRAPPED" };
  const key = keyring.unwrap(organisationOf(subject), dataKeyAad(subject), message.wrapped);
  return key === undefined ? { ok: false, code: "UNOPENED" } : { ok: true, memberHex, key };
}
