// The part of the event log that payments use: one subject per presentation, each step appended only on top of the
// step that its author had seen. The log is the arbiter: of two gateways that want the next step, one is told CONFLICT.
import type { EventLog } from "../../records/index.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { paymentSubject, STREAMS } from "../../wire/subjects.js";

/** A payment's last step, and where it stands in the stream. */
export interface PaymentAt {
  sequence: number;
  event: bus.PaymentEvent;
}

export type StepAppended =
  | { ok: true; sequence: number }
  /** Another step came first: read again. */
  | { ok: false; code: "CONFLICT" }
  /** The step may or may not have been stored: only the log can tell, later. */
  | { ok: false; code: "LOG_UNAVAILABLE" };

export type LastStep = { ok: true; at: PaymentAt | undefined } | { ok: false; code: "LOG_UNAVAILABLE" };

export interface PaymentLog {
  /** Appends on top of `expectedSequence`; 0: the subject must be empty. */
  append(presentationHex: string, event: bus.PaymentEvent, expectedSequence: number): Promise<StepAppended>;
  last(presentationHex: string): Promise<LastStep>;
}

export function openPaymentLog(eventLog: EventLog): PaymentLog {
  return {
    append: async (presentationHex, event, expectedSequence) => {
      const appended = await eventLog.append(
        paymentSubject(presentationHex),
        encode(bus.PaymentEvent, event),
        { expectedSubjectSequence: expectedSequence },
      );
      if (appended.ok) return { ok: true, sequence: appended.sequence };
      return { ok: false, code: appended.code === "CONFLICT" ? "CONFLICT" : "LOG_UNAVAILABLE" };
    },
    last: async (presentationHex) => {
      try {
        const found = await eventLog.last(STREAMS.payments, paymentSubject(presentationHex));
        const event = found && decode(bus.PaymentEvent, found.body);
        return { ok: true, at: found && event ? { sequence: found.sequence, event } : undefined };
      } catch {
        // Whatever kept the answer away, the payment's state is not known now, and nothing is done on a guess.
        return { ok: false, code: "LOG_UNAVAILABLE" };
      }
    },
  };
}

/** The same payment, one step on. */
export function nextStep(
  event: bus.PaymentEvent,
  step: bus.PaymentStep,
  changed: Partial<Pick<bus.PaymentEvent, "processorRef" | "declineCode">> = {},
  nowUnixMs = Date.now(),
): bus.PaymentEvent {
  return bus.PaymentEvent.create({ ...event, ...changed, step, atUnixMs: nowUnixMs });
}
