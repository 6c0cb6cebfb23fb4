import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Calibration,
  fmrAt,
  loadCalibration,
  modelInfo,
  tailThreshold,
  thresholdFor,
} from "../../palm/index.js";
import { CALIBRATION, MODEL, temporaryFolder } from "./support.js";

let committed: Calibration;
let modelId: string;
beforeAll(async () => {
  ({ modelId } = await modelInfo(MODEL));
  committed = await loadCalibration(CALIBRATION, modelId);
});

/** Any calibration that may be loaded: rates that fall and similarities that rise, far from the cap at 1. */
const anyCalibration = fc
  .tuple(
    fc.double({ min: -0.2, max: 0.2, noNaN: true }),
    fc.array(
      fc.record({
        ratio: fc.double({ min: 1.5, max: 10, noNaN: true }),
        rise: fc.double({ min: 0.005, max: 0.03, noNaN: true }),
      }),
      { minLength: 1, maxLength: 14 },
    ),
  )
  .map(([start, steps]) => {
    const points = [{ fmr: 0.1, similarity: start }];
    for (const { ratio, rise } of steps) {
      const last = points.at(-1) ?? { fmr: 0.1, similarity: start };
      points.push({ fmr: last.fmr / ratio, similarity: last.similarity + rise });
    }
    const { tail: _, ...untailed } = committed;
    return { ...untailed, points };
  })
  .chain((calibration) => fc.oneof(fc.constant(calibration), withTail(calibration)));

/** The same with a tail from one of its points. */
function withTail(calibration: Calibration) {
  return fc
    .record({
      from: fc.constantFrom(...calibration.points),
      shape: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 0.4, noNaN: true })),
      scale: fc.double({ min: 0.002, max: 0.04, noNaN: true }),
    })
    .map(({ from, shape, scale }) => ({ ...calibration, tail: { ...from, shape, scale, pairs: 500 } }));
}
const anyExponent = fc.double({ min: -9, max: -0.2, noNaN: true });

describe("a threshold and its rate", () => {
  it("are each other's inverse below the cap", () => {
    fc.assert(
      fc.property(anyCalibration, anyExponent, (calibration, exponent) => {
        const threshold = thresholdFor(calibration, 10 ** exponent);
        fc.pre(threshold < 1);
        expect(Math.log10(fmrAt(calibration, threshold))).toBeCloseTo(exponent, 9);
      }),
    );
  });

  it("go against each other: a rarer false match never has a lower threshold", () => {
    fc.assert(
      fc.property(anyCalibration, anyExponent, anyExponent, (calibration, a, b) => {
        const [rare, often] = [Math.min(a, b), Math.max(a, b)];
        expect(thresholdFor(calibration, 10 ** rare)).toBeGreaterThanOrEqual(
          thresholdFor(calibration, 10 ** often),
        );
      }),
    );
  });

  it("never pass 1, neither as similarity nor as rate", () => {
    fc.assert(
      fc.property(anyCalibration, fc.double({ min: -1, max: 1, noNaN: true }), (calibration, similarity) => {
        expect(thresholdFor(calibration, Number.MIN_VALUE)).toBe(1);
        const fmr = fmrAt(calibration, similarity);
        expect(fmr).toBeGreaterThanOrEqual(0);
        expect(fmr).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("are those of the file at its points, and a straight line in the logarithm between them", () => {
    const calibration = {
      ...committed,
      tail: undefined,
      points: [
        { fmr: 1e-2, similarity: 0.3 },
        { fmr: 1e-4, similarity: 0.5 },
      ],
    };
    expect(thresholdFor(calibration, 1e-2)).toBeCloseTo(0.3, 12);
    expect(thresholdFor(calibration, 1e-3)).toBeCloseTo(0.4, 12);
    expect(thresholdFor(calibration, 1e-4)).toBeCloseTo(0.5, 12);
    expect(fmrAt(calibration, 0.4)).toBeCloseTo(1e-3, 12);
  });

  it("go on below the lowest rate as they fell over the last whole decade, not over the last step", () => {
    const calibration = {
      ...committed,
      tail: undefined,
      points: [
        { fmr: 1e-1, similarity: 0.1 },
        { fmr: 1e-3, similarity: 0.4 },
        { fmr: 3.162e-4, similarity: 0.45 },
        { fmr: 1e-4, similarity: 0.46 },
      ],
    };
    expect(thresholdFor(calibration, 1e-5)).toBeCloseTo(0.52, 6);
    expect(fmrAt(calibration, 0.52)).toBeCloseTo(1e-5, 9);
  });
});

describe("a fitted tail", () => {
  const points = [
    { fmr: 1e-2, similarity: 0.3 },
    { fmr: 1e-4, similarity: 0.4 },
    { fmr: 1e-5, similarity: 0.45 },
  ];
  const tail = (scale: number, shape = 0) => ({ fmr: 1e-4, similarity: 0.4, scale, shape, pairs: 500 });
  const perDecade = (scale: number) => scale * Math.LN10;

  it("that falls faster than what was counted begins where counting ended", () => {
    const calibration = { ...committed, points, tail: tail(0.01) };
    expect(thresholdFor(calibration, 1e-5)).toBeCloseTo(0.45, 12);
    expect(thresholdFor(calibration, 1e-7)).toBeCloseTo(0.45 + 2 * perDecade(0.01), 12);
  });

  it("that falls slower counts from where it begins", () => {
    const calibration = { ...committed, points, tail: tail(0.03) };
    expect(thresholdFor(calibration, 1e-3)).toBeCloseTo(0.35, 12);
    expect(thresholdFor(calibration, 1e-5)).toBeCloseTo(0.4 + perDecade(0.03), 12);
    expect(thresholdFor(calibration, 1e-7)).toBeCloseTo(0.4 + 3 * perDecade(0.03), 12);
  });

  it("never makes a rate lower than the points or the tail alone state", () => {
    fc.assert(
      fc.property(anyCalibration.chain(withTail), anyExponent, (calibration, exponent) => {
        const fmr = 10 ** exponent;
        const threshold = thresholdFor(calibration, fmr);
        if (fmr <= calibration.tail.fmr) {
          expect(threshold).toBeGreaterThanOrEqual(Math.min(1, tailThreshold(calibration.tail, fmr)));
        }
        const lowest = calibration.points.at(-1)?.fmr ?? 1;
        if (fmr >= lowest) {
          const counted = thresholdFor({ ...calibration, tail: undefined }, fmr);
          expect(threshold).toBeGreaterThanOrEqual(counted);
        }
      }),
    );
  });

  it("heavier than exponential states higher rates further out", () => {
    const [light, heavy] = [0, 0.3].map((shape) => ({ ...committed, points, tail: tail(0.03, shape) }));
    if (!light || !heavy) throw new Error("two");
    expect(fmrAt(heavy, 0.6)).toBeGreaterThan(2 * fmrAt(light, 0.6));
  });
});

describe("the committed calibration", () => {
  it("belongs to the committed model", () => {
    expect(committed.modelId).toBe(modelId);
  });

  it("states no rate that was not counted", () => {
    // Fewer would leave the tail to too few pairs.
    expect(committed.pairs).toBeGreaterThanOrEqual(6_000_000);
    expect(committed.pairs).toBeLessThanOrEqual((committed.identities * (committed.identities - 1)) / 2);
    expect(committed.countedDownTo).toBeCloseTo((committed.times * 3) / committed.pairs, 12);
    for (const { fmr } of committed.points) expect(fmr).toBeGreaterThanOrEqual(committed.countedDownTo);
  });

  it("gives a threshold that a gate can use at one false match in a hundred million", () => {
    const threshold = thresholdFor(committed, 1e-8);
    expect(threshold).toBeGreaterThan(thresholdFor(committed, 1e-6));
    expect(threshold).toBeLessThan(0.85);
  });
});

describe("a broken calibration", () => {
  const point = (fmr: number, similarity: number) => ({ fmr, similarity });
  it.each<[string, (good: Calibration) => unknown, RegExp]>([
    ["without a model", ({ modelId: _, ...rest }) => rest, /modelId/],
    ["with one point", (good) => ({ ...good, points: [point(0.1, 0.2)] }), /points/],
    ["with points that are no list", (good) => ({ ...good, points: "many" }), /points/],
    [
      "with a rate above 1",
      (good) => ({ ...good, points: [point(1.1, 0), point(0.1, 0.2)] }),
      /points\[0\]\.fmr/,
    ],
    ["with a rate of 0", (good) => ({ ...good, points: [point(0.1, 0), point(0, 0.2)] }), /points\[1\]\.fmr/],
    [
      "with a similarity above 1",
      (good) => ({ ...good, points: [point(0.1, 0), point(0.01, 1.2)] }),
      /points\[1\]\.similarity/,
    ],
    [
      "with a similarity that is missing",
      (good) => ({ ...good, points: [point(0.1, 0), { fmr: 0.01 }] }),
      /points\[1\]\.similarity/,
    ],
    [
      "with rates that rise",
      (good) => ({ ...good, points: [point(0.1, 0), point(0.2, 0.2)] }),
      /point 1 does not go on/,
    ],
    [
      "with similarities that stand still",
      (good) => ({ ...good, points: [point(0.1, 0.1), point(0.01, 0.2), point(0.001, 0.2)] }),
      /point 2 does not go on/,
    ],
    [
      "with a tail that begins nowhere",
      (good) => ({ ...good, tail: { fmr: 0.05, similarity: 0.1, shape: 0, scale: 0.1, pairs: 9 } }),
      /tail does not begin/,
    ],
    [
      "with a tail that ends",
      (good) => ({ ...good, tail: { ...good.points[0], shape: -0.1, scale: 0.1, pairs: 9 } }),
      /tail\.shape/,
    ],
    ["without its number of pairs", ({ pairs: _, ...rest }) => rest, /pairs/],
    [
      "of another model",
      (good) => ({ ...good, modelId: "palm-256-v0" }),
      /made for palm-256-v0, and the model is palm-/,
    ],
    ["that is a list", () => [], /expected object/],
    ["that is null", () => null, /expected object/],
  ])("%s is refused with what is wrong", async (_, breakIt, problem) => {
    const path = join(await temporaryFolder(), "calibration.json");
    await writeFile(path, JSON.stringify(breakIt(committed)));
    await expect(loadCalibration(path, modelId)).rejects.toThrow(problem);
    await expect(loadCalibration(path, modelId)).rejects.toThrow(path);
  });

  it("that was cut short is refused with the file's name", async () => {
    const path = join(await temporaryFolder(), "calibration.json");
    await writeFile(path, (await readFile(CALIBRATION)).subarray(0, 200));
    await expect(loadCalibration(path, modelId)).rejects.toThrow(`${path} cannot be used`);
  });
});
