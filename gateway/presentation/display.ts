// The text key a lane shows for each reason. Texts live with whoever shows them (the desk's
// pages, the lane).
import type { edge } from "../../wire/codec.js";

type ReasonName = Exclude<keyof typeof edge.Reason, "REASON_UNSPECIFIED">;
/** What needs a whole hand to be seen; a gateway sees regions of interest, so no Decision ever ends with one. */
type WholeHandReason =
  | "CLOSER"
  | "FARTHER"
  | "CENTRE_HAND"
  | "OPEN_HAND"
  | "SHOW_PALM"
  | "ONE_HAND"
  | "HOLD_FLAT"
  | "NO_HAND";
export type GuideReason =
  | "TOO_DARK"
  | "TOO_BRIGHT"
  | "BLURRED"
  | "LOW_CONTRAST"
  | "HOLD_STILL"
  | WholeHandReason;
export type DecisionReason = Exclude<ReasonName, WholeHandReason>;

export const DECISION_KEYS: Record<DecisionReason, string> = {
  WELCOME_MEMBER: "decision.welcome",
  PAYMENT_APPROVED: "decision.payment_approved",
  NOT_RECOGNISED: "decision.not_recognised",
  TWO_CANDIDATES: "decision.two_candidates",
  SHARD_MISSING: "decision.one_moment",
  DEADLINE_PASSED: "decision.one_moment",
  TOO_DARK: "decision.too_dark",
  TOO_BRIGHT: "decision.too_bright",
  BLURRED: "decision.blurred",
  LOW_CONTRAST: "decision.low_contrast",
  HOLD_STILL: "decision.hold_still",
  CONSENT_MISSING: "decision.consent_missing",
  INSTRUMENT_MISSING: "decision.instrument_missing",
  PAYMENT_DECLINED: "decision.payment_declined",
  INSUFFICIENT_FUNDS: "decision.insufficient_funds",
  PAYMENT_UNKNOWN: "decision.payment_unknown",
  PAYMENT_CONFLICT: "decision.payment_conflict",
  RECORD_UNAVAILABLE: "decision.record_unavailable",
};

export const isDecisionReason = (name: string): name is DecisionReason => Object.hasOwn(DECISION_KEYS, name);

export const GUIDE_KEYS: Record<GuideReason, string> = {
  TOO_DARK: "guide.too_dark",
  TOO_BRIGHT: "guide.too_bright",
  BLURRED: "guide.blurred",
  LOW_CONTRAST: "guide.low_contrast",
  HOLD_STILL: "guide.hold_still",
  CLOSER: "guide.closer",
  FARTHER: "guide.farther",
  CENTRE_HAND: "guide.centre_hand",
  OPEN_HAND: "guide.open_hand",
  SHOW_PALM: "guide.show_palm",
  ONE_HAND: "guide.one_hand",
  HOLD_FLAT: "guide.hold_flat",
  NO_HAND: "guide.no_hand",
};

/** Known, and the money is on its way. */
export const PROGRESS_KEY = "progress.one_moment";
