// What the demo counts. Pure: presentations in, one summary out; the truth about who stood there is known here and
// nowhere else in Palmgate.
import { edge } from "../../wire/codec.js";

/** One presentation that ended, beside the truth. */
export interface Presented {
  /** Pseudonym at this site of the enrolled person who stood there; undefined for a stranger. */
  truth: string | undefined;
  /** undefined: no decision came (the link was lost, or the gateway was busy). */
  decision: Pick<edge.Decision, "outcome" | "granted" | "pairwiseId"> | undefined;
  /** First frame sent -> decision received, milliseconds. */
  roundTripMs: number;
}

export interface Summary {
  presentations: number;
  granted: number;
  /** Recognised, then refused by the purpose (no consent, declined payment). */
  refused: number;
  noMatch: number;
  /** Ambiguous or low quality: the person is asked to try again. */
  tryAgain: number;
  undecided: number;
  /** A person, enrolled or not, taken for another. */
  wrong: number;
  /** An enrolled person whose presentation ended without recognition, for any reason but UNDECIDED. */
  missed: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  transport: string;
  members: number;
  gateways: number;
  matchers: number;
}

const { Outcome } = edge;

/** Counts presentations. Latencies are of presentations that got a decision. */
export function summarise(
  presented: readonly Presented[],
  facts: Pick<Summary, "transport" | "members" | "gateways" | "matchers">,
): Summary {
  const count = (holds: (each: Presented) => boolean) => presented.filter(holds).length;
  const outcomeIs =
    (...outcomes: edge.Outcome[]) =>
    (each: Presented) =>
      each.decision !== undefined && outcomes.includes(each.decision.outcome);
  const recognised = outcomeIs(Outcome.MATCH);
  const decidedOtherwise = outcomeIs(Outcome.NO_MATCH, Outcome.AMBIGUOUS, Outcome.LOW_QUALITY);
  const times = presented.filter(({ decision }) => decision).map(({ roundTripMs }) => roundTripMs);
  times.sort((a, b) => a - b);
  return {
    presentations: presented.length,
    granted: count((each) => each.decision?.granted === true),
    refused: count((each) => recognised(each) && each.decision?.granted === false),
    noMatch: count(outcomeIs(Outcome.NO_MATCH)),
    tryAgain: count(outcomeIs(Outcome.AMBIGUOUS, Outcome.LOW_QUALITY)),
    undecided: count((each) => !each.decision || each.decision.outcome === Outcome.UNDECIDED),
    wrong: count((each) => recognised(each) && each.decision?.pairwiseId !== each.truth),
    missed: count((each) => each.truth !== undefined && decidedOtherwise(each)),
    p50Ms: percentile(times, 0.5),
    p95Ms: percentile(times, 0.95),
    p99Ms: percentile(times, 0.99),
    ...facts,
  };
}

/**
 * Nearest-rank percentile, rounded to a tenth; null of nothing.
 * @param sorted ascending
 * @param share 0..1
 */
export function percentile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  return value === undefined ? null : Math.round(value * 10) / 10;
}
