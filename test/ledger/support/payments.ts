// Payments as a gateway and a lane leave them in the record, and a processor that does as it is told.
import { randomBytes } from "node:crypto";
import {
  type EventLog,
  type MoveAnswer,
  openPaymentLog,
  type PaymentProcessor,
  type ProcessorState,
} from "../../../records/index.js";
import { bus, decode, edge, encode } from "../../../wire/codec.js";
import { toHex } from "../../../wire/hex.js";
import { decisionSubject, passageSubject, paymentSubject } from "../../../wire/subjects.js";
import { ORGANISATION, SITE, TILL } from "./rig.js";

export interface Order {
  presentationId: Uint8Array;
  presentationHex: string;
  booksRef: Uint8Array;
  organisation: string;
  site: string;
  deviceId: string;
}

export function order(changed: Partial<Order> = {}): Order {
  const presentationId = Uint8Array.from(randomBytes(16));
  return {
    presentationId,
    presentationHex: toHex(presentationId),
    booksRef: Uint8Array.from(randomBytes(16)),
    organisation: ORGANISATION,
    site: SITE,
    deviceId: TILL,
    ...changed,
  };
}

const { PaymentStep } = bus;

/** Appends the payment's next step as a gateway does. */
export async function writeStep(
  eventLog: EventLog,
  of: Order,
  step: bus.PaymentStep,
  atUnixMs = Date.now(),
  processor = "scripted",
): Promise<void> {
  const payments = openPaymentLog(eventLog);
  const last = await payments.last(of);
  const { presentationId, booksRef, organisation, site, deviceId } = of;
  const event = bus.PaymentEvent.create({
    ...{ atUnixMs, presentationId, booksRef, organisation, site, deviceId, step, processor },
    ...{ amountMinor: 450, currency: "EUR", orderRef: "o-1", processorRef: "r" },
  });
  const appended = await payments.append(of, event, last.ok ? (last.at?.sequence ?? 0) : 0);
  if (!appended.ok) throw new Error(`no step: ${appended.code}`);
}

/** REQUESTED and AUTHORISED, and the lane's decision. */
export async function authorised(
  eventLog: EventLog,
  of: Order,
  { granted, atUnixMs = Date.now() }: { granted: boolean | undefined; atUnixMs?: number },
): Promise<void> {
  await writeStep(eventLog, of, PaymentStep.REQUESTED, atUnixMs);
  await writeStep(eventLog, of, PaymentStep.AUTHORISED, atUnixMs);
  if (granted === undefined) return;
  const { organisation, site, deviceId, presentationHex, presentationId, booksRef } = of;
  const decision = { atUnixMs, presentationId, organisation, site, deviceId, booksRef, granted };
  await store(eventLog, decisionSubject(organisation, site, deviceId, presentationHex), {
    body: encode(bus.DecisionEvent, { ...decision, purpose: edge.Purpose.PAY }),
  });
}

export async function reported(
  eventLog: EventLog,
  of: Order,
  passage: keyof typeof edge.Passage,
  atUnixMs = Date.now(),
): Promise<void> {
  const { organisation, site, deviceId, presentationHex, presentationId, booksRef } = of;
  const event = { atUnixMs, presentationId, booksRef, passage: edge.Passage[passage] };
  await store(eventLog, passageSubject(organisation, site, deviceId, presentationHex), {
    body: encode(bus.PassageEvent, event),
  });
}

async function store(eventLog: EventLog, subject: string, { body }: { body: Uint8Array }): Promise<void> {
  const appended = await eventLog.append(subject, body, { expectedSubjectSequence: 0 });
  if (!appended.ok) throw new Error(`not stored: ${appended.code}`);
}

/** What the log says became of it: "STEP why", oldest first. */
export async function stepsOf(eventLog: EventLog, of: Order): Promise<string[]> {
  const events = await eventLog.all("PAYMENTS", paymentSubject(of.organisation, of.presentationHex));
  return events.map(({ body }) => {
    const event = decode(bus.PaymentEvent, body);
    return `${PaymentStep[event?.step ?? 0]} ${event?.why ?? ""}`.trim();
  });
}

export const lastStepOf = async (eventLog: EventLog, of: Order) => (await stepsOf(eventLog, of)).at(-1);

export interface ScriptedProcessor extends PaymentProcessor {
  states: Map<string, ProcessorState>;
  /** How often money was taken, let go and given back. */
  moves: string[];
  /** What it does with a key besides its work: silent answers nothing until its caller gives up. */
  mood(key: string, what: "capture" | "void" | "refund" | "query"): "works" | "refuses" | "silent";
}

/** Holds what it has not been told of otherwise. */
export function scriptedProcessor(): ScriptedProcessor {
  const silence = (signal: AbortSignal) =>
    new Promise<{ ok: false; code: "NO_ANSWER" }>((resolve) =>
      signal.addEventListener("abort", () => resolve({ ok: false, code: "NO_ANSWER" })),
    );
  const stateOf = (key: string) => processor.states.get(key) ?? "AUTHORISED";
  const move = (
    what: "capture" | "void" | "refund",
    from: ProcessorState,
    to: ProcessorState,
  ): ((key: string, signal: AbortSignal) => Promise<MoveAnswer>) => {
    return async (key, signal) => {
      const mood = processor.mood(key, what);
      if (mood === "silent") return silence(signal);
      const state = stateOf(key);
      if (state === to) return { ok: true };
      if (mood === "refuses" || state !== from) return { ok: false, code: "REFUSED", state };
      processor.states.set(key, to);
      processor.moves.push(`${what} ${key}`);
      return { ok: true };
    };
  };
  const processor: ScriptedProcessor = {
    name: "scripted",
    states: new Map(),
    moves: [],
    mood: () => "works",
    authorise: async () => ({ ok: true, ref: "r" }),
    capture: move("capture", "AUTHORISED", "CAPTURED"),
    void: move("void", "AUTHORISED", "VOIDED"),
    refund: move("refund", "CAPTURED", "REFUNDED"),
    query: async (key, signal) =>
      processor.mood(key, "query") === "silent"
        ? silence(signal)
        : { ok: true, state: stateOf(key), ref: "r" },
    close: async () => {},
  };
  return processor;
}
