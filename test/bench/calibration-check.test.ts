import { describe, expect, it } from "vitest";
import { checkTable } from "../../bench/calibration-check.js";

const calibration = {
  modelId: "m",
  source: "a test",
  identities: 100,
  pairs: 1e8,
  countedDownTo: 3e-8,
  points: [
    { fmr: 1e-2, similarity: 0.3 },
    { fmr: 1e-4, similarity: 0.4 },
    { fmr: 1e-5, similarity: 0.45 },
    { fmr: 1e-6, similarity: 0.48 },
  ],
};

describe("the check of a calibration", () => {
  const table = checkTable(calibration, [
    { name: "few", similarities: Float32Array.of(0.1, 0.2, 0.35, 0.41) },
    { name: "many", similarities: Float32Array.from({ length: 1000 }, (_, i) => i / 2000) },
  ]);

  it("counts real pairs at each stated similarity, and states no rate that three pairs or fewer stand behind", () => {
    expect(table).toContain("| 1e-2 | 0.300 |  | 2 of 4 | 4.0e-1 |");
    expect(table).toContain("| 1e-4 | 0.400 |  | 1 of 4 | 2.0e-1 |");
  });

  it("shows what the tail would have been extrapolated to, beside what was counted", () => {
    expect(table).toContain("| 1e-6 | 0.480 | 0.500 | 0 of 4 | 3.9e-2 |");
  });
});
