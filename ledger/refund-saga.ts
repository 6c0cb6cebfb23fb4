// A refund: what a presentation took is given back, all of it.
//
//   OPEN  given back at the processor, REFUNDED in the payment's log  -> DONE, or REFUSED
//
// Invariants:
// - only what was taken is given back, once: the processor's key is the payment's, and REFUNDED is appended on top of
//   CAPTURED;
// - a processor that does not answer leaves the refund open and visible, and is asked again.
import {
  nextStep,
  type PaymentAt,
  type PaymentLog,
  type PaymentPlace,
  type PaymentProcessor,
  processorKey,
  type Saga,
  type Sagas,
} from "../records/index.js";
import { bus, decode } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import { PRESENTATION_ID_BYTES } from "../wire/limits.js";
import { type Attempted, later } from "./work-list.js";

const PROCESSOR_TIMEOUT_MS = 5000;

export interface RefundDeps {
  sagas: Pick<Sagas, "advance">;
  payments: PaymentLog;
  processorOf(name: string): PaymentProcessor | undefined;
  nowUnixMs(): number;
  /** A step of this kind has been acknowledged by the log. */
  onStep(event: bus.PaymentEvent): void;
}

type Code = "NOT_FOUND" | "CONFLICT" | "INTERNAL";
const { PaymentStep } = bus;

export async function refundStep(deps: RefundDeps, saga: Saga): Promise<Attempted> {
  const intent = decode(bus.RefundIntent, saga.intent);
  if (intent?.presentationId.length !== PRESENTATION_ID_BYTES)
    return end(deps, saga, "INTERNAL", "No payment is named.");
  const place = { organisation: saga.organisation, presentationHex: toHex(intent.presentationId) };
  const last = await deps.payments.last(place);
  if (!last.ok) return later("the log does not answer");
  if (last.at === undefined) return end(deps, saga, "NOT_FOUND", "There is no such payment.");
  const { step, amountMinor } = last.at.event;
  if (step === PaymentStep.REFUNDED) return end(deps, saga);
  if (step !== PaymentStep.CAPTURED) {
    const name = PaymentStep[step]?.toLowerCase() ?? "unknown";
    return end(deps, saga, "CONFLICT", `The payment is ${name}: only what was captured is given back.`);
  }
  if (intent.amountMinor !== amountMinor)
    return end(deps, saga, "CONFLICT", "A payment is given back whole, and this is not its amount.");
  return giveBack(deps, saga, place, last.at);
}

async function giveBack(
  deps: RefundDeps,
  saga: Saga,
  place: PaymentPlace,
  at: PaymentAt,
): Promise<Attempted> {
  const processor = deps.processorOf(at.event.processor);
  if (processor === undefined) return later(`no processor '${at.event.processor}' here`);
  const answer = await processor.refund(processorKey(place), AbortSignal.timeout(PROCESSOR_TIMEOUT_MS));
  if (!answer.ok && answer.code === "REFUSED") {
    return end(
      deps,
      saga,
      "CONFLICT",
      `The processor refuses: the payment is ${answer.state.toLowerCase()}.`,
    );
  }
  if (!answer.ok) return later("the processor does not answer");
  const event = nextStep(at.event, PaymentStep.REFUNDED, deps.nowUnixMs(), { why: "operator" });
  const appended = await deps.payments.append(place, event, at.sequence);
  if (!appended.ok)
    return appended.code === "CONFLICT" ? later("changed meanwhile", 0) : later("the log does not answer");
  deps.onStep(event);
  return end(deps, saga);
}

async function end({ sagas }: RefundDeps, saga: Saga, code?: Code, detail = ""): Promise<Attempted> {
  const next =
    code === undefined ? ({ step: "DONE" } as const) : ({ step: "REFUSED", code, detail } as const);
  const ended = await sagas.advance(saga, next);
  if (ended.ok) return { done: true };
  return ended.code === "CONFLICT"
    ? later("another ledger goes on with it", 0)
    : later("the log does not answer");
}
