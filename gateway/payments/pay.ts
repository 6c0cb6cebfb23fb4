// The half of a payment that a person waits for: REQUESTED in the log, authorised by the processor, AUTHORISED in the
// log, granted. What comes after (capture, or letting the hold go) is settle.ts.
//
// Invariants:
// - the processor is asked to authorise only by the one who put REQUESTED into the log, and once: a repeated
//   presentation gets the recorded answer, never a second authorisation;
// - granted is answered only when the log has acknowledged AUTHORISED (or CAPTURED) as the payment's last step,
//   inside the deadline; in any doubt the lane is refused and settle.ts finds out;
// - a repeated presentation that is granted renews AUTHORISED in the log first, so that nobody voids it meanwhile.
import { bus, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import type { ActRequest, ActResult, Member } from "../seams.js";
import { nextStep, type PaymentAt, type PaymentLog } from "./payment-log.js";
import type { AuthoriseAnswer, DeclineCode, PaymentProcessor } from "./processor.js";

/** What the processor may take of the presentation's time; a slow issuer must not hold a gate. */
export const AUTHORISE_BUDGET_MS = 400;
/** Kept back for writing the processor's answer into the log. */
const APPEND_RESERVE_MS = 60;
/** Somebody else wrote a step between our read and our append: read again, at most so often. */
const MAX_REPEAT_READS = 3;

export interface PayDeps {
  log: PaymentLog;
  processor: PaymentProcessor;
  /** The lane was refused and the payment may need to be let go: settle it soon. */
  settleSoon(presentationHex: string): void;
  /** A step of this kind has been acknowledged by the log. */
  onStep(step: bus.PaymentStep): void;
  /** performance.now(), or a test's clock. */
  nowMs(): number;
}

type Charge = NonNullable<ActRequest["charge"]>;
type Instrument = NonNullable<Member["instrument"]>;

export interface PayRequest {
  presentationHex: string;
  presentationId: Uint8Array;
  memberId: Uint8Array;
  site: string;
  charge: Charge;
  instrument: Instrument;
  deadlineAtMs: number;
}

const { Reason } = edge;
const { PaymentStep } = bus;

/** Takes one payment for one presentation. Never throws for an expected failure; answers by the deadline. */
export async function pay(deps: PayDeps, request: PayRequest): Promise<ActResult> {
  // Once the time is up the answer is refused, whatever the work still does: settle.ts undoes what it must.
  const late = afterDeadline(deps, request);
  const result = await Promise.race([begin(deps, request), late.passed]);
  late.cancel();
  if (!result.granted && result.reason === Reason.PAYMENT_UNKNOWN) deps.settleSoon(request.presentationHex);
  return result;
}

async function begin(deps: PayDeps, request: PayRequest): Promise<ActResult> {
  const event = requested(deps.processor.name, request);
  const appended = await deps.log.append(request.presentationHex, event, 0);
  if (!appended.ok) {
    return appended.code === "CONFLICT" ? repeat(deps, request) : refused(request, Reason.RECORD_UNAVAILABLE);
  }
  deps.onStep(PaymentStep.REQUESTED);
  return authorise(deps, request, { sequence: appended.sequence, event });
}

async function authorise(deps: PayDeps, request: PayRequest, at: PaymentAt): Promise<ActResult> {
  const left = request.deadlineAtMs - deps.nowMs() - APPEND_RESERVE_MS;
  const answer =
    left > 0
      ? await askProcessor(deps.processor, request, Math.min(AUTHORISE_BUDGET_MS, left))
      : ({ ok: false, code: "NO_ANSWER" } as const);
  if (answer.ok) {
    const authorised = nextStep(at.event, PaymentStep.AUTHORISED, { processorRef: answer.ref });
    return (await record(deps, request, at, authorised))
      ? granted(request)
      : refused(request, Reason.PAYMENT_UNKNOWN);
  }
  if (answer.code === "DECLINED") {
    const { declineCode } = answer;
    await record(deps, request, at, nextStep(at.event, PaymentStep.DECLINED, { declineCode }));
    return refused(request, declineReason(declineCode));
  }
  await record(deps, request, at, nextStep(at.event, PaymentStep.UNKNOWN));
  return refused(request, Reason.PAYMENT_UNKNOWN);
}

/** The presentation has paid, or tried to, before: the record answers. */
async function repeat(deps: PayDeps, request: PayRequest): Promise<ActResult> {
  for (let reads = 0; reads < MAX_REPEAT_READS; reads++) {
    const last = await deps.log.last(request.presentationHex);
    if (!last.ok || !last.at) return refused(request, Reason.RECORD_UNAVAILABLE);
    const { event } = last.at;
    if (!samePayment(event, request)) return refused(request, Reason.PAYMENT_CONFLICT);
    switch (event.step) {
      case PaymentStep.CAPTURED:
        return granted(request);
      case PaymentStep.AUTHORISED:
        if (await record(deps, request, last.at, nextStep(event, PaymentStep.AUTHORISED))) {
          return granted(request);
        }
        continue;
      case PaymentStep.REQUESTED:
        // Its author died or is still waiting for the issuer. From here on the answer is no, for both of us.
        if (await record(deps, request, last.at, nextStep(event, PaymentStep.UNKNOWN))) {
          return refused(request, Reason.PAYMENT_UNKNOWN);
        }
        continue;
      case PaymentStep.DECLINED:
        return refused(request, declineReason(event.declineCode));
      case PaymentStep.UNKNOWN:
      case PaymentStep.VOIDED:
        return refused(request, Reason.PAYMENT_UNKNOWN);
      default:
        return refused(request, Reason.PAYMENT_CONFLICT);
    }
  }
  return refused(request, Reason.PAYMENT_UNKNOWN);
}

/** @returns whether the log has the step for certain */
async function record(
  deps: PayDeps,
  request: PayRequest,
  at: PaymentAt,
  event: bus.PaymentEvent,
): Promise<boolean> {
  const appended = await deps.log.append(request.presentationHex, event, at.sequence);
  if (appended.ok) deps.onStep(event.step);
  return appended.ok;
}

async function askProcessor(
  processor: PaymentProcessor,
  { presentationHex: key, instrument: { token }, charge }: PayRequest,
  budgetMs: number,
): Promise<AuthoriseAnswer> {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<AuthoriseAnswer>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, code: "NO_ANSWER" }), budgetMs);
  });
  const answer = await Promise.race([processor.authorise({ key, token, ...charge }, stop.signal), timedOut]);
  clearTimeout(timer);
  stop.abort();
  return answer;
}

function afterDeadline(deps: PayDeps, request: PayRequest): { passed: Promise<ActResult>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<ActResult>((resolve) => {
    timer = setTimeout(
      () => resolve(refused(request, Reason.PAYMENT_UNKNOWN)),
      Math.max(0, request.deadlineAtMs - deps.nowMs()),
    );
  });
  return { passed, cancel: () => clearTimeout(timer) };
}

function requested(processor: string, request: PayRequest): bus.PaymentEvent {
  const { presentationId, memberId, site, charge } = request;
  const step = PaymentStep.REQUESTED;
  return bus.PaymentEvent.create({
    atUnixMs: Date.now(),
    presentationId,
    memberId,
    site,
    ...charge,
    step,
    processor,
  });
}

/** Same person, same place, same charge: anything else under this presentation id is another payment. */
function samePayment(event: bus.PaymentEvent, { memberId, site, charge }: PayRequest): boolean {
  return (
    toHex(event.memberId) === toHex(memberId) &&
    event.site === site &&
    event.amountMinor === charge.amountMinor &&
    event.currency === charge.currency &&
    event.orderRef === charge.orderRef
  );
}

const declineReason = (code: DeclineCode | string): edge.Reason =>
  code === "insufficient_funds" ? Reason.INSUFFICIENT_FUNDS : Reason.PAYMENT_DECLINED;

const shown = ({ instrument, charge }: PayRequest) => ({
  brand: instrument.brand,
  last4: instrument.last4,
  amountMinor: charge.amountMinor,
  currency: charge.currency,
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
