// What the record holds after a drill: read from the log, the sandbox's state and the desk, in one pass, when nothing is
// under way any more.
import type { NatsConnection } from "@nats-io/transport-node";
import { type EventLog, openEventLog, readSandbox } from "../../records/index.js";
import { bus, decode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Log } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { STREAMS } from "../../wire/subjects.js";
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
    return { members: await membersOf(api, done), grants: await grantsIn(eventLog, log), payments, takes };
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

async function grantsIn(eventLog: EventLog, log: Log): Promise<Map<string, number>> {
  const grants = new Map<string, number>();
  const follower = eventLog.follow({
    stream: STREAMS.decisions,
    filters: ["decisions.>"],
    afterSequence: 0,
    log,
    onBatch: (events) => {
      for (const { body } of events) {
        const event = decode(bus.DecisionEvent, body);
        if (!event?.granted) continue;
        const presentation = toHex(event.presentationId);
        grants.set(presentation, (grants.get(presentation) ?? 0) + 1);
      }
    },
  });
  try {
    await follower.caughtUp();
    return grants;
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
