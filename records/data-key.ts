// A data key as an event of stream KEYS: wrapped under the site's master key, always.
//
// Invariants:
// - a key that is not wrapped is never taken: the master key is what tells an enrolment of ours from an event that
//   anybody with the password of the log has written;
// - a wrapped key opens on the subject that it was made for, and on no other.
//
// Why wrapped: nats-server's own at-rest encryption turns its secure delete into a mere delete (all versions up to
// 2.14; see ops/nats/nats-server.conf), so the server runs without it, and the log's disk and backups must not hold a
// key that opens anything.
import { z } from "zod";
import { bus, decode, encode } from "../wire/codec.js";
import type { Setting } from "../wire/config.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { toHex } from "../wire/partition.js";
import { DATA_KEY_BYTES, dataKeyAad, open, seal } from "./seal.js";

export type ReadKey = { ok: true; memberHex: string; key: Uint8Array } | { ok: false; code: DataKeyRefusal };

/**
 * MALFORMED: no data key, or of another member than the subject's. UNWRAPPED: nothing in it is sealed: whoever wrote it
 * did not have the master key. UNOPENED: wrapped under another master key, or for another subject.
 */
export const DATA_KEY_REFUSALS = ["MALFORMED", "UNWRAPPED", "UNOPENED"] as const;
export type DataKeyRefusal = (typeof DATA_KEY_REFUSALS)[number];

/** The setting that every process with members' keys takes. Its value is for the environment, not the command line. */
export const MASTER_KEY_SETTING = {
  option: "master-key",
  value: "HEX",
  help: "wraps every member's data key in the log; the same for all gateways and matchers of a site",
  schema: z
    .string({ error: "is needed: 64 hex digits, made once with 'openssl rand -hex 32' and kept safe" })
    .regex(/^\s*[0-9a-fA-F]{64}\s*$/, "must be 64 hex digits, made once with 'openssl rand -hex 32'")
    .transform(parseMasterKey),
} as const satisfies Setting;

/** The site's master key from its text. Throws when it is not 64 hex digits. */
export function parseMasterKey(text: string): Uint8Array {
  const hex = text.trim();
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) throw new Error("a master key is 32 bytes as 64 hex digits");
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

export function dataKeyEvent(
  subject: string,
  memberId: Uint8Array,
  key: Uint8Array,
  masterKey: Uint8Array,
): Uint8Array {
  return encode(bus.DataKey, { memberId, wrapped: seal(masterKey, dataKeyAad(subject), key) });
}

/** The key is the caller's own copy. */
export function readDataKey(subject: string, body: Uint8Array, masterKey: Uint8Array): ReadKey {
  const message = decode(bus.DataKey, body);
  const memberHex = message?.memberId.length === MEMBER_ID_BYTES ? toHex(message.memberId) : "";
  if (message === undefined || memberHex === "" || !subject.endsWith(`.${memberHex}`)) {
    return { ok: false, code: "MALFORMED" };
  }
  if (!message.wrapped) return { ok: false, code: "UNWRAPPED" };
  const key = open(masterKey, dataKeyAad(subject), message.wrapped);
  if (key === undefined) return { ok: false, code: "UNOPENED" };
  return key.length === DATA_KEY_BYTES ? { ok: true, memberHex, key } : { ok: false, code: "MALFORMED" };
}
