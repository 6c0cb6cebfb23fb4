import { describe, expect, it } from "vitest";
import { fuseFrames } from "../../bench/frames.js";
import { openRates } from "../../bench/rates.js";

const table = {
  palms: 2,
  probePalms: [0, 0, 1, 0, 1],
  galleryPalms: [0, 1],
  similarities: Float32Array.of(0.5, 0.25, 0.75, 0.125, 0.25, 0.5, 1, 0, 0.125, 0.375),
};

describe("several frames as one probe", () => {
  it("have the best similarity of each, and what is left over is left out", () => {
    const fused = fuseFrames(table, 2);
    expect(fused.probePalms).toEqual([0, 1]);
    expect([...fused.similarities]).toEqual([0.75, 0.25, 0.25, 0.5]);
  });

  it("have found what any of them has found", () => {
    const searched = Float32Array.of(-1, 0.25, 0.75, -1, -1, 0.5, -1, -1, 0.125, -1);
    expect([...(fuseFrames({ ...table, searched }, 2).searched ?? [])]).toEqual([0.75, 0.25, 0.125, 0.5]);
  });

  it("are as near to the nearest of the crowd as the nearest frame", () => {
    const fused = fuseFrames({ ...table, strangers: Float32Array.of(0.25, 0.5, 0, 1, 0.125) }, 2);
    expect([...(fused.strangers ?? [])]).toEqual([0.5, 0.125]);
  });

  it("are refused where no palm has so many", () => {
    expect(() => fuseFrames(table, 4)).toThrow(/no palm has 4 probes/);
  });
});

describe("identification among a crowd", () => {
  it("misses a palm that a stranger of the crowd is more alike to, verification does not", () => {
    const once = Float64Array.of(1, 1);
    const alone = openRates(table)(once);
    const crowd = openRates({ ...table, strangers: Float32Array.of(0, 0, 0, 0, 0.9) })(once);
    expect(alone).toMatchObject({ rank1: 1, fnirAtFpir: { "3e-3": 0 } });
    expect(crowd.rank1).toBeCloseTo(0.8);
    // Four of five mated probes stay below what the stranger reaches.
    expect(crowd.fnirAtFpir["3e-3"]).toBeCloseTo(0.8);
    expect(crowd.eer).toBe(alone.eer);
  });
});
