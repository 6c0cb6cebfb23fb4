// The half of a payment that nobody waits for: it brings every payment to its end. Captured when the lane was granted,
// let go when it was not, whatever crashed in between.
//
// Invariants:
// - capture only after the record says that the lane was granted (a granted DecisionEvent of this presentation);
// - before a hold is let go, UNKNOWN stands in the log as the payment's last step: from then on nobody can answer
//   "granted" for it, because AUTHORISED can no longer be appended;
// - never a second authorisation: settling only queries, captures and voids;
// - every move is idempotent at the processor and optimistic in the log, so that doing it twice, or two gateways
//   doing it at once, changes nothing.
import { bus } from "../../wire/codec.js";
import { nextStep, type PaymentAt, type PaymentLog } from "./payment-log.js";
import type { PaymentProcessor, QueryAnswer } from "./processor.js";

/** A payment that was REQUESTED or AUTHORISED this long ago without a granted decision on record is given up. */
export const GIVE_UP_AFTER_MS = 30_000;
const PROCESSOR_TIMEOUT_MS = 5000;

const { PaymentStep } = bus;

export type NextAction = "NOTHING" | "CAPTURE" | "GIVE_UP" | "RESOLVE";

/**
 * What a payment needs now. Pure.
 * @param step the last step in the log
 * @param ageMs since that step
 * @param laneGranted whether a granted decision of this presentation is on record
 */
export function nextAction(step: bus.PaymentStep, ageMs: number, laneGranted: boolean): NextAction {
  switch (step) {
    case PaymentStep.AUTHORISED:
      if (laneGranted) return "CAPTURE";
      return ageMs >= GIVE_UP_AFTER_MS ? "GIVE_UP" : "NOTHING";
    case PaymentStep.REQUESTED:
      return ageMs >= GIVE_UP_AFTER_MS ? "GIVE_UP" : "NOTHING";
    case PaymentStep.UNKNOWN:
      return "RESOLVE";
    default:
      return "NOTHING";
  }
}

export interface SettleDeps {
  log: PaymentLog;
  processor: PaymentProcessor;
  /** Whether the record holds a granted decision of this presentation. */
  wasGranted(presentationHex: string): boolean;
  /** False while decisions in the log are still unread here: "not granted" then means nothing. */
  grantsKnown(): boolean;
  /**
   * When this very process refused the lane: steps up to then need not wait for a granted decision to come on record.
   * A later step is that of a presentation that was repeated.
   */
  refusedAtUnixMs(presentationHex: string): number | undefined;
  onStep(step: bus.PaymentStep): void;
}

/** SETTLED: at its end. LATER: somebody must come again. */
export type Settled = "SETTLED" | "LATER";

/** Brings one payment as far as it goes now. */
export async function settle(
  deps: SettleDeps,
  presentationHex: string,
  nowUnixMs = Date.now(),
): Promise<Settled> {
  const last = await deps.log.last(presentationHex);
  if (!last.ok) return "LATER";
  if (!last.at) return "SETTLED"; // REQUESTED never reached the log: the processor was never asked
  const { event } = last.at;
  if (isEnd(event.step)) return "SETTLED";
  const granted = deps.wasGranted(presentationHex);
  // Asked after the read: a presentation that is repeated meanwhile takes its refusal back before it writes a step.
  const refusedHere = event.atUnixMs <= (deps.refusedAtUnixMs(presentationHex) ?? 0);
  const ageMs = refusedHere ? GIVE_UP_AFTER_MS : nowUnixMs - event.atUnixMs;
  switch (nextAction(event.step, ageMs, granted)) {
    case "CAPTURE":
      return capture(deps, presentationHex, last.at);
    case "GIVE_UP": {
      if (!deps.grantsKnown() && !refusedHere) return "LATER";
      const at = await record(deps, presentationHex, last.at, nextStep(event, PaymentStep.UNKNOWN));
      return at ? resolve(deps, presentationHex, at) : "LATER";
    }
    case "RESOLVE":
      return resolve(deps, presentationHex, last.at);
    case "NOTHING":
      return "LATER";
  }
}

async function capture(deps: SettleDeps, presentationHex: string, at: PaymentAt): Promise<Settled> {
  const answer = await deps.processor.capture(presentationHex, timeout());
  if (!answer.ok) return "LATER";
  return end(deps, presentationHex, at, nextStep(at.event, PaymentStep.CAPTURED));
}

/** UNKNOWN: asks the processor what became of it, and ends it. */
async function resolve(deps: SettleDeps, presentationHex: string, at: PaymentAt): Promise<Settled> {
  const answer = await deps.processor.query(presentationHex, timeout());
  if (!answer.ok) return "LATER";
  const { event } = at;
  switch (answer.state) {
    case "CAPTURED":
      // Only a payment whose lane was granted is ever captured: another gateway saw the decision before we did.
      return end(deps, presentationHex, at, nextStep(event, PaymentStep.CAPTURED, refOf(answer)));
    case "DECLINED":
      return end(deps, presentationHex, at, nextStep(event, PaymentStep.DECLINED, refOf(answer)));
    case "VOIDED":
      return end(deps, presentationHex, at, nextStep(event, PaymentStep.VOIDED, refOf(answer)));
    case "REFUNDED":
      return end(deps, presentationHex, at, nextStep(event, PaymentStep.REFUNDED, refOf(answer)));
    case "PENDING":
    case "AUTHORISED":
      if (deps.wasGranted(presentationHex)) {
        return answer.state === "AUTHORISED" ? capture(deps, presentationHex, at) : "LATER";
      }
      return letGo(deps, presentationHex, at);
    case "NOT_FOUND":
      return letGo(deps, presentationHex, at);
  }
}

/** Voids the hold; a key that the processor never saw is barred, should the request still be on its way. */
async function letGo(deps: SettleDeps, presentationHex: string, at: PaymentAt): Promise<Settled> {
  const answer = await deps.processor.void(presentationHex, timeout());
  if (!answer.ok) return "LATER";
  return end(deps, presentationHex, at, nextStep(at.event, PaymentStep.VOIDED));
}

async function end(
  deps: SettleDeps,
  presentationHex: string,
  at: PaymentAt,
  event: bus.PaymentEvent,
): Promise<Settled> {
  return (await record(deps, presentationHex, at, event)) ? "SETTLED" : "LATER";
}

async function record(
  deps: SettleDeps,
  presentationHex: string,
  at: PaymentAt,
  event: bus.PaymentEvent,
): Promise<PaymentAt | undefined> {
  const appended = await deps.log.append(presentationHex, event, at.sequence);
  if (!appended.ok) return undefined;
  deps.onStep(event.step);
  return { sequence: appended.sequence, event };
}

const refOf = (answer: Extract<QueryAnswer, { ref: string }>) => ({
  processorRef: answer.ref,
  ...(answer.declineCode ? { declineCode: answer.declineCode } : {}),
});

export const isEnd = (step: bus.PaymentStep): boolean =>
  step === PaymentStep.CAPTURED ||
  step === PaymentStep.DECLINED ||
  step === PaymentStep.VOIDED ||
  step === PaymentStep.REFUNDED;

const timeout = () => AbortSignal.timeout(PROCESSOR_TIMEOUT_MS);
