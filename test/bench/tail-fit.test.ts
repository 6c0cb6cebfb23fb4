import { describe, expect, it } from "vitest";
import { BINS, pointsOf, tailOf, timesAsOften } from "../../bench/calibrate.js";
import { seeded } from "../../bench/seeded.js";
import { fitTail } from "../../bench/tail-fit.js";

/** Excesses of a generalised Pareto distribution. */
function drawExcesses(count: number, shape: number, scale: number): Float64Array {
  const random = seeded(11);
  return Float64Array.from({ length: count }, () => {
    const rest = 1 - random();
    return shape === 0 ? -scale * Math.log(rest) : (scale * (rest ** -shape - 1)) / shape;
  });
}

describe("a tail fitted to excesses", () => {
  it("has the shape and scale that they were drawn with", () => {
    const { shape, scale } = fitTail(drawExcesses(50_000, 0.2, 0.02));
    expect(shape).toBeCloseTo(0.2, 1);
    expect(scale / 0.02).toBeCloseTo(1, 1);
  });

  it("is exponential with their mean where they are bounded", () => {
    const excesses = drawExcesses(50_000, -0.3, 0.02);
    const { shape, scale } = fitTail(excesses);
    expect(shape).toBe(0);
    expect(scale).toBeCloseTo(0.02 / 1.3, 3);
  });
});

describe("the tail of a calibration", () => {
  const SCALE = 0.02;
  /** Pairs by similarity as an exponential distribution from 0 on has them. */
  function histogram(pairs: number): Float64Array {
    const reach = (bin: number) => Math.min(1, Math.exp(-((2 * bin) / BINS - 1) / SCALE));
    return Float64Array.from({ length: BINS + 1 }, (_, bin) =>
      Math.max(0, Math.round(pairs * reach(bin)) - Math.round(pairs * reach(bin + 1))),
    );
  }

  it("begins at the lowest counted rate that has pairs enough behind it, and has their scale", () => {
    const counts = histogram(1e8);
    const points = pointsOf(counts, 1e8);
    const { tail } = tailOf(counts, points);
    expect(tail?.fmr).toBe(1e-5);
    expect(points).toContainEqual({ fmr: tail?.fmr, similarity: tail?.similarity });
    expect(tail?.pairs).toBeGreaterThan(900);
    expect((tail?.scale ?? 0) / SCALE).toBeCloseTo(1, 1);
  });

  it("is stated as many times as often as the counted points are, none of them above one", () => {
    const points = pointsOf(histogram(1e8), 1e8);
    const { tail } = tailOf(histogram(1e8), points);
    const stated = timesAsOften(100, { points, ...(tail && { tail }) });
    expect(stated.points[0]).toEqual({ fmr: 1, similarity: points[2]?.similarity });
    expect(stated.points).toHaveLength(points.length - 2);
    expect(stated.tail).toEqual({ ...tail, fmr: 1e-3 });
  });

  it("is left out where too few pairs were compared", () => {
    expect(tailOf(histogram(1000), pointsOf(histogram(1000), 1000))).toEqual({});
  });
});
