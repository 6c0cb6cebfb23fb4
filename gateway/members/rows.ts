// What the gateway's view keeps of the record, and how events change it. Pure: tables in, tables out.
//
// Invariants:
// - no template is kept: of an enrolment only its place, consents, sealed instrument and the templates' metadata;
// - an erased member leaves a tombstone and nothing else, and nothing that comes later brings anything back;
// - applying an event again changes nothing.
import type { LogEvent, ViewTable, ViewTables } from "../../records/index.js";
import { bus, decode, edge, encode } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import { isEnd } from "../payments/settle.js";

export const TABLES = {
  /** member hex -> MemberEvent with an Enrolled body as it holds now */
  members: "members",
  /** member hex -> MemberEvent with an Erased body */
  erased: "erased",
  /** member hex / time / kind and sequence -> DecisionEvent or PaymentEvent */
  history: "history",
  /** presentation hex -> PaymentEvent, while the payment is not at its end */
  openPayments: "open-payments",
  /** presentation hex -> mark, of granted PAY decisions whose payment is not at its end */
  granted: "granted",
} as const;

export type HistoryKind = "decision" | "payment";

const MARK = Uint8Array.of(1);
const TIME_DIGITS = 14;
const SEQUENCE_DIGITS = 16;
/** After every key of one member: '0' follows '/'. */
export const historyEnd = (memberHex: string) => `${memberHex}0`;

/** Sorts by time within the member. */
export function historyKey(memberHex: string, atUnixMs: number, kind: HistoryKind, sequence: number): string {
  const time = String(atUnixMs).padStart(TIME_DIGITS, "0");
  return `${memberHex}/${time}/${kind[0]}${String(sequence).padStart(SEQUENCE_DIGITS, "0")}`;
}

export const historyKindOf = (key: string): HistoryKind =>
  key[key.length - SEQUENCE_DIGITS - 1] === "d" ? "decision" : "payment";

/** @returns the member that the event is about */
export function applyMemberEvent({ body }: LogEvent, tables: ViewTables): string | undefined {
  const event = decode(bus.MemberEvent, body);
  if (!event) return undefined;
  const memberHex = toHex(event.memberId);
  const members = tables.table(TABLES.members);
  const erased = tables.table(TABLES.erased);
  if (event.erased) {
    members.remove(memberHex);
    erased.put(memberHex, encode(bus.MemberEvent, event));
    forgetHistory(memberHex, tables);
    return memberHex;
  }
  if (erased.get(memberHex)) return memberHex;
  if (event.enrolled) {
    const templates = (event.enrolled.templates ?? []).map(({ modelId, index, position }) => ({
      modelId: modelId ?? "",
      index: index ?? 0,
      position: position ?? 0,
    }));
    members.put(
      memberHex,
      encode(bus.MemberEvent, { ...placeOf(event), enrolled: { ...event.enrolled, templates } }),
    );
    return memberHex;
  }
  const row = readRow(members.get(memberHex));
  if (!row?.enrolled) return memberHex;
  const { enrolled } = row;
  if (event.consentChanged) enrolled.consents = event.consentChanged.consents ?? [];
  if (event.instrumentAdded?.instrument) enrolled.instrument = event.instrumentAdded.instrument;
  members.put(memberHex, encode(bus.MemberEvent, row));
  return memberHex;
}

const placeOf = ({ atUnixMs, memberId, gallery, partition }: bus.MemberEvent) => ({
  atUnixMs,
  memberId,
  gallery,
  partition,
});

function forgetHistory(memberHex: string, tables: ViewTables): void {
  const history = tables.table(TABLES.history);
  const keys = [...history.range({ start: `${memberHex}/`, end: historyEnd(memberHex) })].map(
    ({ key }) => key,
  );
  for (const key of keys) history.remove(key);
}

/** @returns the presentation, when the event is a granted PAY decision */
export function applyDecision({ body, sequence }: LogEvent, tables: ViewTables): string | undefined {
  const event = decode(bus.DecisionEvent, body);
  if (!event) return undefined;
  const memberHex = toHex(event.memberId);
  if (memberHex !== "" && !tables.table(TABLES.erased).get(memberHex)) {
    tables.table(TABLES.history).put(historyKey(memberHex, event.atUnixMs, "decision", sequence), body);
  }
  if (!event.granted || event.purpose !== edge.Purpose.PAY) return undefined;
  const presentationHex = toHex(event.presentationId);
  tables.table(TABLES.granted).put(presentationHex, MARK);
  return presentationHex;
}

export function applyPayment({ body, sequence }: LogEvent, tables: ViewTables): void {
  const event = decode(bus.PaymentEvent, body);
  if (!event) return;
  const memberHex = toHex(event.memberId);
  const presentationHex = toHex(event.presentationId);
  if (!tables.table(TABLES.erased).get(memberHex)) {
    tables.table(TABLES.history).put(historyKey(memberHex, event.atUnixMs, "payment", sequence), body);
  }
  if (isEnd(event.step)) {
    tables.table(TABLES.openPayments).remove(presentationHex);
    tables.table(TABLES.granted).remove(presentationHex);
  } else tables.table(TABLES.openPayments).put(presentationHex, body);
}

/** A row of `members` or `erased`. */
export function readRow(bytes: Uint8Array | undefined): bus.MemberEvent | undefined {
  return bytes && decode(bus.MemberEvent, bytes);
}

/** Open payments, at most `limit`. */
export function* readOpenPayments(table: ViewTable, limit: number) {
  for (const { key, value } of table.range({ limit })) {
    const event = decode(bus.PaymentEvent, value);
    if (event) yield { presentationHex: key, atUnixMs: event.atUnixMs };
  }
}
