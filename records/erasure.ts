// Erasure, the part of it that needs the log alone: a member's data key is destroyed, and with it every copy of the
// templates, wherever it lies. The ledger's erase saga asks the holders, and signs.
//
// Invariants:
// - the intent comes first: once `Erased` is in the log, the rest is repeated until it is done, whatever crashes;
// - `Erased` names the events that it destroys, so that a repetition gives the same receipt;
// - the key goes before the ciphertext: from then on a copy nobody knows of is noise;
// - ok means: nothing of the member is left in the log but `Erased`.
import { toHex } from "../wire/hex.js";
import { shardOf } from "../wire/shard.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import { LogUnavailableError } from "./event.js";
import type { EventLog } from "./log.js";
import { decodeMemberEvent, erased, keySubjectOf, memberSubjectOf } from "./member-events.js";

/** How often the intent is tried again on top of an event that came in between. */
const MAX_INTENT_TRIES = 8;

/** What was destroyed. Stands in the receipt; nothing biometric. */
export interface Destruction {
  organisation: string;
  gallery: string;
  shard: number;
  /** 32 hex digits */
  memberId: string;
  requestedBy: string;
  /** When the log stored the intent. */
  erasedAtUnixMs: number;
  /** Of `Erased` in stream MEMBERS. */
  erasedSequence: number;
  /** Destroyed events of the data key, in stream KEYS. */
  keySequences: number[];
  /** Destroyed events of the member, in stream MEMBERS. */
  memberSequences: number[];
}

export type Destroyed =
  | { ok: true; destruction: Destruction }
  | { ok: false; code: "LOG_UNAVAILABLE" | "STORE_FULL" | "NOT_FOUND"; detail: string };

/**
 * Intent, key, earlier events. Idempotent: asked again, by whomever, it answers as the first time.
 * @param requestedBy who asked, e.g. "operator": no personal data
 */
export async function destroyMember(
  eventLog: EventLog,
  place: MemberPlace,
  requestedBy: string,
): Promise<Destroyed> {
  try {
    const intent = await declareIntent(eventLog, place, requestedBy);
    // Without a member there may still be a key: that of an enrolment that was given up in the middle.
    if (!intent.ok && intent.code !== "NOT_FOUND") return intent;
    const key = await eventLog.secureDelete(STREAMS.keys, keySubjectOf(place));
    if (!key.ok) return key;
    if (!intent.ok) return intent;
    const keepFromSequence = intent.destruction.erasedSequence;
    const events = await eventLog.secureDelete(STREAMS.members, memberSubjectOf(place), { keepFromSequence });
    return events.ok ? intent : events;
  } catch (error) {
    if (error instanceof LogUnavailableError) {
      return { ok: false, code: "LOG_UNAVAILABLE", detail: error.message };
    }
    throw error;
  }
}

async function declareIntent(
  eventLog: EventLog,
  place: MemberPlace,
  requestedBy: string,
): Promise<Destroyed> {
  const subject = memberSubjectOf(place);
  const keys = await eventLog.all(STREAMS.keys, keySubjectOf(place));
  const keySequences = keys.map(({ sequence }) => sequence);
  for (let tries = 0; tries < MAX_INTENT_TRIES; tries++) {
    const destruction = await readIntent(eventLog, place);
    if (destruction !== undefined) return { ok: true, destruction };
    const events = await eventLog.all(STREAMS.members, subject);
    const last = events.at(-1);
    if (last === undefined) return { ok: false, code: "NOT_FOUND", detail: "the log knows no such member" };
    const memberSequences = events.map(({ sequence }) => sequence);
    const body = erased(place, { requestedBy, keySequences, memberSequences });
    const appended = await eventLog.append(subject, body, { expectedSubjectSequence: last.sequence });
    if (!appended.ok && appended.code !== "CONFLICT") {
      return { ok: false, code: appended.code, detail: appended.detail };
    }
  }
  return { ok: false, code: "LOG_UNAVAILABLE", detail: "the member's events keep changing: ask again" };
}

async function readIntent(eventLog: EventLog, place: MemberPlace): Promise<Destruction | undefined> {
  const { organisation, gallery, memberId } = place;
  // Nothing is ever appended on top of `Erased`: it is the last one, or there is none.
  const last = await eventLog.last(STREAMS.members, memberSubjectOf(place));
  const declared = last && decodeMemberEvent(last.body)?.erased;
  if (last === undefined || !declared) return undefined;
  return {
    organisation,
    gallery,
    shard: shardOf(memberId),
    memberId: toHex(memberId),
    requestedBy: declared.requestedBy ?? "",
    erasedAtUnixMs: last.atUnixMs,
    erasedSequence: last.sequence,
    keySequences: declared.keySequences ?? [],
    memberSequences: declared.memberSequences ?? [],
  };
}
