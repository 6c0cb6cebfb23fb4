// What a purpose of a lane is: how sure it must be who somebody is, and what it does for them then. One file each;
// index.ts has the list. Nothing else in the gateway knows what a purpose does.
import type { bus, edge } from "../../wire/codec.js";

export interface Charge {
  amountMinor: number;
  currency: string;
  orderRef: string;
}

export interface ActRequest {
  presentationId: Uint8Array;
  presentationHex: string;
  organisation: string;
  site: string;
  deviceId: string;
  charge: Charge | undefined;
  /** On the clock of performance.now(): the answer must be there by then. */
  deadlineAtMs: number;
}

export type ActResult = {
  granted: boolean;
  reason: edge.Reason;
  /** The instrument that was asked, whether it paid or not. */
  payment?: edge.IPaymentResult;
};

export interface Purpose {
  /** Frames that must each find the member. */
  framesToAgree: number;
  /** A frame must carry a charge; frames of other purposes must not. */
  charges: boolean;
  /** The act has a deadline of its own, this long after its begin; `undefined`: that of the presentation. */
  actBudgetMs: number | undefined;
  /**
   * What is done for a recognised member. It may be done again for the same presentation, at this gateway or another:
   * whatever may happen once is decided by the log. Never throws for an expected failure.
   */
  act(member: bus.MemberFacts, request: ActRequest): Promise<ActResult>;
}

/** Whether the member allows what this lane does. */
export const consents = ({ profile }: bus.MemberFacts, purpose: edge.Purpose): boolean =>
  profile?.consents?.includes(purpose) === true;
