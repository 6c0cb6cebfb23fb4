// A segment whose index or shelf fails while a member goes in: nothing of the member is found, nothing of it stays.
import { describe, expect, it } from "vitest";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openLineShelf } from "../../matcher/index/line-shelf.js";
import { openVectorIndex } from "../../matcher/index/vector-index.js";
import { Segment } from "../../matcher/segment.js";
import { Slices } from "../../matcher/slices.js";
import { templateOf } from "../../palm/signature.js";
import { ShardSet } from "../../wire/shard.js";
import { randomProbe, seeded } from "./support/vectors.js";

const D = 32;
const SOMEONE = "07".padEnd(32, "0");
const everywhere = ShardSet.all();

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
    let handles = 0;
    const segment = new Segment(openVectorIndex(index, shelf), () => handles++);
    const probes = [randomProbe(random, D), randomProbe(random, D), randomProbe(random, D)];
    const add = () => segment.add(SOMEONE, 5, probes.map(templateOf));
    expect(add).toThrow("no memory");
    return { index, shelf, segment, probes, add };
  };

  it("is found in no search, and is not whole", () => {
    const { index, segment, probes } = setUp();
    expect(index.size).toBeGreaterThan(0);
    for (const probe of probes) expect(segment.shortlist(probe, 5, everywhere)).toEqual([]);
    expect(segment.has(SOMEONE)).toBe(true);
    expect(segment.enrolledSequence(SOMEONE)).toBeUndefined();
    expect(segment.templatesOf(everywhere)).toBe(0);
  });

  it("leaves nothing behind when it is removed", async () => {
    const { index, shelf, segment } = setUp();
    await segment.remove(SOMEONE, new Slices());
    expect(segment.has(SOMEONE)).toBe(false);
    expect(segment.templatesOf(everywhere)).toBe(0);
    expect(index.size).toBe(0);
    for (const bytes of [index.bytes(), ...shelf.bytes()]) {
      expect(bytes.every((each) => each === 0)).toBe(true);
    }
  });

  it("goes in whole when it comes again", async () => {
    const { segment, probes, add } = setUp();
    await segment.remove(SOMEONE, new Slices());
    add();
    expect(segment.enrolledSequence(SOMEONE)).toBe(5);
    expect(segment.templatesOf(everywhere)).toBe(probes.length);
    for (const probe of probes) expect(segment.shortlist(probe, 5, everywhere)).toHaveLength(3);
  });
});
