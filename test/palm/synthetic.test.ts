import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assessQuality,
  GUIDED_HAND,
  openSignatureModel,
  renderSample,
  type Signature,
  similarity,
  synthesiseIdentity,
} from "../../palm/index.js";
import { seededRandom } from "../../palm/synthetic/random.js";
import { MODEL, palm } from "./support.js";

/** Of ten palms, two samples each. Another value means: every synthetic palm anybody enrolled is another one now. */
const PIXELS_SHA256 = "ebfa1ca55b82b22791fc39cf16c3bf153908ddb6f888efcbdf0e86565880ac80";
const IDENTITIES = 50;

describe("a synthetic palm", () => {
  it("is made of the same pixels for ever", () => {
    const hash = createHash("sha256");
    for (let identity = 0; identity < 10; identity++) {
      for (let sample = 0; sample < 2; sample++) hash.update(palm(identity, sample).pixels);
    }
    expect(hash.digest("hex")).toBe(PIXELS_SHA256);
  });

  it("does not depend on what was drawn before it", () => {
    const alone = palm(5, 3).pixels;
    palm(6, 1);
    palm(5, 4);
    expect(palm(5, 3).pixels).toEqual(alone);
  });

  it("differs from that of every other seed, and so does each sample", () => {
    const seeds = fc.tuple(fc.nat(), fc.nat()).filter(([a, b]) => a !== b);
    fc.assert(
      fc.property(seeds, ([a, b]) => {
        expect(palm(a).pixels).not.toEqual(palm(b).pixels);
        expect(palm(1, a).pixels).not.toEqual(palm(1, b).pixels);
        expect(synthesiseIdentity(a).creases).not.toEqual(synthesiseIdentity(b).creases);
      }),
      { numRuns: 30 },
    );
  });

  it("is good enough to be signed, 200 times out of 200", () => {
    const refused: string[] = [];
    for (let identity = 0; identity < 100; identity++) {
      for (let sample = 0; sample < 2; sample++) {
        const { reason } = assessQuality(palm(identity, sample));
        if (reason !== "OK") refused.push(`${identity}/${sample}: ${reason}`);
      }
    }
    expect(refused).toEqual([]);
  });

  it("looks more like its own other sample than like any other palm", async () => {
    const model = await openSignatureModel(MODEL);
    const sign = async (identity: number, sample: number) => {
      const signature = await model.sign(palm(identity, sample));
      if (!signature) throw new Error("a synthetic palm has structure");
      return signature;
    };
    const enrolled: Signature[] = [];
    for (let identity = 0; identity < IDENTITIES; identity++) enrolled.push(await sign(identity, 1));
    for (let identity = 0; identity < IDENTITIES; identity++) {
      const probe = await sign(identity, 2);
      const similarities = enrolled.map((each) => similarity(probe, each));
      expect(similarities.indexOf(Math.max(...similarities))).toBe(identity);
    }
    await model.close();
  });

  it("stands still when nothing may vary", () => {
    const still = Object.fromEntries(Object.keys(GUIDED_HAND).map((key) => [key, 0]));
    const variation = { ...GUIDED_HAND, ...still };
    const identity = synthesiseIdentity(4);
    const [a, b] = [1, 2].map((seed) => renderSample(identity, { seed, variation }).pixels);
    expect(a).toEqual(b);
  });
});

describe("seeded random numbers", () => {
  it("repeat with their seeds, and depend on the order of them", () => {
    const first = (...seeds: number[]) => {
      const random = seededRandom(...seeds);
      return Array.from({ length: 5 }, () => random.next());
    };
    expect(first(1, 2)).toEqual(first(1, 2));
    expect(first(1, 2)).not.toEqual(first(2, 1));
    expect(first(1)).not.toEqual(first(1, 0));
  });

  it("fill the unit interval evenly", () => {
    const random = seededRandom(11);
    const bins = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const bin = Math.floor(10 * random.next());
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    // Five standard deviations of a fair count.
    for (const count of bins) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(9000));
  });

  it("are normal when asked to be, first and second of a pair alike", () => {
    const random = seededRandom(12);
    const pairs = Array.from({ length: 50_000 }, () => [random.normal(), random.normal()] as const);
    for (const numbers of [pairs.map(([a]) => a), pairs.map(([, b]) => b)]) {
      const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
      const variance = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
      const beyondTwo = numbers.filter((x) => Math.abs(x) > 2).length / numbers.length;
      expect(Math.abs(mean)).toBeLessThan(0.025);
      expect(Math.abs(variance - 1)).toBeLessThan(0.035);
      expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.005);
    }
    const product = pairs.reduce((sum, [a, b]) => sum + a * b, 0) / pairs.length;
    expect(Math.abs(product)).toBeLessThan(0.025);
  });
});
