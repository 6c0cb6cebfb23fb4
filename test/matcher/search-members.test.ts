// A search in one place, index and line maps together, as benches do it.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openLineShelf } from "../../matcher/index/line-shelf.js";
import {
  COMPARED_TEMPLATES,
  MAX_COMPARED_TEMPLATES,
  searchMembers,
} from "../../matcher/index/search-members.js";
import { similarity, templateOf } from "../../palm/signature.js";
import { noisy, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;

describe("a search in one place", () => {
  it("finds k members even when the nearest one fills the list with its own templates", () => {
    const random = seeded(2);
    const index = openExactIndex(D);
    const person = randomUnit(random, D);
    for (let label = 0; label < 8; label++) index.add(label, noisy(random, person, 0.1));
    for (let label = 8; label < 40; label++) index.add(label, randomUnit(random, D));
    const memberOf = (label: number) => (label < 8 ? "near" : `far${label}`);
    const found = searchMembers({ index }, ofVector(person), 5, 8, memberOf);
    expect(found).toHaveLength(5);
    expect(found[0]?.member).toBe("near");
  });

  it("answers the member whose line map is the probe's, though the index prefers others; to its bound", () => {
    const random = seeded(3);
    const [index, shelf] = [openExactIndex(D), openLineShelf()];
    const probe = randomProbe(random, D);
    const other = templateOf(randomProbe(random, D)).lines;
    const add = (label: number, strength: number, lines: Uint32Array) => {
      index.add(label, noisy(random, probe.vector, strength));
      shelf.add(label, lines);
    };
    for (let label = 1; label < COMPARED_TEMPLATES; label++) add(label, 0.1, other);
    add(0, 1, templateOf(probe).lines);
    for (let label = COMPARED_TEMPLATES; label < 100; label++) add(label, 20, other);
    const memberOf = (label: number) => (label === 50 ? undefined : `m${label}`);
    const [best] = searchMembers({ index, shelf }, probe, 1, 1, memberOf);
    expect(best?.member).toBe("m0");
    expect(best?.similarity).toBeCloseTo(similarity(probe, templateOf(probe)), 6);
    const found = searchMembers({ index, shelf }, probe, 500, 1, (label) => `m${label}`);
    expect(found).toHaveLength(MAX_COMPARED_TEMPLATES);
  });
});
