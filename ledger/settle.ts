// Brings one payment as far as it goes now: what settle-rule.ts says, done at the processor and written in the log.
//
// Invariants:
// - before a hold is let go, UNKNOWN stands in the log as the payment's last step: from then on no gateway can answer
//   "granted" for it, because AUTHORISED can no longer be appended on what it has read;
// - never an authorisation: only queries, captures, voids and refunds, all idempotent by the payment's key;
// - every step is appended on top of the one that its author had seen: two ledgers at once, or one that wakes up late,
//   write each step once;
// - a passage is looked for before each hold is let go, so that one that came meanwhile is still paid for.
import {
  type EventLog,
  LogUnavailableError,
  nextStep,
  type PaymentAt,
  type PaymentLog,
  type PaymentPlace,
  type PaymentProcessor,
  processorKey,
  type QueryAnswer,
} from "../records/index.js";
import { bus, decode } from "../wire/codec.js";
import { decisionSubject, passageSubject, STREAMS } from "../wire/subjects.js";
import {
  type LaneDecision,
  type NextAction,
  nextAction,
  type PassageReport,
  passageReport,
  type SiteRule,
  type Why,
} from "./settle-rule.js";
import { type Attempted, later } from "./work-list.js";

const PROCESSOR_TIMEOUT_MS = 5000;
/** More steps than any payment takes from one situation to its end. */
const MAX_STEPS = 8;

const { PaymentStep } = bus;

export interface SettleDeps {
  eventLog: Pick<EventLog, "last">;
  payments: PaymentLog;
  processorOf(name: string): PaymentProcessor | undefined;
  ruleOf(organisation: string, site: string): SiteRule;
  /** Since the step, whatever the clocks say. */
  ageMs(presentation: PaymentPlace, at: PaymentAt): number;
  nowUnixMs(): number;
  /** A step of this kind has been acknowledged by the log. */
  onStep(event: bus.PaymentEvent): void;
}

type Done = { ok: true; at: PaymentAt } | { ok: false; later: Attempted };

export async function settle(deps: SettleDeps, place: PaymentPlace): Promise<Attempted> {
  try {
    return await settleByRule(deps, place);
  } catch (error) {
    if (error instanceof LogUnavailableError) return later("the log does not answer");
    throw error;
  }
}

async function settleByRule(deps: SettleDeps, place: PaymentPlace): Promise<Attempted> {
  const last = await deps.payments.last(place);
  if (!last.ok) return later("the log does not answer");
  let at = last.at;
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    if (at === undefined) return { done: true }; // REQUESTED never reached the log: nobody was asked for money
    const action = await actionFor(deps, place, at);
    if (action.do === "NOTHING") {
      return action.waitMs === undefined ? { done: true } : later("is not due yet", action.waitMs);
    }
    const done = await act(deps, place, at, action);
    if (!done.ok) return done.later;
    at = done.at;
  }
  return later("its steps do not end");
}

async function actionFor(deps: SettleDeps, place: PaymentPlace, at: PaymentAt): Promise<NextAction> {
  const { step, why, site } = at.event;
  const passage = await readPassage(deps, place, at.event);
  const isUndecided = step === PaymentStep.AUTHORISED && passage === "NONE";
  return nextAction({
    step,
    why,
    passage,
    decision: isUndecided ? await readDecision(deps, place, at.event) : "NONE",
    ageMs: deps.ageMs(place, at),
    rule: deps.ruleOf(place.organisation, site),
  });
}

async function readPassage(
  { eventLog }: SettleDeps,
  { organisation, presentationHex }: PaymentPlace,
  { site, deviceId }: bus.PaymentEvent,
): Promise<PassageReport> {
  const subject = passageSubject(organisation, site, deviceId, presentationHex);
  const found = await eventLog.last(STREAMS.decisions, subject);
  return passageReport(found && decode(bus.PassageEvent, found.body)?.passage);
}

async function readDecision(
  { eventLog }: SettleDeps,
  { organisation, presentationHex }: PaymentPlace,
  { site, deviceId }: bus.PaymentEvent,
): Promise<LaneDecision> {
  const subject = decisionSubject(organisation, site, deviceId, presentationHex);
  // The last one counts: a grant that could not be answered in time has a refusal on top of it.
  const last = await eventLog.last(STREAMS.decisions, subject);
  if (last === undefined) return "NONE";
  return decode(bus.DecisionEvent, last.body)?.granted ? "GRANTED" : "REFUSED";
}

async function act(
  deps: SettleDeps,
  place: PaymentPlace,
  at: PaymentAt,
  action: Exclude<NextAction, { do: "NOTHING" }>,
): Promise<Done> {
  const { event } = at;
  const processor = deps.processorOf(event.processor);
  if (processor === undefined) return { ok: false, later: later(`no processor '${event.processor}' here`) };
  switch (action.do) {
    case "CAPTURE":
      return capture(deps, place, at, action.why, processor);
    case "LET_GO":
      // The fence; what happens to the money is RESOLVE's.
      return record(deps, place, at, PaymentStep.UNKNOWN, { why: action.why });
    case "RESOLVE":
      return resolve(deps, place, at, processor);
    case "GIVE_BACK": {
      const answer = await processor.refund(processorKey(place), timeout());
      if (!answer.ok) return { ok: false, later: refusal("refund", answer) };
      return record(deps, place, at, PaymentStep.REFUNDED, { why: action.why });
    }
    case "NOTE_LOSS":
      return record(deps, place, at, PaymentStep.VOIDED, { why: "served" });
  }
}

async function capture(
  deps: SettleDeps,
  place: PaymentPlace,
  at: PaymentAt,
  why: Why,
  processor: PaymentProcessor,
): Promise<Done> {
  const answer = await processor.capture(processorKey(place), timeout());
  if (!answer.ok) return { ok: false, later: refusal("capture", answer) };
  return record(deps, place, at, PaymentStep.CAPTURED, { why });
}

async function resolve(
  deps: SettleDeps,
  place: PaymentPlace,
  at: PaymentAt,
  processor: PaymentProcessor,
): Promise<Done> {
  const answer = await processor.query(processorKey(place), timeout());
  if (!answer.ok) return { ok: false, later: later("the processor does not answer a query") };
  const passage = await readPassage(deps, place, at.event);
  // UNKNOWN of a gateway says no reason: the issuer did not answer it in time.
  const why = at.event.why === "" ? "given_up" : at.event.why;
  switch (answer.state) {
    case "CAPTURED":
      // Taken by a ledger that had not seen the fence. Whether it must be given back, the rule says next.
      return record(deps, place, at, PaymentStep.CAPTURED, {
        ...refOf(answer),
        why: passage === "SERVED" ? "passage" : "unreported",
      });
    case "DECLINED":
      return record(deps, place, at, PaymentStep.DECLINED, refOf(answer));
    case "VOIDED":
      return record(deps, place, at, PaymentStep.VOIDED, { ...refOf(answer), why });
    case "REFUNDED":
      return record(deps, place, at, PaymentStep.REFUNDED, { ...refOf(answer), why });
    case "PENDING":
    case "AUTHORISED":
      if (passage === "SERVED") return capture(deps, place, at, "passage", processor);
      return letGo(deps, place, at, why, processor);
    case "NOT_FOUND":
      // Barred, should the request still be on its way.
      return letGo(deps, place, at, why, processor);
  }
}

async function letGo(
  deps: SettleDeps,
  place: PaymentPlace,
  at: PaymentAt,
  why: string,
  processor: PaymentProcessor,
): Promise<Done> {
  const answer = await processor.void(processorKey(place), timeout());
  if (!answer.ok) return { ok: false, later: refusal("void", answer) };
  return record(deps, place, at, PaymentStep.VOIDED, { why });
}

async function record(
  deps: SettleDeps,
  place: PaymentPlace,
  at: PaymentAt,
  step: bus.PaymentStep,
  changed: Partial<Pick<bus.PaymentEvent, "processorRef" | "declineCode" | "why">>,
): Promise<Done> {
  const event = nextStep(at.event, step, deps.nowUnixMs(), changed);
  const appended = await deps.payments.append(place, event, at.sequence);
  if (!appended.ok) return { ok: false, later: NOT_APPENDED[appended.code] };
  deps.onStep(event);
  return { ok: true, at: { sequence: appended.sequence, event } };
}

const NOT_APPENDED = {
  CONFLICT: later("changed meanwhile", 0),
  STORE_FULL: later("the log's disk is full"),
  LOG_UNAVAILABLE: later("the log does not answer"),
} as const;

const refusal = (what: string, answer: { code: string; state?: string }): Attempted =>
  later(
    answer.code === "REFUSED"
      ? `the processor refuses the ${what}: the payment is ${answer.state}`
      : `the processor does not answer the ${what}`,
  );

const refOf = (answer: Extract<QueryAnswer, { ref: string }>) => ({
  processorRef: answer.ref,
  ...(answer.declineCode ? { declineCode: answer.declineCode } : {}),
});

const timeout = () => AbortSignal.timeout(PROCESSOR_TIMEOUT_MS);
