// What a ledger's view keeps of the record, and how events change it. Pure: tables in, tables out.
//
// Invariants:
// - uses are kept under organisation and books_ref, never under a member: once the member's data key is destroyed,
//   nothing says whose they were;
// - every use is forgotten when it is as old as its stream's events may get, by its own time on the log's clock;
// - a use without a books_ref (a palm that nobody knew) is not kept;
// - applying an event again changes nothing.
import { isPaymentEnd, type LogEvent, type ViewTable, type ViewTables } from "../records/index.js";
import { bus, decode, encode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import { BOOKS_REF_BYTES } from "../wire/limits.js";

export const TABLES = {
  /** organisation / books_ref hex / time / kind and sequence -> HistoryEntry */
  history: "history",
  /** kind / time / sequence -> key in `history`: what is forgotten when */
  byAge: "by-age",
  /** organisation / presentation hex -> PaymentEvent, while the payment is not at its end */
  openPayments: "open-payments",
} as const;

/** Of a use: d decision, g passage (both of stream DECISIONS), p payment. */
type Kind = "d" | "g" | "p";

const TIME_DIGITS = 14;
const SEQUENCE_DIGITS = 16;
const digits = (value: number, count: number) => String(value).padStart(count, "0");

/** What a cursor looks like: the part of a history key after organisation and books_ref. */
export const CURSOR_PATTERN = /^\d{14}\/[dgp]\d{16}$/;

export const historyOf = (organisation: string, booksRef: Uint8Array) =>
  `${organisation}/${toHex(booksRef)}/`;

export function applyDecision(
  { body, sequence }: LogEvent,
  tables: ViewTables,
): bus.DecisionEvent | undefined {
  const decision = decode(bus.DecisionEvent, body);
  if (decision === undefined) return undefined;
  const { organisation, booksRef, atUnixMs } = decision;
  keep(tables, { kind: "d", organisation, booksRef, sequence, atUnixMs }, { decision });
  return decision;
}

export interface ReportedPassage {
  organisation: string;
  deviceId: string;
  presentationHex: string;
  /** Log's clock, when the report came. */
  atUnixMs: number;
}

/** passages.<organisation>.<site>.<device id>.<presentation id, hex> */
export function applyPassage(event: LogEvent, tables: ViewTables): ReportedPassage | undefined {
  const passage = decode(bus.PassageEvent, event.body);
  const [, organisation = "", , deviceId = "", presentationHex = ""] = event.subject.split(".");
  if (passage === undefined || presentationHex === "") return undefined;
  const { booksRef, atUnixMs } = passage;
  keep(tables, { kind: "g", organisation, booksRef, sequence: event.sequence, atUnixMs }, { passage });
  return { organisation, deviceId, presentationHex, atUnixMs };
}

export function applyPayment({ body, sequence }: LogEvent, tables: ViewTables): bus.PaymentEvent | undefined {
  const payment = decode(bus.PaymentEvent, body);
  if (payment === undefined) return undefined;
  const { organisation, booksRef, atUnixMs, presentationId, step } = payment;
  keep(tables, { kind: "p", organisation, booksRef, sequence, atUnixMs }, { payment });
  const open = tables.table(TABLES.openPayments);
  const key = `${organisation}/${toHex(presentationId)}`;
  if (isPaymentEnd(step)) open.remove(key);
  else open.put(key, body);
  return payment;
}

interface Use {
  kind: Kind;
  organisation: string;
  booksRef: Uint8Array;
  sequence: number;
  atUnixMs: number;
}

function keep(
  tables: ViewTables,
  { kind, organisation, booksRef, sequence, atUnixMs }: Use,
  use: Pick<bus.IHistoryEntry, "decision" | "passage" | "payment">,
): void {
  if (booksRef.length !== BOOKS_REF_BYTES) return;
  const time = digits(atUnixMs, TIME_DIGITS);
  const key = `${historyOf(organisation, booksRef)}${time}/${kind}${digits(sequence, SEQUENCE_DIGITS)}`;
  tables.table(TABLES.history).put(key, encode(bus.HistoryEntry, { atUnixMs, ...use }));
  tables.table(TABLES.byAge).put(`${kind}/${time}/${sequence}`, Buffer.from(key, "utf8"));
}

/** How old uses may get. */
export interface HistoryAges {
  decisionsMs: number;
  paymentsMs: number;
}

const AGE_OF = { d: "decisionsMs", g: "decisionsMs", p: "paymentsMs" } as const satisfies Record<
  Kind,
  keyof HistoryAges
>;

/** Forgets uses that are too old, at most `limit`. @returns how many */
export function forgetOld(tables: ViewTables, ages: HistoryAges, nowUnixMs: number, limit: number): number {
  let forgotten = 0;
  const byAge = tables.table(TABLES.byAge);
  for (const kind of ["d", "g", "p"] as const) {
    const end = `${kind}/${digits(Math.max(0, nowUnixMs - ages[AGE_OF[kind]]), TIME_DIGITS)}`;
    const old = [...byAge.range({ start: `${kind}/`, end, limit: limit - forgotten })];
    for (const { key, value } of old) {
      tables.table(TABLES.history).remove(Buffer.from(value).toString("utf8"));
      byAge.remove(key);
    }
    forgotten += old.length;
  }
  return forgotten;
}

export interface HistoryPage {
  entries: bus.HistoryEntry[];
  /** Where the next page begins; "" on the last one. */
  before: string;
}

/** Latest first. What is too old is not told, be it forgotten already or not. */
export function readHistory(
  table: ViewTable,
  owner: { organisation: string; booksRef: Uint8Array },
  page: { limit: number; before: string },
  { ages, nowUnixMs }: { ages: HistoryAges; nowUnixMs: number },
): HistoryPage {
  const own = historyOf(owner.organisation, owner.booksRef);
  // '0' follows '/': after every key of this owner.
  const start = page.before === "" ? `${own.slice(0, -1)}0` : own + page.before;
  // One more than wanted tells whether there is another page; the cursor's own row is left out.
  const rows = [...table.range({ start, end: own, limit: page.limit + 2, reverse: true })].filter(
    ({ key }) => key !== start && !isOld(key.slice(own.length), ages, nowUnixMs),
  );
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  return {
    entries: shown.flatMap(({ value }) => decode(bus.HistoryEntry, value) ?? []),
    before: rows.length > page.limit && last !== undefined ? last.key.slice(own.length) : "",
  };
}

/** @param cursor time / kind and sequence */
function isOld(cursor: string, ages: HistoryAges, nowUnixMs: number): boolean {
  const kind = cursor[TIME_DIGITS + 1];
  const age = kind === "d" || kind === "g" || kind === "p" ? AGE_OF[kind] : "decisionsMs";
  return Number(cursor.slice(0, TIME_DIGITS)) < nowUnixMs - ages[age];
}
