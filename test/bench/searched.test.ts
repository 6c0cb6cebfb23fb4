import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openRates } from "../../bench/rates.js";
import { searchedOf } from "../../bench/searched.js";

/** Three palms with two templates each; one probe of palm 0 and one of palm 1. */
const owners = { palms: 3, probePalms: [0, 1], galleryPalms: [0, 0, 1, 1, 2, 2] };

describe("what a search of a whole gallery compares", () => {
  const nearness = Float32Array.of(0.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.2, 0.9, 0.3, 0.8, 0.7);
  const similarities = Float32Array.from(nearness.keys(), (at) => at / 100);

  it("are the templates whose vectors are nearest, of the others counted without its own", () => {
    const { searched } = searchedOf({ ...owners, nearness, similarities }, 2);
    // Own: among the two nearest of all. Others: among the two nearest of the others.
    expect([...searched]).toEqual(
      [-1, 0.01, 0.02, 0.03, -1, -1, -1, -1, 0.08, -1, 0.1, 0.11].map(Math.fround),
    );
  });

  it("are all of them where a search compares everything", () => {
    const all = searchedOf({ ...owners, nearness, similarities }, Number.POSITIVE_INFINITY);
    expect(all).toEqual({ searched: similarities });
  });

  it("make room for whom of the crowd is nearer, and no one else", () => {
    const crowd = [
      [
        { nearness: 0.85, similarity: 0.5 },
        { nearness: 0.75, similarity: 0.6 },
        { nearness: 0.05, similarity: 0.9 },
      ],
      [{ nearness: 0.01, similarity: 0.7 }],
    ];
    const { searched, strangers } = searchedOf({ ...owners, nearness, similarities, crowd }, 2);
    expect([...searched.subarray(0, 6)]).toEqual([-1, 0.01, 0.02, -1, -1, -1].map(Math.fround));
    expect([...(strangers ?? [])]).toEqual([0.5, -1].map(Math.fround));
  });

  it("never find more than comparing everything does", () => {
    const rows = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(rows, rows, fc.integer({ min: 1, max: 6 }), (near, alike, depth) => {
        const table = { ...owners, similarities: Float32Array.from(alike) };
        const { searched } = searchedOf({ ...table, nearness: Float32Array.from(near) }, depth);
        for (const [at, similarity] of searched.entries())
          expect(similarity === -1 || similarity === table.similarities[at]).toBe(true);
        expect(searched.filter((each) => each !== -1).length).toBeGreaterThan(0);
      }),
    );
  });

  it("count for identification, and not for verification", () => {
    const table = { ...owners, similarities };
    const once = new Float64Array(3).fill(1);
    const blind = { ...table, searched: new Float32Array(12).fill(-1) };
    expect(openRates(blind)(once).eer).toBe(openRates(table)(once).eer);
    expect(openRates(blind)(once)).toMatchObject({ rank1: 0, fnirAtFpir: { "3e-3": 1 } });
  });
});
