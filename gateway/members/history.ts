// A member's history, page by page, as the member may read it: every use of the palm, every step of every payment.
import type { ViewTable } from "../../records/index.js";
import { bus, decode, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import { historyEnd, historyKindOf } from "./rows.js";

export interface DecisionUse {
  kind: "decision";
  atUnixMs: number;
  presentationId: string;
  site: string;
  deviceId: string;
  purpose: string;
  outcome: string;
  reason: string;
  granted: boolean;
}

export interface PaymentUse {
  kind: "payment";
  atUnixMs: number;
  presentationId: string;
  site: string;
  amountMinor: number;
  currency: string;
  orderRef: string;
  step: string;
}

export interface HistoryPage {
  /** Latest first. */
  uses: (DecisionUse | PaymentUse)[];
  /** Where the next page begins; not there on the last one. */
  before?: string;
}

/** What a cursor may look like: the part of a history key after the member. */
export const CURSOR_PATTERN = /^\d{14}\/[dp]\d{16}$/;

/** @param before a cursor: only uses older than it */
export function readHistory(
  table: ViewTable,
  memberHex: string,
  { limit, before }: { limit: number; before?: string },
): HistoryPage {
  const own = `${memberHex}/`;
  const start = before === undefined ? historyEnd(memberHex) : own + before;
  // One more than wanted tells whether there is another page; the cursor's own row is left out.
  const rows = [...table.range({ start, end: own, limit: limit + 2, reverse: true })].filter(
    ({ key }) => key !== start,
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    uses: page.flatMap(
      ({ key, value }) => (historyKindOf(key) === "decision" ? decisionUse(value) : paymentUse(value)) ?? [],
    ),
    ...(rows.length > limit && last ? { before: last.key.slice(own.length) } : {}),
  };
}

function decisionUse(bytes: Uint8Array): DecisionUse | undefined {
  const event = decode(bus.DecisionEvent, bytes);
  return (
    event && {
      kind: "decision",
      atUnixMs: event.atUnixMs,
      presentationId: toHex(event.presentationId),
      site: event.site,
      deviceId: event.deviceId,
      purpose: edge.Purpose[event.purpose] ?? "",
      outcome: edge.Outcome[event.outcome] ?? "",
      reason: edge.Reason[event.reason] ?? "",
      granted: event.granted,
    }
  );
}

function paymentUse(bytes: Uint8Array): PaymentUse | undefined {
  const event = decode(bus.PaymentEvent, bytes);
  return (
    event && {
      kind: "payment",
      atUnixMs: event.atUnixMs,
      presentationId: toHex(event.presentationId),
      site: event.site,
      amountMinor: event.amountMinor,
      currency: event.currency,
      orderRef: event.orderRef,
      step: bus.PaymentStep[event.step] ?? "",
    }
  );
}
