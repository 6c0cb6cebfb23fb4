// Whether the palm that is still there may be presented anew, as it lies, once a presentation has ended. Pure.
//
// Invariants:
// - who was recognised is not asked again: what they were told, yes or no, stands until the hand has left;
// - where money may have moved, the hand has to leave first, which says that a person wants it again.
import { edge } from "../wire/edge-codec.js";
import type { Charge } from "./attempt.js";
import type { PresentationEnd } from "./lane-agent.js";

/** @param charge of the presentation; the next one is another order */
export function mayTryAgain(end: PresentationEnd, charge: Charge | undefined): boolean {
  if (end.kind === "decision") return end.decision.outcome !== edge.Outcome.MATCH;
  return charge === undefined;
}
