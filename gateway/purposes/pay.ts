// PAY: the lane's charge is held on the instrument of a member who consented to pay by palm. Held, and nothing more:
// what becomes of it (captured when the goods have passed, let go when not) is the ledger's.
//
// Invariants:
// - the processor is asked to authorise only by the one who put REQUESTED into the log, and once: a repeated
//   presentation gets the recorded answer, never a second authorisation;
// - granted is answered only when the log has acknowledged AUTHORISED (or CAPTURED) as the payment's last step,
//   inside the deadline; in any doubt the lane is refused, and the ledger finds out;
// - a repeated presentation that is granted renews AUTHORISED in the log first, so that nobody voids it meanwhile;
// - one that asks while the first is still being authorised, here or at another gateway, waits for that answer; only
//   when its author has had all its time is it given up, for both of them.
import {
  nextStep,
  type PaymentAt,
  type PaymentLog,
  processorKey,
} from "../../records/payments/payment-log.js";
import type { AuthoriseAnswer, PaymentProcessor } from "../../records/payments/processor.js";
import { bus, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { MONEY_DEADLINE_MS } from "../../wire/limits.js";
import { type ActRequest, type ActResult, type Charge, consents, type Purpose } from "./purpose.js";

/** Kept back for writing the processor's answer into the log. */
const APPEND_RESERVE_MS = 300;
/** Between two looks at a payment that another one is authorising. */
const LOOK_AGAIN_MS = 100;
/** Somebody else wrote a step between our read and our append: read again, at most so often. */
const MAX_LOOKS = 2 * (MONEY_DEADLINE_MS / LOOK_AGAIN_MS);

export interface PayParts {
  log: PaymentLog;
  processor: PaymentProcessor;
  /** A step of this kind has been acknowledged by the log. */
  onStep(step: bus.PaymentStep): void;
  /** The log's clock. */
  nowUnixMs(): number;
}

interface PayRequest extends ActRequest {
  charge: Charge;
  booksRef: Uint8Array;
  instrument: bus.Instrument;
}

const { Reason } = edge;
const { PaymentStep } = bus;

/** The purpose over a log and a processor. */
export const payBy = (parts: PayParts): Purpose => ({
  // A false match must not cost anybody money.
  framesToAgree: 2,
  charges: true,
  actBudgetMs: MONEY_DEADLINE_MS,
  act: async (member, request) => {
    if (!consents(member, edge.Purpose.PAY)) return { granted: false, reason: Reason.CONSENT_MISSING };
    const { charge } = request;
    const instrument = member.profile?.instrument;
    if (!instrument) return { granted: false, reason: Reason.INSTRUMENT_MISSING };
    // The lane refuses a frame without a charge before anybody is searched for: CHARGE_INVALID.
    if (charge === undefined) throw new Error("a PAY presentation reached its act without a charge");
    return pay(parts, {
      ...request,
      charge,
      booksRef: member.booksRef,
      instrument: bus.Instrument.create(instrument),
    });
  },
});

/** Takes one hold for one presentation; answers by the deadline. */
async function pay(parts: PayParts, request: PayRequest): Promise<ActResult> {
  // Once the time is up the answer is no, whatever the work still does: the ledger undoes what it must.
  const late = after(request.deadlineAtMs - performance.now(), refused(request, Reason.PAYMENT_UNKNOWN));
  const isOver = () => late.isDue();
  const result = await Promise.race([begin(parts, request, isOver), late.due]);
  late.cancel();
  return result;
}

async function begin(parts: PayParts, request: PayRequest, isOver: () => boolean): Promise<ActResult> {
  const event = requested(parts, request);
  const appended = await parts.log.append(request, event, 0);
  if (!appended.ok) {
    return appended.code === "CONFLICT"
      ? repeat(parts, request, isOver)
      : refused(request, Reason.RECORD_UNAVAILABLE);
  }
  parts.onStep(PaymentStep.REQUESTED);
  return authorise(parts, request, { sequence: appended.sequence, event });
}

async function authorise(parts: PayParts, request: PayRequest, at: PaymentAt): Promise<ActResult> {
  const answer = await askProcessor(parts.processor, request);
  const step = (to: bus.PaymentStep, changed: Parameters<typeof nextStep>[3] = {}) =>
    record(parts, request, at, nextStep(at.event, to, parts.nowUnixMs(), changed));
  if (answer.ok) {
    return (await step(PaymentStep.AUTHORISED, { processorRef: answer.ref }))
      ? granted(request)
      : refused(request, Reason.PAYMENT_UNKNOWN);
  }
  if (answer.code === "DECLINED") {
    const { declineCode } = answer;
    await step(PaymentStep.DECLINED, { declineCode });
    return refused(request, declineReason(declineCode));
  }
  await step(PaymentStep.UNKNOWN);
  return refused(request, Reason.PAYMENT_UNKNOWN);
}

/** The presentation has paid, or tried to, before: the record answers. */
async function repeat(parts: PayParts, request: PayRequest, isOver: () => boolean): Promise<ActResult> {
  for (let looks = 0; looks < MAX_LOOKS && !isOver(); looks++) {
    const last = await parts.log.last(request);
    if (!last.ok || !last.at) return refused(request, Reason.RECORD_UNAVAILABLE);
    if (!samePayment(last.at.event, request)) return refused(request, Reason.PAYMENT_CONFLICT);
    const answer = await answerOf(parts, request, last.at);
    if (answer !== undefined) return answer;
    await after(LOOK_AGAIN_MS, undefined).due;
  }
  return refused(request, Reason.PAYMENT_UNKNOWN);
}

/** What the payment's last step says to whoever asks again; `undefined`: look again. */
async function answerOf(parts: PayParts, request: PayRequest, at: PaymentAt): Promise<ActResult | undefined> {
  const { event } = at;
  const next = (step: bus.PaymentStep) =>
    record(parts, request, at, nextStep(event, step, parts.nowUnixMs()));
  switch (event.step) {
    case PaymentStep.CAPTURED:
      return granted(request);
    case PaymentStep.AUTHORISED:
      return (await next(PaymentStep.AUTHORISED)) ? granted(request) : undefined;
    case PaymentStep.REQUESTED:
      // Its author may be waiting for the issuer. When that author has had its time, the answer is no, for both of us.
      if (parts.nowUnixMs() - event.atUnixMs < MONEY_DEADLINE_MS) return undefined;
      return (await next(PaymentStep.UNKNOWN)) ? refused(request, Reason.PAYMENT_UNKNOWN) : undefined;
    case PaymentStep.DECLINED:
      return refused(request, declineReason(event.declineCode));
    case PaymentStep.UNKNOWN:
    case PaymentStep.VOIDED:
      return refused(request, Reason.PAYMENT_UNKNOWN);
    default:
      return refused(request, Reason.PAYMENT_CONFLICT);
  }
}

/** @returns whether the log has the step for certain */
async function record(
  parts: PayParts,
  request: PayRequest,
  at: PaymentAt,
  event: bus.PaymentEvent,
): Promise<boolean> {
  const appended = await parts.log.append(request, event, at.sequence);
  if (appended.ok) parts.onStep(event.step);
  return appended.ok;
}

async function askProcessor(processor: PaymentProcessor, request: PayRequest): Promise<AuthoriseAnswer> {
  const { instrument, charge, deadlineAtMs } = request;
  const budgetMs = deadlineAtMs - performance.now() - APPEND_RESERVE_MS;
  if (budgetMs <= 0) return { ok: false, code: "NO_ANSWER" };
  const stop = new AbortController();
  const late = after<AuthoriseAnswer>(budgetMs, { ok: false, code: "NO_ANSWER" });
  const asked = processor.authorise(
    { key: processorKey(request), token: instrument.token, ...charge },
    stop.signal,
  );
  const answer = await Promise.race([asked, late.due]);
  late.cancel();
  stop.abort();
  return answer;
}

/** A value that is there after some time. */
function after<T>(ms: number, value: T): { due: Promise<T>; isDue(): boolean; cancel(): void } {
  let isDue = false;
  let timer: NodeJS.Timeout | undefined;
  const due = new Promise<T>((resolve) => {
    timer = setTimeout(
      () => {
        isDue = true;
        resolve(value);
      },
      Math.max(0, ms),
    );
  });
  return { due, isDue: () => isDue, cancel: () => clearTimeout(timer) };
}

function requested({ processor, nowUnixMs }: PayParts, request: PayRequest): bus.PaymentEvent {
  const { presentationId, organisation, site, deviceId, charge, booksRef } = request;
  return bus.PaymentEvent.create({
    atUnixMs: nowUnixMs(),
    presentationId,
    booksRef,
    organisation,
    site,
    deviceId,
    ...charge,
    step: PaymentStep.REQUESTED,
    processor: processor.name,
  });
}

/** Same person, same place, same charge: anything else under this presentation id is another payment. */
function samePayment(event: bus.PaymentEvent, { booksRef, site, deviceId, charge }: PayRequest): boolean {
  return (
    toHex(event.booksRef) === toHex(booksRef) &&
    event.site === site &&
    event.deviceId === deviceId &&
    event.amountMinor === charge.amountMinor &&
    event.currency === charge.currency &&
    event.orderRef === charge.orderRef
  );
}

const declineReason = (code: string): edge.Reason =>
  code === "insufficient_funds" ? Reason.INSUFFICIENT_FUNDS : Reason.PAYMENT_DECLINED;

const shown = ({ instrument: { brand, last4 }, charge: { amountMinor, currency } }: PayRequest) => ({
  brand,
  last4,
  amountMinor,
  currency,
});

const granted = (request: PayRequest): ActResult => ({
  granted: true,
  reason: Reason.PAYMENT_APPROVED,
  payment: shown(request),
});

const refused = (request: PayRequest, reason: edge.Reason): ActResult => ({
  granted: false,
  reason,
  payment: shown(request),
});
