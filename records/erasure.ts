// Erasure: a member's data key is destroyed, and with it every copy of the templates, wherever it lies.
//
// Invariants:
// - the intent comes first: once `Erased` is in the log, the rest is repeated until it is done, whatever crashes;
// - `Erased` names the events that it destroys, so that a repetition gives the same receipt;
// - the key goes before the ciphertext: from then on a copy nobody knows of is noise;
// - ok means: nothing of the member is left in the log but `Erased`, and every holder has wiped its index and flushed.
import { toHex } from "../wire/partition.js";
import { keySubject, memberSubject, STREAMS } from "../wire/subjects.js";
import { askApplied } from "./applied.js";
import type { ErasureDeps } from "./enrolment.js";
import { LogUnavailableError } from "./event.js";
import type { EventLog } from "./log.js";
import { decodeMemberEvent, erased, type MemberPlace } from "./member-events.js";

/** Message id of an Erased event: by it, resumeErasures finds them without reading bodies. */
export const ERASED_ID_PREFIX = "erase:";
const ERASED_WAIT_MS = 10_000;
/** How often the intent is tried again on top of an event that came in between. */
const MAX_INTENT_TRIES = 8;

export interface ErasureRequest extends MemberPlace {
  /** Who asked, e.g. "operator": no personal data. */
  requestedBy: string;
}

/** What was destroyed, and who confirmed it. Stands in the receipt; nothing biometric. */
export interface ErasureFacts {
  gallery: string;
  partition: number;
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
  /** Ids of the workers that confirmed: index wiped, view flushed. */
  workers: string[];
}

export type ErasureOutcome =
  | { ok: true; erasure: ErasureFacts }
  | {
      ok: false;
      code: "LOG_UNAVAILABLE" | "ERASURE_PENDING" | "NOT_FOUND" | "STORE_FULL";
      detail: string;
    };

type Intent = Omit<ErasureFacts, "workers">;
type Destroyed =
  | { ok: true; intent: Intent }
  | { ok: false; code: "LOG_UNAVAILABLE" | "NOT_FOUND"; detail: string };

/**
 * Erases one member, or goes on with an erasure that was begun.
 * @param request.holders workers that hold the partition now; with none, the erasure stays pending until one is back
 */
export async function eraseMember(
  deps: ErasureDeps,
  request: ErasureRequest & { holders: number },
): Promise<ErasureOutcome> {
  const destroyed = await destroyMember(deps.eventLog, request);
  if (!destroyed.ok) return destroyed;
  const { intent } = destroyed;
  const answer = await askApplied(deps.nc, {
    gallery: request.gallery,
    partition: request.partition,
    sequence: intent.erasedSequence,
    waitMs: deps.appliedWaitMs ?? ERASED_WAIT_MS,
    holders: Math.max(1, request.holders),
    erasedMemberId: request.memberId,
  });
  if (answer.ok) return { ok: true, erasure: { ...intent, workers: answer.workers } };
  if (answer.code === "STORE_FULL") {
    return { ok: false, code: "STORE_FULL", detail: "the key is destroyed; a matcher's disk is full" };
  }
  const detail = {
    NOT_YET_DURABLE: `the key is destroyed; ${answer.workers.length} of ${request.holders} matchers confirmed in time`,
    NO_HOLDER: "the key is destroyed; no matcher holds the partition now",
    STILL_PRESENT: "the key is destroyed, but a matcher still finds the member in its index: a bug",
  }[answer.code];
  return { ok: false, code: "ERASURE_PENDING", detail };
}

/** Intent, key, earlier events: the part of an erasure that needs the log alone. Idempotent. */
export async function destroyMember(eventLog: EventLog, request: ErasureRequest): Promise<Destroyed> {
  const { gallery, partition, memberId } = request;
  const memberHex = toHex(memberId);
  try {
    const intent = await declareIntent(eventLog, request);
    // Without a member there may still be a key: that of an enrolment that was refused in the middle.
    if (!intent.ok && intent.code !== "NOT_FOUND") return intent;
    const key = await eventLog.secureDelete(STREAMS.keys, keySubject(gallery, partition, memberHex));
    if (!key.ok) return key;
    if (!intent.ok) return intent;
    const subject = memberSubject(gallery, partition, memberHex);
    const keepFromSequence = intent.intent.erasedSequence;
    const events = await eventLog.secureDelete(STREAMS.members, subject, { keepFromSequence });
    return events.ok ? intent : events;
  } catch (error) {
    if (error instanceof LogUnavailableError) {
      return { ok: false, code: "LOG_UNAVAILABLE", detail: error.message };
    }
    throw error;
  }
}

async function declareIntent(eventLog: EventLog, request: ErasureRequest): Promise<Destroyed> {
  const { gallery, partition, memberId, requestedBy } = request;
  const memberHex = toHex(memberId);
  const subject = memberSubject(gallery, partition, memberHex);
  const keys = await eventLog.all(STREAMS.keys, keySubject(gallery, partition, memberHex));
  const keySequences = keys.map(({ sequence }) => sequence);
  for (let tries = 0; tries < MAX_INTENT_TRIES; tries++) {
    const intent = await readIntent(eventLog, request);
    if (intent !== undefined) return { ok: true, intent };
    const events = await eventLog.all(STREAMS.members, subject);
    const last = events.at(-1);
    if (last === undefined) return { ok: false, code: "NOT_FOUND", detail: "the log knows no such member" };
    const memberSequences = events.map(({ sequence }) => sequence);
    const body = erased(request, { requestedBy, keySequences, memberSequences });
    const appended = await eventLog.append(subject, body, {
      expectedSubjectSequence: last.sequence,
      messageId: `${ERASED_ID_PREFIX}${gallery}.${memberHex}`,
    });
    if (!appended.ok && appended.code !== "CONFLICT") {
      return { ok: false, code: "LOG_UNAVAILABLE", detail: appended.detail };
    }
  }
  return { ok: false, code: "LOG_UNAVAILABLE", detail: "the member's events keep changing: ask again" };
}

async function readIntent(eventLog: EventLog, place: MemberPlace): Promise<Intent | undefined> {
  const { gallery, partition, memberId } = place;
  const memberHex = toHex(memberId);
  const events = await eventLog.all(STREAMS.members, memberSubject(gallery, partition, memberHex));
  for (const { sequence, atUnixMs, body } of events) {
    const declared = decodeMemberEvent(body)?.erased;
    if (!declared) continue;
    return {
      gallery,
      partition,
      memberId: memberHex,
      requestedBy: declared.requestedBy ?? "",
      erasedAtUnixMs: atUnixMs,
      erasedSequence: sequence,
      keySequences: declared.keySequences ?? [],
      memberSequences: declared.memberSequences ?? [],
    };
  }
  return undefined;
}
