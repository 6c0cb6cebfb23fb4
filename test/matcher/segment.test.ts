// A segment: what a shortlist names, what a comparison answers, and what a removal, whole or torn, leaves: nothing.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openHnswIndex } from "../../matcher/index/hnsw-index.js";
import { openLineShelf } from "../../matcher/index/line-shelf.js";
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
const open = (lines = true) => {
  const index = openExactIndex(D);
  const shelf = lines ? openLineShelf() : undefined;
  return { index, shelf, segment: new Segment({ index, shelf }, counter()) };
};
const candidates = (segment: Segment, probe: Signature, shards = everywhere) => {
  const handles = segment.shortlist(probe.vector, 16, shards).map(({ handle }) => handle);
  const compared = segment.compare(probe, handles, shards);
  if (!compared.ok) throw new Error(compared.code);
  return compared.candidates;
};

describe("a segment without line maps", () => {
  it.each([
    ["exact", openExactIndex],
    ["hnsw", openHnswIndex],
  ] as const)("answers dot products in both rounds (%s)", (_, openIndex) => {
    const random = seeded(1);
    const segment = new Segment({ index: openIndex(D) }, counter());
    const vectors = Array.from({ length: 20 }, () => randomUnit(random, D));
    for (const [i, vector] of vectors.entries()) segment.add(hex(i, 0), i, [ofVector(vector)]);
    const probe = randomUnit(random, D);
    const best = [...vectors].sort((a, b) => dotProduct(b, probe) - dotProduct(a, probe));
    const near = segment.shortlist(probe, 5, everywhere);
    expect(near.map(({ similarity: each }) => each.toFixed(5))).toEqual(
      best.slice(0, 5).map((vector) => dotProduct(vector, probe).toFixed(5)),
    );
    const [first] = candidates(segment, ofVector(probe));
    expect(first?.similarity).toBeCloseTo(dotProduct(best[0] ?? probe, probe), 5);
  });
});

describe("a segment", () => {
  it.each([
    ["exact", openExactIndex],
    ["hnsw", openHnswIndex],
  ] as const)(
    "names templates of the wanted shards alone, as many as wanted where there are so many (%s)",
    (_, openIndex) => {
      const random = seeded(2);
      const segment = new Segment({ index: openIndex(D) }, counter());
      const person = randomUnit(random, D);
      for (let i = 0; i < 400; i++) segment.add(hex(i % 8, i), i, [ofVector(noisy(random, person, 0.2))]);
      for (let i = 0; i < 20; i++) segment.add(hex(9, i), i, [ofVector(randomUnit(random, D))]);
      const far = new ShardSet([9]);
      expect(segment.templatesOf(far)).toBe(20);
      expect(segment.shortlist(person, 16, far)).toHaveLength(16);
      expect(segment.shortlist(person, 64, far)).toHaveLength(20);
      expect(segment.shortlist(person, 16, new ShardSet([10]))).toEqual([]);
      expect(candidates(segment, ofVector(person), far).every(({ member }) => member.startsWith("09"))).toBe(
        true,
      );
    },
  );

  it("answers with the members most alike, each once, by the most alike of its templates", () => {
    const random = seeded(3);
    const { segment } = open();
    const [probe, another] = [randomProbe(random, D), randomProbe(random, D)];
    segment.add(hex(0, 0), 1, [templateOf(another), templateOf(probe)]);
    for (let i = 1; i < 9; i++) segment.add(hex(0, i), i, [templateOf(randomProbe(random, D))]);
    const found = candidates(segment, probe);
    expect(found).toHaveLength(COMPARED_MEMBERS);
    expect(new Set(found.map(({ member }) => member)).size).toBe(COMPARED_MEMBERS);
    expect(found[0]).toMatchObject({ member: hex(0, 0) });
    expect(found[0]?.similarity).toBeCloseTo(similarity(probe, templateOf(probe)), 6);
  });

  it("compares no handle of a template that is gone, nor of a shard that is not wanted", async () => {
    const random = seeded(4);
    const { segment } = open();
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
    const { segment, shelf, index } = open();
    const [kept, gone, also] = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
    segment.add(hex(0, 1), 1, [templateOf(kept)]);
    segment.add(hex(0, 2), 1, [templateOf(gone), templateOf(also)]);
    const inShelf = (probe: Signature) =>
      shelf
        ?.bytes()
        .some((block) => Buffer.from(block).includes(bytesOf(templateOf(probe).lines.subarray(0, 8))));
    const inIndex = (probe: Signature) => Buffer.from(index.bytes()).includes(bytesOf(probe.vector));
    expect([kept, gone, also].map(inShelf)).toEqual([true, true, true]);

    const removal = segment.remove(hex(0, 2), new Slices());
    // Now between two slots of the index: the second one is still to be zeroed.
    expect(segment.has(hex(0, 2))).toBe(true);
    expect(segment.templatesOf(everywhere)).toBe(1);
    expect([kept, gone, also].map(inShelf)).toEqual([true, false, false]);
    for (const probe of [gone, also]) {
      expect(candidates(segment, probe).map(({ member }) => member)).toEqual([hex(0, 1)]);
    }
    await removal;
    expect(segment.has(hex(0, 2))).toBe(false);
    expect([kept, gone, also].map(inIndex)).toEqual([true, false, false]);
  });

  it("knows the members of a shard, also those that have no template", () => {
    const { segment } = open();
    const random = seeded(7);
    segment.add(hex(1, 1), 1, []);
    segment.add(hex(1, 2), 1, [templateOf(randomProbe(random, D))]);
    segment.add(hex(2, 1), 1, [templateOf(randomProbe(random, D))]);
    expect(segment.membersOf(1).sort()).toEqual([hex(1, 1), hex(1, 2)]);
    expect(segment.members).toBe(3);
  });
});
