// A segment: what a shortlist names, what a comparison answers, and what a removal, whole or torn, leaves: nothing.
import { describe, expect, it } from "vitest";
import { openCodeIndex } from "../../matcher/index/code-index.js";
import { ENGINES, type Engine, openTemplateIndex } from "../../matcher/index/engines.js";
import { SCALES, type TemplateIndex } from "../../matcher/index/template-index.js";
import { COMPARED_MEMBERS, Segment } from "../../matcher/segment.js";
import { Slices } from "../../matcher/slices.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { ShardSet } from "../../wire/shard.js";
import { bytesOf, dotProduct, noisy, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;
const everywhere = ShardSet.all();
/** The n-th member of a shard. */
const hex = (shard: number, n: number) =>
  shard.toString(16).padStart(2, "0") + n.toString(16).padStart(30, "0");
const counter = () => {
  let next = 0;
  return () => next++;
};
const KIND = { dimension: D, lineMaps: true };
const segmentOf = (index: TemplateIndex) => new Segment(index, counter());
const openCodes = () => {
  const index = openCodeIndex();
  return { index, segment: segmentOf(index) };
};
const ofVectors = (engine: Engine) => segmentOf(openTemplateIndex(engine, { ...KIND, lineMaps: false }));
const candidates = (segment: Segment, probe: Signature, shards = everywhere) => {
  const handles = segment.shortlist(probe, 16, shards).map(({ handle }) => handle);
  const compared = segment.compare(probe, handles, shards);
  if (!compared.ok) throw new Error(compared.code);
  return compared.candidates;
};

describe("a segment without line maps", () => {
  it.each(ENGINES)("answers dot products in both rounds (%s)", (engine) => {
    const random = seeded(1);
    const segment = ofVectors(engine);
    const vectors = Array.from({ length: 20 }, () => randomUnit(random, D));
    for (const [i, vector] of vectors.entries()) segment.add(hex(i, 0), i, [ofVector(vector)]);
    const probe = randomUnit(random, D);
    const best = [...vectors].sort((a, b) => dotProduct(b, probe) - dotProduct(a, probe));
    const near = segment.shortlist(ofVector(probe), 5, everywhere);
    expect(segment.scale).toBe(SCALES.vectors);
    expect(near.map(({ distance }) => distance.toFixed(5))).toEqual(
      best.slice(0, 5).map((vector) => (1 - dotProduct(vector, probe)).toFixed(5)),
    );
    const [first] = candidates(segment, ofVector(probe));
    expect(first?.similarity).toBeCloseTo(dotProduct(best[0] ?? probe, probe), 5);
  });
});

describe("a segment", () => {
  it.each(ENGINES)(
    "names templates of the wanted shards alone, as many as wanted where there are so many (%s)",
    (engine) => {
      const random = seeded(2);
      const segment = segmentOf(openTemplateIndex(engine, KIND));
      const probe = randomProbe(random, D);
      const other = templateOf(randomProbe(random, D));
      const near = () => ({ ...templateOf(probe), vector: noisy(random, probe.vector, 0.2) });
      const far = () => ({ ...other, vector: randomUnit(random, D) });
      for (let i = 0; i < 400; i++) segment.add(hex(i % 8, i), i, [near()]);
      for (let i = 0; i < 20; i++) segment.add(hex(9, i), i, [far()]);
      const wanted = new ShardSet([9]);
      expect(segment.templatesOf(wanted)).toBe(20);
      expect(segment.shortlist(probe, 16, wanted)).toHaveLength(16);
      expect(segment.shortlist(probe, 64, wanted)).toHaveLength(20);
      expect(segment.shortlist(probe, 16, new ShardSet([10]))).toEqual([]);
      expect(candidates(segment, probe, wanted).every(({ member }) => member.startsWith("09"))).toBe(true);
    },
  );

  it("answers with the members most alike, each once, by the most alike of its templates", () => {
    const random = seeded(3);
    const { segment } = openCodes();
    const [probe, another] = [randomProbe(random, D), randomProbe(random, D)];
    segment.add(hex(0, 0), 1, [templateOf(another), templateOf(probe)]);
    for (let i = 1; i < 9; i++) segment.add(hex(0, i), i, [templateOf(randomProbe(random, D))]);
    const found = candidates(segment, probe);
    expect(found).toHaveLength(COMPARED_MEMBERS);
    expect(new Set(found.map(({ member }) => member)).size).toBe(COMPARED_MEMBERS);
    expect(found[0]).toMatchObject({ member: hex(0, 0) });
    expect(found[0]?.similarity).toBeCloseTo(similarity(probe, templateOf(probe)), 6);
  });

  it("compares all templates of the members that it answers, also those that no handle names", () => {
    const random = seeded(5);
    const { segment } = openCodes();
    const [probe, another] = [randomProbe(random, D), randomProbe(random, D)];
    segment.add(hex(0, 0), 1, [templateOf(another), templateOf(probe)]);
    segment.add(hex(0, 1), 2, [templateOf(randomProbe(random, D))]);
    const compared = segment.compare(probe, [0, 2], everywhere);
    expect(compared).toMatchObject({ ok: true, candidates: [{ member: hex(0, 0), similarity: 1 }, {}] });
  });

  it("compares no handle of a template that is gone, nor of a shard that is not wanted", async () => {
    const random = seeded(4);
    const { segment } = openCodes();
    const probe = randomProbe(random, D);
    segment.add(hex(1, 0), 1, [templateOf(probe)]);
    segment.add(hex(2, 0), 1, [templateOf(randomProbe(random, D))]);
    expect(segment.compare(probe, [0, 1], new ShardSet([1]))).toEqual({ ok: false, code: "OTHER_SHARD" });
    await segment.remove(hex(1, 0), new Slices());
    expect(segment.compare(probe, [0, 1], everywhere)).toEqual({ ok: false, code: "STALE_HANDLES" });
    segment.add(hex(1, 0), 2, [templateOf(probe)]);
    expect(segment.compare(probe, [0], everywhere)).toEqual({ ok: false, code: "STALE_HANDLES" });
    expect(segment.compare(probe, [2], everywhere)).toMatchObject({ ok: true });
  });

  it("does not answer a member once its removal has begun, and then holds none of its numbers", async () => {
    const random = seeded(6);
    const { segment, index } = openCodes();
    const [kept, gone, also] = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
    segment.add(hex(0, 1), 1, [templateOf(kept)]);
    segment.add(hex(0, 2), 1, [templateOf(gone), templateOf(also)]);
    const holds = (probe: Signature) => {
      const { lines, codes } = templateOf(probe);
      const kept = index.bytes().map((block) => Buffer.from(block));
      return [lines, codes].some((words) =>
        kept.some((block) => block.includes(bytesOf(words.subarray(0, 8)))),
      );
    };
    expect([kept, gone, also].map(holds)).toEqual([true, true, true]);

    const removal = segment.remove(hex(0, 2), new Slices());
    // Now between two slots of the index: the second one is still to be zeroed.
    expect(segment.has(hex(0, 2))).toBe(true);
    expect(segment.templatesOf(everywhere)).toBe(1);
    expect([kept, gone, also].map(holds)).toEqual([true, false, true]);
    for (const probe of [gone, also]) {
      expect(candidates(segment, probe).map(({ member }) => member)).toEqual([hex(0, 1)]);
    }
    await removal;
    expect(segment.has(hex(0, 2))).toBe(false);
    expect([kept, gone, also].map(holds)).toEqual([true, false, false]);
  });

  it("knows the members of a shard, also those that have no template", () => {
    const { segment } = openCodes();
    const random = seeded(7);
    segment.add(hex(1, 1), 1, []);
    segment.add(hex(1, 2), 1, [templateOf(randomProbe(random, D))]);
    segment.add(hex(2, 1), 1, [templateOf(randomProbe(random, D))]);
    expect(segment.membersOf(1).sort()).toEqual([hex(1, 1), hex(1, 2)]);
    expect(segment.members).toBe(3);
  });
});
