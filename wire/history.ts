// A member's uses, asked of the ledgers: whichever hears the question answers it.
//
// Invariant: askHistory() ends within its wait and a margin, and never rejects.
import type { NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "./codec.js";
import { HISTORY_SUBJECT } from "./subjects.js";

/** Entries of one page. */
export const MAX_HISTORY_ENTRIES = 200;
export const MAX_HISTORY_WAIT_MS = 5000;
const DEFAULT_HISTORY_WAIT_MS = 2000;
/** For the way there and back. */
const MARGIN_MS = 500;

export interface HistoryQuestion {
  organisation: string;
  /** 16 bytes */
  booksRef: Uint8Array;
  /** 1..MAX_HISTORY_ENTRIES */
  limit: number;
  /** `before` of the page before. */
  before?: string | undefined;
  /** Of streams DECISIONS and PAYMENTS: the answer holds all up to there. Left out: all that is there when it is asked. */
  decisionsSequence?: number;
  paymentsSequence?: number;
  /** How long a ledger may read on; at most MAX_HISTORY_WAIT_MS. */
  waitMs?: number;
}

export type HistoryAnswer =
  /** Latest first. `before`: where the next page begins; not there on the last one. */
  | { ok: true; entries: bus.HistoryEntry[]; before?: string }
  /** BEHIND: the ledger has not read that far. UNAVAILABLE: no ledger answered. INVALID: a question that is none. */
  | { ok: false; code: "BEHIND" | "UNAVAILABLE" | "INVALID" };

export async function askHistory(nc: NatsConnection, question: HistoryQuestion): Promise<HistoryAnswer> {
  const waitMs = Math.min(question.waitMs ?? DEFAULT_HISTORY_WAIT_MS, MAX_HISTORY_WAIT_MS);
  const request = encode(bus.HistoryRequest, { ...question, before: question.before ?? "", waitMs });
  const message = await nc
    .request(HISTORY_SUBJECT, request, { timeout: waitMs + MARGIN_MS })
    // No ledger is there, none answered in time, or the link is lost: for the asker it is one thing.
    .catch(() => undefined);
  const reply = message && decode(bus.HistoryReply, message.data);
  switch (reply?.status) {
    case bus.HistoryStatus.HISTORY_COMPLETE: {
      const { before } = reply;
      const entries = reply.entries.map((each) => bus.HistoryEntry.create(each));
      return { ok: true, entries, ...(before === "" ? {} : { before }) };
    }
    case bus.HistoryStatus.HISTORY_BEHIND:
      return { ok: false, code: "BEHIND" };
    case bus.HistoryStatus.HISTORY_INVALID:
      return { ok: false, code: "INVALID" };
    default:
      return { ok: false, code: "UNAVAILABLE" };
  }
}
