import { describe, expect, it } from "vitest";
import { checkRates, checkTable } from "../../bench/calibration-check.js";

const calibration = {
  modelId: "m",
  source: "a test",
  identities: 100,
  pairs: 1e8,
  times: 1,
  countedDownTo: 3e-8,
  points: [
    { fmr: 1e-2, similarity: 0.3 },
    { fmr: 1e-4, similarity: 0.4 },
    { fmr: 1e-5, similarity: 0.45 },
    { fmr: 1e-6, similarity: 0.48 },
  ],
  tail: { fmr: 1e-5, similarity: 0.45, shape: 0, scale: 0.05 / Math.LN10, pairs: 1000 },
};

describe("the check of a calibration", () => {
  const rates = checkRates(calibration, [
    { name: "few", similarities: Float32Array.of(0.1, 0.2, 0.35, 0.41) },
    { name: "many", similarities: Float32Array.from({ length: 1000 }, (_, i) => i / 2000) },
  ]);
  const table = checkTable(rates);

  it("counts real pairs at each stated similarity, and states no rate that three pairs or fewer stand behind", () => {
    expect(table).toContain("| 1e-2 | 0.300 |  | 2 of 4 | 4.0e-1 |");
    expect(table).toContain("| 1e-4 | 0.400 |  | 1 of 4 | 2.0e-1 |");
    expect(rates[0]?.real).toEqual([
      { name: "few", reached: 2, pairs: 4 },
      { name: "many", reached: 400, pairs: 1000 },
    ]);
  });

  it("shows where the tail has a rate, beside where it was counted", () => {
    expect(table).toContain("| 1e-5 | 0.450 | 0.450 |");
    expect(table).toContain("| 1e-6 | 0.480 | 0.500 | 0 of 4 | 3.9e-2 |");
  });
});
