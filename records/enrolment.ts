// The durable part of an enrolment: key, then member, then a view that has it on disk.
//
// Invariants:
// - the key is in the log before anything is sealed under it that others could see;
// - ok means: the log has the member, and at least one worker's view has flushed it;
// - an enrolment that is refused leaves no key behind, as far as the log can be reached; where it cannot, nothing that
//   the key could open is in the log either, or the member is whole and can be erased;
// - the plain key is zeroed before the function ends.
import type { NatsConnection } from "@nats-io/transport-node";
import type { Log } from "../wire/log.js";
import { toHex } from "../wire/partition.js";
import { keySubject, memberSubject, STREAMS } from "../wire/subjects.js";
import { askApplied } from "./applied.js";
import { dataKeyEvent } from "./data-key.js";
import { destroyMember } from "./erasure.js";
import type { Appended } from "./event.js";
import type { EventLog } from "./log.js";
import { enrolled, type MemberPlace } from "./member-events.js";
import {
  type Contact,
  type Instrument,
  newDataKey,
  type Signature,
  sealContact,
  sealInstrument,
  sealTemplate,
} from "./seal.js";

/** Enough to erase: a key is destroyed without being opened. */
export interface ErasureDeps {
  nc: NatsConnection;
  eventLog: EventLog;
  log: Log;
  /** How long holders of the partition may take to flush; default APPLIED_WAIT_MS. */
  appliedWaitMs?: number;
}

export interface RecordDeps extends ErasureDeps {
  /** 32 bytes that wrap every data key. */
  masterKey: Uint8Array;
}

export interface Enrolment extends MemberPlace {
  /** The caller wipes the signatures. */
  templates: { signature: Signature; modelId: string; position: number }[];
  /** palmgate.edge.Purpose values */
  consents: number[];
  instrument?: Instrument | undefined;
  contact?: Contact | undefined;
  /** SHA-256 of the text that the person agreed to; none when an operator enrols. */
  consentTextSha256?: Uint8Array | undefined;
}

export type EnrolmentOutcome =
  /** `confirmedBy`: the worker whose view has flushed it. */
  | { ok: true; sequence: number; confirmedBy: string }
  | { ok: false; code: "STORE_FULL" | "LOG_UNAVAILABLE" | "NOT_YET_DURABLE" | "CONFLICT"; detail: string };

export const APPLIED_WAIT_MS = 5000;
/** An append whose answer was lost is repeated. */
const MAX_APPEND_TRIES = 3;

export async function enrolMember(deps: RecordDeps, enrolment: Enrolment): Promise<EnrolmentOutcome> {
  const key = newDataKey();
  try {
    return await enrolUnder(key, deps, enrolment);
  } finally {
    key.fill(0);
  }
}

async function enrolUnder(
  key: Uint8Array,
  deps: RecordDeps,
  enrolment: Enrolment,
): Promise<EnrolmentOutcome> {
  const { gallery, partition, memberId } = enrolment;
  const memberHex = toHex(memberId);
  const subject = keySubject(gallery, partition, memberHex);
  const keyBody = dataKeyEvent(subject, memberId, key, deps.masterKey);
  const keyStored = await appendFirst(deps.eventLog, STREAMS.keys, { subject, body: keyBody });
  keyBody.fill(0);
  // The key that is there belongs to somebody's enrolment: leave it alone.
  if (!keyStored.ok && keyStored.code === "CONFLICT") return keyStored;
  if (!keyStored.ok) return undo(deps, enrolment, keyStored);

  const stored = await appendFirst(deps.eventLog, STREAMS.members, {
    subject: memberSubject(gallery, partition, memberHex),
    body: sealedEnrolment(key, enrolment),
  });
  if (!stored.ok) return undo(deps, enrolment, stored);
  return confirm(deps, enrolment, stored.sequence);
}

function sealedEnrolment(key: Uint8Array, enrolment: Enrolment): Uint8Array {
  const { memberId, gallery, consents, instrument, contact, consentTextSha256 } = enrolment;
  const templates = enrolment.templates.map(({ signature, modelId, position }, index) =>
    sealTemplate(key, { memberId, gallery, modelId, index, position }, signature),
  );
  const sealed = instrument && sealInstrument(key, memberId, gallery, instrument);
  const sealedContact = contact && sealContact(key, memberId, gallery, contact);
  return enrolled(enrolment, {
    templates,
    consents,
    instrument: sealed,
    contact: sealedContact,
    consentTextSha256,
  });
}

async function confirm(deps: RecordDeps, enrolment: Enrolment, sequence: number): Promise<EnrolmentOutcome> {
  const { nc, appliedWaitMs: waitMs = APPLIED_WAIT_MS } = deps;
  const { gallery, partition } = enrolment;
  const answer = await askApplied(nc, { gallery, partition, sequence, waitMs, holders: "first" });
  if (answer.ok) return { ok: true, sequence, confirmedBy: answer.workers.join(" ") };
  if (answer.code === "STORE_FULL") {
    return undo(deps, enrolment, { ok: false, code: "STORE_FULL", detail: "a matcher's disk is full" });
  }
  const why = answer.code === "NO_HOLDER" ? "no matcher holds the partition" : "no matcher confirmed in time";
  return { ok: false, code: "NOT_YET_DURABLE", detail: `${why}; the log has it at sequence ${sequence}` };
}

type Refusal = Extract<EnrolmentOutcome, { ok: false }>;

/** Leaves nothing of a refused enrolment that could be opened. */
async function undo(deps: RecordDeps, enrolment: Enrolment, refusal: Refusal): Promise<Refusal> {
  const { eventLog, log } = deps;
  const { gallery, partition, memberId } = enrolment;
  const undone =
    refusal.code === "CONFLICT"
      ? await eventLog.secureDelete(STREAMS.keys, keySubject(gallery, partition, toHex(memberId)))
      : await destroyMember(eventLog, { ...enrolment, requestedBy: "refused enrolment" });
  if (!undone.ok && undone.code === "LOG_UNAVAILABLE") {
    log.error({ member: toHex(memberId), detail: undone.detail }, "a refused enrolment may have left a key");
  }
  return refusal;
}

/**
 * Appends the first event of a subject. A lost answer makes it ambiguous whether the event is stored: it is tried
 * again, and an event that is there by then is compared with ours.
 */
async function appendFirst(
  eventLog: EventLog,
  stream: string,
  { subject, body }: { subject: string; body: Uint8Array },
): Promise<Appended> {
  let appended = await eventLog.append(subject, body, { expectedSubjectSequence: 0 });
  for (let tries = 1; tries < MAX_APPEND_TRIES; tries++) {
    if (appended.ok || appended.code !== "LOG_UNAVAILABLE") return appended;
    appended = await eventLog.append(subject, body, { expectedSubjectSequence: 0 });
    if (!appended.ok && appended.code === "CONFLICT")
      return ours(eventLog, stream, { subject, body }, appended);
  }
  return appended;
}

async function ours(
  eventLog: EventLog,
  stream: string,
  { subject, body }: { subject: string; body: Uint8Array },
  conflict: Appended,
): Promise<Appended> {
  try {
    const [first] = await eventLog.all(stream, subject);
    if (first === undefined || !Buffer.from(first.body).equals(body)) return conflict;
    return { ok: true, sequence: first.sequence, duplicate: true };
  } catch (error) {
    return { ok: false, code: "LOG_UNAVAILABLE", detail: String(error) };
  }
}
