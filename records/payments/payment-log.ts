// The part of the event log that payments use: one subject per presentation, each step appended only on top of the
// step that its author had seen. The log is the arbiter: of two that want the next step, one is told CONFLICT.
import { bus, decode, encode } from "../../wire/codec.js";
import { paymentSubject, STREAMS } from "../../wire/subjects.js";
import type { LogEvent } from "../event.js";
import type { EventLog } from "../log.js";

/** Which payment. */
export interface PaymentPlace {
  organisation: string;
  /** 32 hex digits. */
  presentationHex: string;
}

/** Under which a processor knows the payment: presentation ids are a lane's own choice, and two organisations' may agree. */
export const processorKey = ({ organisation, presentationHex }: PaymentPlace): string =>
  `${organisation}.${presentationHex}`;

/** A payment's last step, and where it stands in the stream. */
export interface PaymentAt {
  sequence: number;
  event: bus.PaymentEvent;
}

export type StepAppended =
  | { ok: true; sequence: number }
  /** Another step came first: read again. */
  | { ok: false; code: "CONFLICT" }
  /** Nothing was stored: the log has no room. */
  | { ok: false; code: "STORE_FULL" }
  /** The step may or may not have been stored: only the log can tell, later. */
  | { ok: false; code: "LOG_UNAVAILABLE" };

export type LastStep = { ok: true; at: PaymentAt | undefined } | { ok: false; code: "LOG_UNAVAILABLE" };

export interface PaymentLog {
  /** Appends on top of `expectedSequence`; 0: the subject must be empty. */
  append(place: PaymentPlace, event: bus.PaymentEvent, expectedSequence: number): Promise<StepAppended>;
  last(place: PaymentPlace): Promise<LastStep>;
}

export function openPaymentLog(eventLog: Pick<EventLog, "append" | "last">): PaymentLog {
  return {
    append: async ({ organisation, presentationHex }, event, expectedSequence) => {
      const appended = await eventLog.append(
        paymentSubject(organisation, presentationHex),
        encode(bus.PaymentEvent, event),
        { expectedSubjectSequence: expectedSequence },
      );
      if (appended.ok) return { ok: true, sequence: appended.sequence };
      return { ok: false, code: appended.code };
    },
    last: async ({ organisation, presentationHex }) => {
      try {
        const subject = paymentSubject(organisation, presentationHex);
        const found = await eventLog.last(STREAMS.payments, subject);
        return { ok: true, at: found && readPayment(found)?.at };
      } catch {
        // Whatever kept the answer away, the payment's state is not known now, and nothing is done on a guess.
        return { ok: false, code: "LOG_UNAVAILABLE" };
      }
    },
  };
}

/** The step that an event of the stream tells of; `undefined` when it is none. */
export function readPayment({
  subject,
  sequence,
  body,
}: LogEvent): { place: PaymentPlace; at: PaymentAt } | undefined {
  const [, organisation = "", presentationHex = ""] = subject.split(".");
  const event = decode(bus.PaymentEvent, body);
  return event && { place: { organisation, presentationHex }, at: { sequence, event } };
}

/** The same payment, one step on. @param nowUnixMs log's clock */
export function nextStep(
  event: bus.PaymentEvent,
  step: bus.PaymentStep,
  nowUnixMs: number,
  changed: Partial<Pick<bus.PaymentEvent, "processorRef" | "declineCode" | "why">> = {},
): bus.PaymentEvent {
  return bus.PaymentEvent.create({ ...event, ...changed, step, atUnixMs: nowUnixMs });
}

/** Whether nothing comes after this step, but for a refund. */
export const isPaymentEnd = (step: bus.PaymentStep): boolean =>
  step === bus.PaymentStep.CAPTURED ||
  step === bus.PaymentStep.DECLINED ||
  step === bus.PaymentStep.VOIDED ||
  step === bus.PaymentStep.REFUNDED;
