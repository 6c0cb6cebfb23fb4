// What a lane prints: a line for a person, or a JSON object for a program.
import { edge } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import type { PresentationEnd } from "./agent.js";
import type { Palm } from "./source/source.js";

const tenths = (ms: number | null | undefined): number => Math.round((ms ?? 0) * 10) / 10;

/** One end of a presentation as a plain object. Tokens stay out of it. */
export function describeEnd(palm: Palm, end: PresentationEnd): Record<string, unknown> {
  const about = { presentation: toHex(end.presentationId), palm: palm.label, end: end.kind };
  if (end.kind === "lost") return about;
  if (end.kind === "error") {
    const missing = missingOf(palm, end.code);
    return { ...about, code: end.code, message: end.message, ...(missing ? { reason: missing } : {}) };
  }
  const { decision, roundTripMs, passage } = end;
  const { stages, payment } = decision;
  return {
    ...about,
    outcome: edge.Outcome[decision.outcome ?? 0],
    granted: decision.granted ?? false,
    reason: edge.Reason[decision.reason ?? 0],
    displayKey: decision.displayKey ?? "",
    ...(decision.pairwiseId ? { pairwiseId: decision.pairwiseId } : {}),
    ...(passage === undefined ? {} : { passage: edge.Passage[passage] }),
    ...(payment ? { payment: { ...payment } } : {}),
    roundTripMs: tenths(roundTripMs),
    stages: {
      receiveMs: tenths(stages?.receiveMs),
      queueMs: tenths(stages?.queueMs),
      signMs: tenths(stages?.signMs),
      searchMs: tenths(stages?.searchMs),
      decideMs: tenths(stages?.decideMs),
      actMs: tenths(stages?.actMs),
      totalMs: tenths(stages?.totalMs),
    },
  };
}

/** Why there was no frame of the palm. */
const missingOf = (palm: Palm, code: string): string | undefined =>
  code === "NO_FRAME" ? palm.missing?.() : undefined;

/** The same for people. */
export function lineOf(palm: Palm, end: PresentationEnd): string {
  if (end.kind === "lost") return `${palm.label}: no connection to the gateway`;
  if (end.kind === "error") {
    return [`${palm.label}:`, end.code, missingOf(palm, end.code), end.message].filter(Boolean).join(" ");
  }
  const { outcome, reason, granted, pairwiseId } = end.decision;
  const words = [
    edge.Outcome[outcome ?? 0],
    granted ? "granted" : "refused",
    edge.Reason[reason ?? 0],
    pairwiseId ?? "",
    `${tenths(end.roundTripMs)} ms`,
    end.passage === edge.Passage.FAILED ? "THE GATE FAILED: the log says why" : "",
    end.passage === edge.Passage.EXPIRED ? "the gate stayed shut: too late" : "",
  ];
  return `${palm.label}: ${words.filter(Boolean).join(" ")}`;
}
