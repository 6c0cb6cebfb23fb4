// The durable part of an enrolment: data key, then member. Driven by the ledger's enrol saga, and repeatable by whoever
// goes on with it.
//
// Invariants:
// - the key is in the log before anything is sealed under it that others could see;
// - repeated for the same member id, by whomever and after whatever crash, it stores one key and one member;
// - an erased member stays erased: nothing is ever appended on top of `Erased`;
// - the plain key is zeroed before the function ends.
import type { bus } from "../wire/codec.js";
import type { Keyring } from "../wire/keyring.js";
import { newSealKey } from "../wire/seal.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import { dataKeyEvent, readDataKey } from "./data-key.js";
import { type Appended, LogUnavailableError } from "./event.js";
import type { EventLog } from "./log.js";
import { decodeMemberEvent, enrolled, keySubjectOf, memberSubjectOf } from "./member-events.js";
import { type Signature, sealProfile, sealTemplate } from "./seal.js";

export interface Enrolment extends MemberPlace {
  /** 1..8. The caller wipes the signatures. */
  templates: readonly { signature: Signature; modelId: string; position: number }[];
  profile: bus.Profile.$Properties;
}

export type Stored =
  /** `sequence`: of Enrolled in stream MEMBERS. */
  | { ok: true; sequence: number }
  /** NO_KEY: the organisation has no key that opens here. ERASED: the member was, meanwhile. */
  | { ok: false; code: "STORE_FULL" | "LOG_UNAVAILABLE" | "NO_KEY" | "ERASED"; detail: string };

export async function storeMember(
  eventLog: EventLog,
  keyring: Pick<Keyring, "wrap" | "unwrap">,
  enrolment: Enrolment,
): Promise<Stored> {
  try {
    const found = await storedAlready(eventLog, enrolment);
    if (found !== undefined) return found;
    const key = await ownKey(eventLog, keyring, enrolment);
    if (!key.ok) return key;
    try {
      return await storeUnder(key.key, eventLog, enrolment);
    } finally {
      key.key.fill(0);
    }
  } catch (error) {
    if (error instanceof LogUnavailableError) {
      return { ok: false, code: "LOG_UNAVAILABLE", detail: error.message };
    }
    throw error;
  }
}

async function storedAlready(eventLog: EventLog, place: MemberPlace): Promise<Stored | undefined> {
  const last = await eventLog.last(STREAMS.members, memberSubjectOf(place));
  if (last === undefined) return undefined;
  if (decodeMemberEvent(last.body)?.erased) {
    return { ok: false, code: "ERASED", detail: "the member was erased meanwhile" };
  }
  const [first = last] = await eventLog.all(STREAMS.members, memberSubjectOf(place));
  return { ok: true, sequence: first.sequence };
}

type OwnKey = { ok: true; key: Uint8Array } | Extract<Stored, { ok: false }>;

/** The member's key: the one that an earlier driver has stored, else a fresh one, stored. */
async function ownKey(
  eventLog: EventLog,
  keyring: Pick<Keyring, "wrap" | "unwrap">,
  place: MemberPlace,
): Promise<OwnKey> {
  const subject = keySubjectOf(place);
  const key = newSealKey();
  const body = dataKeyEvent(keyring, subject, place.memberId, key);
  if (body === undefined) {
    key.fill(0);
    return {
      ok: false,
      code: "NO_KEY",
      detail: "the organisation has no key that opens under this master key",
    };
  }
  const appended = await eventLog.append(subject, body, { expectedSubjectSequence: 0 });
  if (appended.ok) return { ok: true, key };
  key.fill(0);
  if (appended.code !== "CONFLICT") return { ok: false, code: appended.code, detail: appended.detail };
  const stored = await eventLog.last(STREAMS.keys, subject);
  const read = stored && readDataKey(keyring, subject, stored.body);
  if (read?.ok === true) return { ok: true, key: read.key };
  return read === undefined
    ? { ok: false, code: "ERASED", detail: "the member's key was destroyed meanwhile" }
    : { ok: false, code: "NO_KEY", detail: "the member's stored key does not open here" };
}

async function storeUnder(key: Uint8Array, eventLog: EventLog, enrolment: Enrolment): Promise<Stored> {
  const { templates, profile } = enrolment;
  const body = enrolled(enrolment, {
    templates: templates.map(({ signature, modelId, position }, index) =>
      sealTemplate(key, { ...enrolment, modelId, index, position }, signature),
    ),
    profile: sealProfile(key, enrolment, profile),
  });
  const appended: Appended = await eventLog.append(memberSubjectOf(enrolment), body, {
    expectedSubjectSequence: 0,
  });
  if (appended.ok) return { ok: true, sequence: appended.sequence };
  if (appended.code !== "CONFLICT") return { ok: false, code: appended.code, detail: appended.detail };
  const found = await storedAlready(eventLog, enrolment);
  return (
    found ?? { ok: false, code: "LOG_UNAVAILABLE", detail: "the member's events keep changing: ask again" }
  );
}
