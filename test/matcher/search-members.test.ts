// From a shortlist to members: line maps decide, and the best members are compared whole.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openLineShelf } from "../../matcher/index/line-shelf.js";
import { compareMembers } from "../../matcher/index/search-members.js";
import { openVectorIndex } from "../../matcher/index/vector-index.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { dotProduct, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;

/** @param owners whose each template is; "": nobody's */
const open = (owners: string[], templates: Signature[], lines = true) => {
  const index = openVectorIndex(openExactIndex(D), lines ? openLineShelf() : undefined);
  for (const [label, template] of templates.entries()) index.add(label, template);
  const membership = {
    memberOf: (label: number) => owners[label] || undefined,
    labelsOf: (member: string) => owners.flatMap((owner, label) => (owner === member ? [label] : [])),
  };
  const search = (probe: Signature, labels: number[], k: number) =>
    compareMembers(index, probe, labels, k, membership);
  return search;
};

describe("members of named templates", () => {
  it("are ranked by dot products where there are no line maps", () => {
    const random = seeded(1);
    const [a, b, probe] = [randomUnit(random, D), randomUnit(random, D), randomUnit(random, D)];
    const search = open(["a", "b", "b"], [a, b, a].map(ofVector), false);
    const found = new Map(search(ofVector(probe), [0, 1], 2).map((each) => [each.member, each.similarity]));
    expect(found.get("a")).toBeCloseTo(dotProduct(a, probe), 6);
    expect(found.get("b")).toBeCloseTo(dotProduct(b, probe), 6);
  });

  it("are ranked by line maps where there are any, each member once, the hidden not at all", () => {
    const random = seeded(2);
    const [probe, other] = [randomProbe(random, D), randomProbe(random, D)];
    const templates = [other, probe, other, probe].map(templateOf);
    const search = open(["near", "own", "own", ""], templates);
    expect(search(probe, [0, 1, 2, 3], 5)).toEqual([
      { member: "own", similarity: similarity(probe, templateOf(probe)) },
      { member: "near", similarity: similarity(probe, templateOf(other)) },
    ]);
    expect(search(probe, [0, 1, 2, 3], 1).map(({ member }) => member)).toEqual(["own"]);
  });

  it("are compared by all their templates, also those that were not named, if they are among the best", () => {
    const random = seeded(3);
    const probe = randomProbe(random, D);
    const others = [randomProbe(random, D), randomProbe(random, D)].sort(
      (a, b) => similarity(probe, templateOf(b)) - similarity(probe, templateOf(a)),
    );
    const [better = probe, worse = probe] = others;
    const search = open(["first", "first", "last", "last"], [better, probe, worse, probe].map(templateOf));
    expect(search(probe, [0, 2], 1)).toEqual([{ member: "first", similarity: 1 }]);
    expect(search(probe, [0, 2], 2)).toEqual([
      { member: "first", similarity: 1 },
      { member: "last", similarity: 1 },
    ]);
  });
});
