// A search of a roster: with the index alone, and with line maps as its second stage; and what an erasure leaves.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { type LineShelf, openLineShelf } from "../../matcher/index/line-shelf.js";
import { COMPARED_TEMPLATES, searchMembers } from "../../matcher/index/search-members.js";
import { openVectorIndex } from "../../matcher/index/vector-index.js";
import { Roster } from "../../matcher/roster.js";
import { Slices } from "../../matcher/slices.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { bytesOf, dotProduct, noisy, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;

describe("a search without line maps", () => {
  it("answers dot products", () => {
    const random = seeded(1);
    const roster = new Roster(openVectorIndex(openExactIndex(D), undefined));
    const [near, far, probe] = [randomUnit(random, D), randomUnit(random, D), randomUnit(random, D)];
    roster.add("near", [ofVector(near)]);
    roster.add("far", [ofVector(far)]);
    const found = new Map(roster.search(ofVector(probe), 2).map((each) => [each.member, each.similarity]));
    expect(found.get("near")).toBeCloseTo(dotProduct(near, probe), 6);
    expect(found.get("far")).toBeCloseTo(dotProduct(far, probe), 6);
  });

  it("finds k members even when the nearest one fills the list with its own templates", () => {
    const random = seeded(2);
    const index = openExactIndex(D);
    const person = randomUnit(random, D);
    for (let label = 0; label < 8; label++) index.add(label, noisy(random, person, 0.1));
    for (let label = 8; label < 40; label++) index.add(label, randomUnit(random, D));
    const memberOf = (label: number) => (label < 8 ? "near" : `far${label}`);
    const labelsOf = () => [];
    const found = searchMembers(openVectorIndex(index, undefined), ofVector(person), 5, 8, {
      memberOf,
      labelsOf,
    });
    expect(found).toHaveLength(5);
    expect(found[0]?.member).toBe("near");
  });
});

describe("a search with line maps", () => {
  const open = (): { roster: Roster; shelf: LineShelf } => {
    const shelf = openLineShelf();
    return { roster: new Roster(openVectorIndex(openExactIndex(D), shelf)), shelf };
  };

  it("answers the member whose line map is the probe's, though the index prefers another", () => {
    const random = seeded(3);
    const { roster } = open();
    const probe = randomProbe(random, D);
    const other = templateOf(randomProbe(random, D));
    const nearVector: Signature = { ...other, vector: probe.vector };
    const sameLines: Signature = { ...templateOf(probe), vector: noisy(random, probe.vector, 1) };
    roster.add("near vector", [nearVector]);
    roster.add("same lines", [sameLines]);
    const found = roster.search(probe, 2);
    expect(found.map(({ member }) => member)).toEqual(["same lines", "near vector"]);
    expect(found[0]?.similarity).toBeCloseTo(similarity(probe, sameLines), 6);
    expect(found[1]?.similarity).toBeCloseTo(similarity(probe, nearVector), 6);
  });

  it("looks as deep as its bound, and not deeper", () => {
    const random = seeded(4);
    const { roster } = open();
    const probe = randomProbe(random, D);
    const other = templateOf(randomProbe(random, D));
    const farther = (strength: number) => noisy(random, probe.vector, strength);
    for (let i = 1; i < COMPARED_TEMPLATES; i++)
      roster.add(`near ${i}`, [{ ...other, vector: farther(0.1) }]);
    roster.add("same lines", [{ ...templateOf(probe), vector: farther(1) }]);
    for (let i = 0; i < 100; i++) roster.add(`far ${i}`, [{ ...other, vector: farther(20) }]);
    expect(roster.search(probe, 1)[0]?.member).toBe("same lines");
    expect(roster.search(probe, 500)).toHaveLength(COMPARED_TEMPLATES);
  });

  it("compares all templates of the members that it answers, also those that are not near", () => {
    const random = seeded(8);
    const { roster } = open();
    const [probe, other] = [randomProbe(random, D), templateOf(randomProbe(random, D))];
    const near = { ...other, vector: noisy(random, probe.vector, 0.1) };
    const far = { ...templateOf(probe), vector: noisy(random, probe.vector, 20) };
    roster.add("own", [near, far]);
    for (let i = 0; i < 2 * COMPARED_TEMPLATES; i++)
      roster.add(`other ${i}`, [{ ...other, vector: noisy(random, probe.vector, 1) }]);
    expect(roster.search(probe, 100).find(({ member }) => member === "own")?.similarity).toBe(1);
  });

  it("names a member once, with the most alike of its templates", () => {
    const random = seeded(5);
    const { roster } = open();
    const [probe, another] = [randomProbe(random, D), randomProbe(random, D)];
    roster.add("two hands", [templateOf(another), templateOf(probe)]);
    const found = roster.search(probe, 5);
    expect(found).toHaveLength(1);
    expect(found[0]?.similarity).toBeCloseTo(similarity(probe, templateOf(probe)), 6);
  });

  it("does not answer a member once its removal has begun, and holds none of its line maps in the end", async () => {
    const random = seeded(6);
    const { roster, shelf } = open();
    const [kept, gone, also] = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
    roster.add("kept", [templateOf(kept)]);
    roster.add("gone", [templateOf(gone), templateOf(also)]);
    const holds = (probe: Signature) =>
      shelf
        .bytes()
        .some((block) => Buffer.from(block).includes(bytesOf(templateOf(probe).lines.subarray(0, 8))));
    expect([kept, gone, also].map(holds)).toEqual([true, true, true]);

    const removal = roster.remove("gone", new Slices());
    // Now between two slots of the index: the second one is still to be zeroed.
    expect(roster.has("gone")).toBe(true);
    expect(roster.templates).toBe(2);
    expect([kept, gone, also].map(holds)).toEqual([true, false, true]);
    for (const probe of [gone, also]) {
      expect(roster.search(probe, 5).map(({ member }) => member)).toEqual(["kept"]);
    }
    await removal;
    expect(roster.has("gone")).toBe(false);
    expect([kept, gone, also].map(holds)).toEqual([true, false, false]);
    expect(roster.search(gone, 5).map(({ member }) => member)).toEqual(["kept"]);
  });

  it("holds nothing of a member whose adding failed half-way, once that is removed", async () => {
    const random = seeded(7);
    const { roster, shelf } = open();
    const [whole, torn] = [randomProbe(random, D), randomProbe(random, D)];
    const lacking = { ...templateOf(torn), lines: torn.lines.subarray(0, 1) };
    expect(() => roster.add("torn", [templateOf(whole), lacking])).toThrow(RangeError);
    await roster.remove("torn", new Slices());
    expect(roster.has("torn")).toBe(false);
    expect(roster.templates).toBe(0);
    expect(roster.search(whole, 5)).toEqual([]);
    expect(shelf.bytes().every((block) => block.every((byte) => byte === 0))).toBe(true);
  });
});
