// Answers what a member's palm was used for (wire/history.ts asks). Any ledger does, leader or not.
//
// Invariant: an answer that is COMPLETE holds everything that was on record when it was asked for, or up to the
// sequences that the asker names; a ledger that cannot read that far in time says BEHIND.
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../wire/codec.js";
import { MAX_HISTORY_ENTRIES, MAX_HISTORY_WAIT_MS } from "../wire/history.js";
import { BOOKS_REF_BYTES } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { HISTORY_SUBJECT, LEDGER_QUEUE } from "../wire/subjects.js";
import type { Books } from "./books.js";
import { CURSOR_PATTERN } from "./rows.js";

const { HistoryStatus } = bus;

/** @returns the function that ends it, once what was asked already is answered */
export function serveHistory(nc: NatsConnection, books: Pick<Books, "read">, log: Log): () => Promise<void> {
  const answering = new Set<Promise<void>>();
  const subscription = nc.subscribe(HISTORY_SUBJECT, {
    queue: LEDGER_QUEUE,
    callback: (error, message) => {
      if (error !== null) return;
      const answered = answer(books, message)
        .catch((failure: unknown) => {
          log.error({ error: String(failure) }, "a question for history failed");
        })
        .finally(() => answering.delete(answered));
      answering.add(answered);
    },
  });
  return async () => {
    if (!subscription.isClosed() && !nc.isClosed()) await subscription.drain();
    await Promise.all(answering);
  };
}

async function answer(books: Pick<Books, "read">, message: Msg): Promise<void> {
  message.respond(encode(bus.HistoryReply, await replyTo(books, decode(bus.HistoryRequest, message.data))));
}

async function replyTo(
  books: Pick<Books, "read">,
  request: bus.HistoryRequest | undefined,
): Promise<bus.IHistoryReply> {
  if (request === undefined || !isValid(request)) return { status: HistoryStatus.HISTORY_INVALID };
  const { organisation, booksRef, limit, before, decisionsSequence, paymentsSequence, waitMs } = request;
  const wanted = { decisions: decisionsSequence, payments: paymentsSequence };
  const read = await books
    .read({ organisation, booksRef }, { limit, before }, wanted, Math.min(waitMs, MAX_HISTORY_WAIT_MS))
    // The log does not answer: what the end is nobody knows.
    .catch(() => ({ ok: false, reached: { decisions: 0, payments: 0 } }) as const);
  const reached = { decisionsSequence: read.reached.decisions, paymentsSequence: read.reached.payments };
  return read.ok
    ? { status: HistoryStatus.HISTORY_COMPLETE, ...read.page, ...reached }
    : { status: HistoryStatus.HISTORY_BEHIND, ...reached };
}

const isValid = ({ booksRef, limit, before }: bus.HistoryRequest): boolean =>
  booksRef.length === BOOKS_REF_BYTES &&
  limit >= 1 &&
  limit <= MAX_HISTORY_ENTRIES &&
  (before === "" || CURSOR_PATTERN.test(before));
