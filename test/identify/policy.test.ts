import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decide, type Evidence, type PolicyRules, thresholdOf } from "../../identify/policy.js";

/** A calibration's shape: the rarer the wanted false match, the higher the similarity. */
const similarityFor = (rate: number) => Math.min(1, -Math.log10(rate) / 20);
const rules = (more: Partial<PolicyRules> = {}): PolicyRules => ({
  targetFpir: 1e-3,
  maxFrames: 3,
  ambiguityMargin: 0.05,
  similarityFor,
  framesToAgree: 1,
  ...more,
});

const similarity = fc.double({ min: -1, max: 1, noNaN: true });
const candidates = fc.array(fc.record({ member: fc.constantFrom("a", "b", "c", "d"), similarity }), {
  maxLength: 8,
});
const searched = (complete: fc.Arbitrary<boolean>) =>
  fc.record({
    kind: fc.constant("searched" as const),
    complete,
    candidates,
    templates: fc.integer({ min: 0, max: 1e6 }),
  });
const poor = fc.record({
  kind: fc.constant("poor" as const),
  reason: fc.constantFrom("TOO_DARK" as const, "BLURRED" as const),
});
const lost = fc.constant({ kind: "lost" as const });
const frames = fc.array(fc.oneof(searched(fc.boolean()), poor, lost), { minLength: 1, maxLength: 3 });
const wholeFrames = fc.array(fc.oneof(searched(fc.constant(true)), poor), { minLength: 1, maxLength: 3 });

const find = (templates: number, ...found: [string, number][]): Evidence => ({
  kind: "searched",
  complete: true,
  candidates: found.map(([member, each]) => ({ member, similarity: each })),
  templates,
});

describe("policy laws", () => {
  it("a stricter target never turns another outcome into MATCH", () => {
    const fpir = fc.double({ min: 1e-9, max: 0.1, noNaN: true });
    fc.assert(
      fc.property(frames, fpir, fpir, (evidence, one, other) => {
        const strict = decide(evidence, rules({ targetFpir: Math.min(one, other) }));
        const loose = decide(evidence, rules({ targetFpir: Math.max(one, other) }));
        if (strict.outcome === "MATCH") expect(loose).toEqual(strict);
      }),
    );
  });

  it("with a shard missing in any frame, or a frame lost, the outcome is never NO_MATCH", () => {
    const broken = fc.oneof(searched(fc.constant(false)), lost);
    fc.assert(
      fc.property(frames, broken, fc.nat(3), (evidence, hole, at) => {
        const withHole = evidence.toSpliced(at, 0, hole);
        expect(["MATCH", "UNDECIDED"]).toContain(decide(withHole, rules()).outcome);
      }),
    );
  });

  it("a frame with a shard missing adds nothing to a MATCH and takes nothing from it", () => {
    fc.assert(
      fc.property(wholeFrames, searched(fc.constant(false)), (evidence, hole) => {
        const before = decide(evidence, rules());
        const after = decide([...evidence, hole], rules());
        expect(after.outcome === "MATCH").toBe(before.outcome === "MATCH");
      }),
    );
  });

  it("neither the order of frames nor of candidates changes the outcome", () => {
    fc.assert(
      fc.property(frames, (evidence) => {
        const turned = evidence
          .toReversed()
          .map((each) =>
            each.kind === "searched" ? { ...each, candidates: each.candidates.toReversed() } : each,
          );
        expect(decide(turned, rules()).outcome).toBe(decide(evidence, rules()).outcome);
      }),
    );
  });

  it("where frames must agree, MATCH needs as many that find the member by themselves, and is the same one", () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 2, max: 3 }), (evidence, framesToAgree) => {
        const alone = decide(evidence, rules());
        const agreed = decide(evidence, rules({ framesToAgree }));
        if (agreed.outcome !== "MATCH") return;
        expect(agreed).toEqual(alone);
        const whole = evidence.flatMap((each) => (each.kind === "searched" && each.complete ? each : []));
        const threshold = thresholdOf(Math.max(...whole.map(({ templates }) => templates)), rules());
        const finding = whole.filter((each) =>
          each.candidates.some((one) => one.member === agreed.member && one.similarity >= threshold),
        );
        expect(finding.length).toBeGreaterThanOrEqual(framesToAgree);
      }),
    );
  });

  it("a larger gallery asks for a higher similarity", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e7 }), fc.integer({ min: 1, max: 1e7 }), (one, other) => {
        const [few, many] = [Math.min(one, other), Math.max(one, other)];
        expect(thresholdOf(many, rules())).toBeGreaterThanOrEqual(thresholdOf(few, rules()));
      }),
    );
  });
});

describe("policy outcomes", () => {
  // 1e-3 / (1000 x 3) = 3.3e-7 -> 0.324
  it("MATCH: one member above the threshold of FPIR / (templates x frames)", () => {
    expect(thresholdOf(1000, rules())).toBeCloseTo(0.3239, 4);
    expect(decide([find(1000, ["a", 0.33])], rules())).toEqual({ outcome: "MATCH", member: "a" });
    expect(decide([find(1000, ["a", 0.32])], rules()).outcome).toBe("NO_MATCH");
    expect(decide([find(100_000, ["a", 0.33])], rules()).outcome).toBe("NO_MATCH");
  });

  it("AMBIGUOUS: the second is closer than the margin", () => {
    expect(decide([find(1000, ["a", 0.6], ["b", 0.56])], rules()).outcome).toBe("AMBIGUOUS");
    expect(decide([find(1000, ["a", 0.6], ["b", 0.54])], rules()).outcome).toBe("MATCH");
  });

  it("a later frame settles what an earlier one left open", () => {
    const first = find(1000, ["a", 0.34], ["b", 0.33]);
    expect(decide([first], rules()).outcome).toBe("AMBIGUOUS");
    expect(decide([first, find(1000, ["a", 0.6])], rules())).toEqual({ outcome: "MATCH", member: "a" });
  });

  it("two frames for money: one alone decides nothing, and is no NO_MATCH either", () => {
    const pay = rules({ framesToAgree: 2 });
    const sure = find(1000, ["a", 0.9]);
    expect(decide([sure], pay)).toEqual({ outcome: "UNDECIDED", reason: "DEADLINE_PASSED" });
    expect(decide([sure, find(1000, ["b", 0.1])], pay).outcome).toBe("UNDECIDED");
    expect(decide([sure, find(1000, ["a", 0.4])], pay)).toEqual({ outcome: "MATCH", member: "a" });
    expect(decide([find(1000, ["a", 0.1])], pay).outcome).toBe("NO_MATCH");
  });

  it("LOW_QUALITY with the last reason when no frame was worth a search", () => {
    const dark: Evidence = { kind: "poor", reason: "TOO_DARK" };
    const blurred: Evidence = { kind: "poor", reason: "BLURRED" };
    expect(decide([dark, blurred], rules())).toEqual({ outcome: "LOW_QUALITY", reason: "BLURRED" });
    expect(decide([dark, find(10)], rules()).outcome).toBe("NO_MATCH");
  });

  it("an empty gallery recognises nobody", () => {
    expect(decide([find(0)], rules()).outcome).toBe("NO_MATCH");
  });

  it("a similarity that is no number is below every threshold", () => {
    expect(decide([find(10, ["a", Number.NaN])], rules()).outcome).toBe("NO_MATCH");
  });
});
