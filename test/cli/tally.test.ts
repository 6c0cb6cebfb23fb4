import { describe, expect, it } from "vitest";
import { type Presented, percentile, summarise } from "../../cli/demo/tally.js";
import { edge } from "../../wire/codec.js";

const { Outcome } = edge;
const facts = { transport: "uws-native", members: 2, gateways: 2, matchers: 2 };
const presented = (
  truth: string | undefined,
  outcome: edge.Outcome | undefined,
  { pairwiseId = "", granted = false, roundTripMs = 10 } = {},
): Presented => ({
  truth,
  decision: outcome === undefined ? undefined : { outcome, granted, pairwiseId },
  roundTripMs,
});

describe("the demo's tally", () => {
  it("calls a person taken for another wrong, enrolled or stranger", () => {
    const summary = summarise(
      [
        presented("anna", Outcome.MATCH, { pairwiseId: "anna", granted: true }),
        presented("anna", Outcome.MATCH, { pairwiseId: "bert", granted: true }),
        presented(undefined, Outcome.MATCH, { pairwiseId: "anna" }),
      ],
      facts,
    );
    expect(summary).toMatchObject({ presentations: 3, granted: 2, refused: 1, wrong: 2, missed: 0 });
  });

  it("calls an enrolled person missed for every ending but recognition and UNDECIDED", () => {
    const outcomes = [Outcome.NO_MATCH, Outcome.AMBIGUOUS, Outcome.LOW_QUALITY, Outcome.UNDECIDED];
    const summary = summarise(
      outcomes.map((outcome) => presented("anna", outcome)),
      facts,
    );
    expect(summary).toMatchObject({ noMatch: 1, tryAgain: 2, undecided: 1, missed: 3, wrong: 0 });
  });

  it("does not call an unrecognised stranger missed", () => {
    expect(summarise([presented(undefined, Outcome.NO_MATCH)], facts)).toMatchObject({
      noMatch: 1,
      missed: 0,
    });
  });

  it("counts a presentation without a decision as undecided and leaves it out of the times", () => {
    const lost = presented("anna", undefined, { roundTripMs: 5000 });
    const summary = summarise([lost, presented("anna", Outcome.MATCH, { pairwiseId: "anna" })], facts);
    expect(summary).toMatchObject({ undecided: 1, p50Ms: 10, p99Ms: 10 });
  });

  it("gives nearest-rank percentiles", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    expect([0.5, 0.95, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 95, 99, 100]);
    expect(percentile([], 0.5)).toBeNull();
  });
});
