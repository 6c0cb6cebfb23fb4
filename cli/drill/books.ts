// What the record holds after a drill: read from the log, the sandbox's state and the desk, in one pass, when nothing is
// under way any more.
import type { NatsConnection } from "@nats-io/transport-node";
import { decodeMemberEvent, type EventLog, openEventLog, readSandbox } from "../../records/index.js";
import { bus, decode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Log } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { BEAT_SUBJECT, STREAMS } from "../../wire/subjects.js";
import type { OperatorApi } from "../operator-api.js";
import { rest } from "./crowd.js";
import type { Found, Operations } from "./verdict.js";

const ASK_AGAIN_MS = 250;

export interface BooksOptions {
  natsUrl: string;
  api: OperatorApi;
  done: Operations;
  log: Log;
  /** How long payments and erasures may take to come to their end. */
  calmDeadlineMs: number;
}

/** @throws Error when payments are open after the deadline: then no verdict can be given */
export async function readBooks({ natsUrl, api, done, log, calmDeadlineMs }: BooksOptions): Promise<Found> {
  const nats = await connectNats({ url: natsUrl, name: "palmgate-drill", log });
  try {
    const eventLog = await openEventLog(nats);
    const payments = await settledPayments(eventLog, calmDeadlineMs);
    const takes = await takesIn(nats);
    const living = await livingIn(eventLog);
    return {
      members: await membersOf(api, done),
      living,
      grants: await grantsIn(eventLog, log),
      payments,
      takes,
    };
  } finally {
    await nats.close();
  }
}

/** By presentation: a drill has one organisation. */
async function takesIn(nats: NatsConnection): Promise<Map<string, number>> {
  const rows = await readSandbox(nats);
  return new Map(rows.map(({ key, takes }) => [key.slice(key.lastIndexOf(".") + 1), takes]));
}

const { PaymentStep } = bus;
const OPEN = new Set([PaymentStep.REQUESTED, PaymentStep.AUTHORISED, PaymentStep.UNKNOWN]);

async function settledPayments(eventLog: EventLog, deadlineMs: number): Promise<Found["payments"]> {
  const endsAt = Date.now() + deadlineMs;
  for (;;) {
    const payments = await paymentsIn(eventLog);
    const open = [...payments.values()].filter((each) => each.open).length;
    if (open === 0) return payments;
    if (Date.now() > endsAt) throw new Error(`${open} payments were not at their end after ${deadlineMs} ms`);
    await rest(ASK_AGAIN_MS);
  }
}

async function paymentsIn(
  eventLog: EventLog,
): Promise<Map<string, { orderRef: string; captured: boolean; open: boolean }>> {
  const payments = new Map<string, { orderRef: string; captured: boolean; open: boolean }>();
  for (const { body } of await eventLog.lastPerSubject(STREAMS.payments, "payments.>")) {
    const event = decode(bus.PaymentEvent, body);
    if (event === undefined) continue;
    const { orderRef, step } = event;
    payments.set(toHex(event.presentationId), {
      orderRef,
      captured: step === PaymentStep.CAPTURED,
      open: OPEN.has(step),
    });
  }
  return payments;
}

async function livingIn(eventLog: EventLog): Promise<number> {
  const last = await eventLog.lastPerSubject(STREAMS.members, "members.>");
  return last.filter(({ subject, body }) => subject !== BEAT_SUBJECT && !decodeMemberEvent(body)?.erased)
    .length;
}

async function grantsIn(eventLog: EventLog, log: Log): Promise<Map<string, number>> {
  /** By presentation, the times of the grants that stand. */
  const standing = new Map<string, Set<number>>();
  const follower = eventLog.follow({
    stream: STREAMS.decisions,
    filters: ["decisions.>"],
    afterSequence: 0,
    log,
    onBatch: (events) => {
      for (const { body } of events) {
        const event = decode(bus.DecisionEvent, body);
        if (event === undefined) continue;
        const presentation = toHex(event.presentationId);
        // A refusal on top takes a grant back; the same grant answered again has the time of the first.
        const times = event.granted
          ? (standing.get(presentation) ?? new Set()).add(event.atUnixMs)
          : new Set<number>();
        standing.set(presentation, times);
      }
    },
  });
  try {
    await follower.caughtUp();
    return new Map(
      [...standing].flatMap(([presentation, { size }]) => (size > 0 ? [[presentation, size]] : [])),
    );
  } finally {
    await follower.stop();
  }
}

async function membersOf(api: OperatorApi, { living, erased }: Operations): Promise<Set<string>> {
  const members = new Set<string>();
  for (const { memberId } of [...living, ...erased]) {
    const answer = await api.get(`/api/v1/members/${memberId}`);
    if (answer.ok) members.add(memberId);
    else if (answer.status !== 404 && answer.status !== 410) {
      throw new Error(`the desk does not say whether ${memberId} is a member: ${answer.code}`);
    }
  }
  return members;
}
