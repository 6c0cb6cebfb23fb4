// A roster whose index or shelf fails while a member goes in: nothing of the member is found, nothing of it stays.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openLineShelf } from "../../matcher/index/line-shelf.js";
import { openVectorIndex } from "../../matcher/index/vector-index.js";
import { Roster } from "../../matcher/roster.js";
import { Slices } from "../../matcher/slices.js";
import { templateOf } from "../../palm/signature.js";
import { randomProbe, seeded } from "./support/vectors.js";

const D = 32;

/** An add() whose second call throws. */
function failingOnce<T>(add: (label: number, numbers: T) => void): (label: number, numbers: T) => void {
  let calls = 0;
  return (label, numbers) => {
    if (++calls === 2) throw new Error("no memory");
    add(label, numbers);
  };
}

describe.each(["index", "shelf"] as const)("a member whose second template the %s refused", (failing) => {
  const setUp = () => {
    const random = seeded(41);
    const index = openExactIndex(D);
    const shelf = openLineShelf();
    if (failing === "index") index.add = failingOnce(index.add);
    else shelf.add = failingOnce(shelf.add);
    const roster = new Roster(openVectorIndex(index, shelf));
    const probes = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
    const add = () => roster.add("someone", probes.map(templateOf));
    expect(add).toThrow("no memory");
    return { index, shelf, roster, probes, add };
  };

  it("is found in no search, and counts as present", () => {
    const { index, roster, probes } = setUp();
    expect(index.size).toBeGreaterThan(0);
    for (const probe of probes) expect(roster.search(probe, 5)).toEqual([]);
    expect(roster.has("someone")).toBe(true);
  });

  it("leaves nothing behind when it is removed", async () => {
    const { index, shelf, roster } = setUp();
    await roster.remove("someone", new Slices());
    expect(roster.has("someone")).toBe(false);
    expect(index.size).toBe(0);
    for (const bytes of [index.bytes(), ...shelf.bytes()]) {
      expect(bytes.every((each) => each === 0)).toBe(true);
    }
  });

  it("goes in whole when it comes again", async () => {
    const { roster, probes, add } = setUp();
    await roster.remove("someone", new Slices());
    add();
    expect(roster.templates).toBe(probes.length);
    for (const probe of probes) expect(roster.search(probe, 5)).toMatchObject([{ member: "someone" }]);
  });
});
