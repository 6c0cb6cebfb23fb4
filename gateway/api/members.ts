// One member over the API: read it, read its history, change its consents or its instrument.
//
// Invariants:
// - a change is appended on top of the member's last event: two operators who change at once do not overwrite each
//   other unseen, and nothing is appended to an erased member;
// - a change is answered when this gateway's view has flushed it: the next presentation here obeys it;
// - of an instrument only brand and last four digits are ever answered, of a phone number the last two.
import {
  type Appended,
  consentChanged,
  instrumentAdded,
  LogUnavailableError,
  type MemberPlace,
  sealInstrument,
} from "../../records/index.js";
import { bus, decode, edge } from "../../wire/codec.js";
import { fromHex, partitionOf } from "../../wire/partition.js";
import { memberSubject, STREAMS } from "../../wire/subjects.js";
import { CURSOR_PATTERN } from "../members/history.js";
import type { KnownMember } from "../members/member.js";
import { valueHoldsCardNumber } from "../payments/card-number.js";
import { type Answer, done, type Refused, refuse } from "./answer.js";
import type { ApiDeps } from "./api.js";
import { pairwiseIds } from "./enrol.js";
import { type Checked, cardNumberRefused, checkConsents, checkInstrument } from "./enrol-request.js";

const MEMBER_ID_PATTERN = /^[0-9a-f]{32}$/;
const PURPOSE_NUMBERS = new Map<unknown, edge.Purpose>([
  ["ENTRY", edge.Purpose.ENTRY],
  ["PAY", edge.Purpose.PAY],
]);
const DEFAULT_HISTORY_USES = 50;
const MAX_HISTORY_USES = 200;
const HISTORY_DEADLINE_MS = 1000;
const APPLIED_DEADLINE_MS = 3000;

export function readMember(deps: ApiDeps, memberHex: string): Answer {
  const found = findMember(deps, memberHex);
  if (!found.ok) return found.refused;
  const member = found.value;
  const { instrument } = member;
  return done({
    memberId: memberHex,
    gallery: member.gallery,
    partition: member.partition,
    enrolledAtUnixMs: member.enrolledAtUnixMs,
    templates: member.templates,
    consents: [...member.consents].map((purpose) => edge.Purpose[purpose]),
    instrument: instrument ? { brand: instrument.brand, last4: instrument.last4 } : null,
    phoneEnding: member.phoneEnding ?? null,
    pairwiseIds: pairwiseIds(deps, member),
  });
}

export async function readMemberHistory(
  deps: ApiDeps,
  memberHex: string,
  query: URLSearchParams,
): Promise<Answer> {
  const found = findMember(deps, memberHex);
  if (!found.ok) return found.refused;
  const limit = Number(query.get("limit") ?? DEFAULT_HISTORY_USES);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_HISTORY_USES) {
    return refuse("BAD_REQUEST", `limit must be 1 to ${MAX_HISTORY_USES}.`);
  }
  const before = query.get("before");
  if (before !== null && !CURSOR_PATTERN.test(before)) {
    return refuse("BAD_REQUEST", "before must be the cursor of an earlier page.");
  }
  // Best effort: a history that is a moment old is better than none.
  await deps.members.historyCaughtUp(HISTORY_DEADLINE_MS).catch((error: unknown) => {
    if (!(error instanceof LogUnavailableError)) throw error;
  });
  return done(deps.members.history(memberHex, { limit, ...(before === null ? {} : { before }) }));
}

/** Body: {"consents": ["ENTRY", "PAY"]}; all that hold from now on. */
export async function changeConsents(deps: ApiDeps, memberHex: string, body: Buffer): Promise<Answer> {
  const json = parseJson(body);
  if (!json.ok) return json.refused;
  const names = json.value.consents;
  if (!Array.isArray(names)) return refuse("BAD_REQUEST", "consents must be a list of purposes.");
  // Withdrawing every consent is a change like any other.
  const numbers = names.map((name: unknown) => PURPOSE_NUMBERS.get(name) ?? edge.Purpose.PURPOSE_UNSPECIFIED);
  const checked = numbers.length === 0 ? { ok: true as const, value: [] } : checkConsents(numbers);
  if (!checked.ok) return checked.refused;
  return change(deps, memberHex, async (place) => ({
    ok: true,
    value: consentChanged(place, checked.value),
  }));
}

/** Body: {"processor", "token", "brand", "last4"}. */
export async function changeInstrument(deps: ApiDeps, memberHex: string, body: Buffer): Promise<Answer> {
  const json = parseJson(body);
  if (!json.ok) return json.refused;
  const text = (name: string) => {
    const value = json.value[name];
    return typeof value === "string" ? value : "";
  };
  const checked = checkInstrument({
    processor: text("processor"),
    token: text("token"),
    brand: text("brand"),
    last4: text("last4"),
  });
  if (!checked.ok) return checked.refused;
  return change(deps, memberHex, async (place) => {
    const key = await deps.members.key(memberHex);
    if (!key) return { ok: false, refused: refuse("ERASED", "The member's data key is destroyed.") };
    const sealed = sealInstrument(key, place.memberId, place.gallery, checked.value);
    return { ok: true, value: instrumentAdded(place, sealed) };
  });
}

async function change(
  deps: ApiDeps,
  memberHex: string,
  make: (place: MemberPlace) => Promise<Checked<Uint8Array>>,
): Promise<Answer> {
  const found = findMember(deps, memberHex);
  if (!found.ok) return found.refused;
  const { gallery, partition } = found.value;
  const subject = memberSubject(gallery, partition, memberHex);
  try {
    const last = await deps.eventLog.last(STREAMS.members, subject);
    if (!last || decode(bus.MemberEvent, last.body)?.erased) {
      return refuse("ERASED", "The member has been erased.");
    }
    const made = await make({ memberId: fromHex(memberHex), gallery, partition });
    if (!made.ok) return made.refused;
    const appended = await deps.eventLog.append(subject, made.value, {
      expectedSubjectSequence: last.sequence,
    });
    if (!appended.ok) return appendRefused(appended);
    if (!(await deps.members.applied(appended.sequence, APPLIED_DEADLINE_MS))) {
      return refuse(
        "NOT_YET_DURABLE",
        "The log has the change; this gateway's view has not shown it in time.",
      );
    }
    return readMember(deps, memberHex);
  } catch (error) {
    if (error instanceof LogUnavailableError)
      return refuse("LOG_UNAVAILABLE", "The event log did not answer.");
    throw error;
  }
}

function appendRefused({ code }: Extract<Appended, { ok: false }>): Refused {
  switch (code) {
    case "CONFLICT":
      return refuse(code, "The member was changed by somebody else meanwhile.");
    case "STORE_FULL":
      return refuse(code, "The event log is full.");
    case "LOG_UNAVAILABLE":
      return refuse(code, "The event log did not answer in time.");
  }
}

function findMember({ members }: ApiDeps, memberHex: string): Checked<KnownMember> {
  if (!isMemberId(memberHex)) return { ok: false, refused: notAnId() };
  const member = members.get(memberHex);
  if (member) return { ok: true, value: member };
  return members.place(memberHex)?.erased
    ? { ok: false, refused: refuse("ERASED", "The member has been erased.") }
    : { ok: false, refused: refuse("NOT_FOUND", "There is no such member.") };
}

export const isMemberId = (memberHex: string): boolean => MEMBER_ID_PATTERN.test(memberHex);
export const notAnId = (): Refused =>
  refuse("NOT_FOUND", "A member id is 32 hexadecimal digits, in lower case.");

/**
 * Where the member's events are: from the view, else (a view that lags, a gateway that is new) from the log.
 * Throws LogUnavailableError.
 */
export async function findPlace(deps: ApiDeps, memberHex: string): Promise<MemberPlace | undefined> {
  const memberId = fromHex(memberHex);
  const known = deps.members.place(memberHex);
  if (known) return { memberId, gallery: known.gallery, partition: known.partition };
  for (const { name, partitions } of deps.site().galleries) {
    const partition = partitionOf(memberId, partitions);
    const last = await deps.eventLog.last(STREAMS.members, memberSubject(name, partition, memberHex));
    if (last) return { memberId, gallery: name, partition };
  }
  return undefined;
}

/** A flat JSON object without a card number in it. What was sent is not quoted in the refusal. */
function parseJson(body: Buffer): Checked<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return { ok: false, refused: refuse("BAD_REQUEST", "The body is not JSON.") };
  }
  if (valueHoldsCardNumber(value)) return cardNumberRefused();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, refused: refuse("BAD_REQUEST", "The body is not a JSON object.") };
  }
  return { ok: true, value: Object.fromEntries(Object.entries(value)) };
}
