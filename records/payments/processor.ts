// What Palmgate asks of a payment processor. An adapter for a real one implements this interface and nothing more.
//
// Invariants every implementation keeps:
// - every call is idempotent by its key (processorKey): asked again, it answers the same and does nothing more;
// - a key whose payment was voided can never be authorised afterwards, even when the authorisation was never seen
//   before the void: a request that is late on the way cannot come back to life;
// - `query` changes nothing;
// - no call rejects: no answer, in whatever way, is NO_ANSWER. The caller bounds the time by `signal`.

export interface AuthoriseRequest {
  /** processorKey: one presentation of one organisation, one payment. */
  key: string;
  /** The processor's own token for the instrument; never a card number. */
  token: string;
  amountMinor: number;
  /** ISO 4217. */
  currency: string;
  orderRef: string;
}

export type AuthoriseAnswer =
  | { ok: true; ref: string }
  | { ok: false; code: "DECLINED"; declineCode: DeclineCode }
  /** The key was used before with another amount, currency or token. */
  | { ok: false; code: "KEY_REUSED" }
  | { ok: false; code: "NO_ANSWER" };

export const DECLINE_CODES = ["do_not_honour", "insufficient_funds", "token_unknown", "voided"] as const;
export type DeclineCode = (typeof DECLINE_CODES)[number];

export type MoveAnswer =
  | { ok: true }
  /** The payment is in a state that does not allow it. */
  | { ok: false; code: "REFUSED"; state: ProcessorState | "NOT_FOUND" }
  | { ok: false; code: "NO_ANSWER" };

/** PENDING: the issuer has not said yet. */
export type ProcessorState = "PENDING" | "AUTHORISED" | "DECLINED" | "CAPTURED" | "VOIDED" | "REFUNDED";

export type QueryAnswer =
  | { ok: true; state: ProcessorState; ref: string; declineCode?: DeclineCode }
  /** The processor has never seen this key. */
  | { ok: true; state: "NOT_FOUND" }
  | { ok: false; code: "NO_ANSWER" };

export interface PaymentProcessor {
  /** As it stands in the record, e.g. "sandbox". */
  readonly name: string;
  /** Holds the amount on the instrument. Takes nothing yet. */
  authorise(request: AuthoriseRequest, signal: AbortSignal): Promise<AuthoriseAnswer>;
  /** Takes what was held. */
  capture(key: string, signal: AbortSignal): Promise<MoveAnswer>;
  /** Lets go what was held, or bars the key for ever when nothing was. Captured payments are not voided. */
  void(key: string, signal: AbortSignal): Promise<MoveAnswer>;
  /** Gives back what was taken. */
  refund(key: string, signal: AbortSignal): Promise<MoveAnswer>;
  query(key: string, signal: AbortSignal): Promise<QueryAnswer>;
  close(): Promise<void>;
}
