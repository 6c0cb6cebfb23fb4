// What a payment needs now: money follows the goods. Pure.
//
// Invariants:
// - a passage that was served is paid for: captured, also when nobody had reported it in time and it is not too late;
// - what was not served is not paid for: let go while it is held, given back when it was taken;
// - a payment whose lane never heard "granted" is let go;
// - what was granted and never reported follows the site's rule.
import { bus, edge } from "../wire/codec.js";

/** A payment without a granted decision on record is given up after this: longer than any gateway works on one. */
export const GIVE_UP_AFTER_MS = 30_000;

/** NONE: nothing was reported. */
export type PassageReport = "NONE" | "SERVED" | "GATE_FAILED" | "NOT_HEARD";

/** Whether the record has the lane's decision: REFUSED is final, NONE may still come. */
export type LaneDecision = "NONE" | "GRANTED" | "REFUSED";

/** As the books say why a payment was captured, let go or given back. */
export type Why = "passage" | "gate_failed" | "not_heard" | "unreported" | "given_up" | "served";

export interface SiteRule {
  /** A passage that is not reported within this is unreported. */
  reportWithinMs: number;
  unreported: "void" | "capture";
}

export type NextAction =
  /** Nothing now; `waitMs`: look again by then, unless something happens before. */
  | { do: "NOTHING"; waitMs?: number }
  | { do: "CAPTURE"; why: Why }
  | { do: "LET_GO"; why: Why }
  /** UNKNOWN: ask the processor what became of it, and end it. */
  | { do: "RESOLVE" }
  | { do: "GIVE_BACK"; why: Why }
  /** Let go, and served after all: that is a loss, and the books say so. */
  | { do: "NOTE_LOSS" };

export interface Situation {
  /** The last step in the log. */
  step: bus.PaymentStep;
  /** Why that step was taken, as the log says. */
  why: string;
  /** Since that step. */
  ageMs: number;
  decision: LaneDecision;
  passage: PassageReport;
  rule: SiteRule;
}

const { PaymentStep } = bus;
const NOTHING = { do: "NOTHING" } as const;

export function nextAction(situation: Situation): NextAction {
  const { step, why, ageMs, passage } = situation;
  const isUnserved = passage === "GATE_FAILED" || passage === "NOT_HEARD";
  switch (step) {
    case PaymentStep.REQUESTED:
      return unless(ageMs, GIVE_UP_AFTER_MS, { do: "LET_GO", why: "given_up" });
    case PaymentStep.AUTHORISED:
      if (passage === "SERVED") return { do: "CAPTURE", why: "passage" };
      return isUnserved ? { do: "LET_GO", why: whyUnserved(passage) } : unreported(situation);
    case PaymentStep.UNKNOWN:
      return { do: "RESOLVE" };
    case PaymentStep.CAPTURED:
      return isUnserved ? { do: "GIVE_BACK", why: whyUnserved(passage) } : NOTHING;
    case PaymentStep.VOIDED:
      return passage === "SERVED" && why !== "served" ? { do: "NOTE_LOSS" } : NOTHING;
    default:
      return NOTHING;
  }
}

function unreported({ ageMs, decision, rule }: Situation): NextAction {
  switch (decision) {
    case "GRANTED": {
      const verb = rule.unreported === "capture" ? "CAPTURE" : "LET_GO";
      return unless(ageMs, rule.reportWithinMs, { do: verb, why: "unreported" });
    }
    case "REFUSED":
      return { do: "LET_GO", why: "given_up" };
    case "NONE":
      return unless(ageMs, GIVE_UP_AFTER_MS, { do: "LET_GO", why: "given_up" });
  }
}

const unless = (ageMs: number, afterMs: number, action: NextAction): NextAction =>
  ageMs >= afterMs ? action : { do: "NOTHING", waitMs: afterMs - ageMs };

const whyUnserved = (passage: PassageReport): Why =>
  passage === "GATE_FAILED" ? "gate_failed" : "not_heard";

/** @param passage palmgate.edge.Passage, as reported */
export function passageReport(passage: number | undefined): PassageReport {
  switch (passage) {
    case edge.Passage.OPENED:
      return "SERVED";
    case edge.Passage.FAILED:
      return "GATE_FAILED";
    case edge.Passage.EXPIRED:
      return "NOT_HEARD";
    default:
      return "NONE";
  }
}
