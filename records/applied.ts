// Asks the workers that hold a partition whether their views have durably applied the log up to a sequence.
//
// Invariants:
// - it ends within waitMs;
// - a worker counts once; only APPLIED counts as applied;
// - one worker that says STORE_FULL or STILL_PRESENT decides the answer: the caller must act on it;
// - a partition without a holder is asked again until the time is up: a worker may be starting.
import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../wire/codec.js";
import { appliedSubject } from "../wire/subjects.js";

/** How long the ask is repeated after nobody was there. */
const NO_HOLDER_RETRY_MS = 100;
/** Workers answer this much before our own time is up, so that their NOT_YET still arrives. */
const ANSWER_MARGIN_MS = 50;
const NO_RESPONDERS = 503;

export interface AppliedQuestion {
  gallery: string;
  partition: number;
  /** Of stream MEMBERS. */
  sequence: number;
  waitMs: number;
  /** How many different workers must have applied it; "first": one. */
  holders: "first" | number;
  /** The workers also confirm that no template of this member is left in their index. */
  erasedMemberId?: Uint8Array | undefined;
}

export type AppliedAnswer =
  /** Ids of the workers that have applied it, in the order of their answers. */
  | { ok: true; workers: string[] }
  | { ok: false; code: "NOT_YET_DURABLE" | "STORE_FULL" | "STILL_PRESENT" | "NO_HOLDER"; workers: string[] };

export function askApplied(nc: NatsConnection, question: AppliedQuestion): Promise<AppliedAnswer> {
  return new Promise((resolve) => {
    const { gallery, partition, sequence, waitMs, erasedMemberId } = question;
    const wanted = question.holders === "first" ? 1 : question.holders;
    const subject = appliedSubject(gallery, partition);
    const endsAtMs = performance.now() + waitMs;
    const applied = new Set<string>();
    const notYet = new Set<string>();
    let retry: NodeJS.Timeout | undefined;

    const settle = (answer: AppliedAnswer) => {
      clearTimeout(retry);
      clearTimeout(timer);
      inbox.unsubscribe();
      resolve(answer);
    };
    const refuse = (code: Extract<AppliedAnswer, { ok: false }>["code"]) =>
      settle({ ok: false, code, workers: [...applied] });
    const ask = () => {
      if (nc.isClosed()) return refuse("NO_HOLDER");
      const leftMs = Math.max(0, Math.floor(endsAtMs - performance.now() - ANSWER_MARGIN_MS));
      const request = { streamSequence: sequence, waitMs: leftMs, erasedMemberId: erasedMemberId ?? null };
      nc.publish(subject, encode(bus.AppliedRequest, request), { reply: inbox.getSubject() });
    };
    const onMessage = (message: Msg) => {
      if (message.headers?.code === NO_RESPONDERS) {
        retry = setTimeout(ask, NO_HOLDER_RETRY_MS);
        return;
      }
      const reply = decode(bus.AppliedReply, message.data);
      if (reply === undefined || reply.workerId === "") return;
      if (reply.status === bus.AppliedStatus.STORE_FULL) return refuse("STORE_FULL");
      if (reply.status === bus.AppliedStatus.STILL_PRESENT) return refuse("STILL_PRESENT");
      (reply.status === bus.AppliedStatus.APPLIED ? applied : notYet).add(reply.workerId);
      if (applied.size >= wanted) return settle({ ok: true, workers: [...applied] });
      // All have spoken, and not enough of them have it.
      if (question.holders !== "first" && applied.size + notYet.size >= wanted) refuse("NOT_YET_DURABLE");
    };
    const inbox = nc.subscribe(createInbox(), {
      callback: (error, message) => {
        if (error === null) onMessage(message);
      },
    });
    const timer = setTimeout(
      () => refuse(applied.size + notYet.size === 0 && retry !== undefined ? "NO_HOLDER" : "NOT_YET_DURABLE"),
      waitMs,
    );
    ask();
  });
}
