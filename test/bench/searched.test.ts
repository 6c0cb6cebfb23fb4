import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openRates } from "../../bench/rates.js";
import { searchedOf } from "../../bench/searched.js";
import { SCALES, type TemplateIndex } from "../../matcher/index/template-index.js";
import type { Signature } from "../../palm/signature.js";

/** Three palms with two templates each; one probe of palm 0 and one of palm 1. */
const owners = { palms: 3, probePalms: [0, 1], galleryPalms: [0, 0, 1, 1, 2, 2] };

/** A probe, or a template: all that counts here is its number. */
const numbered = (number: number): Signature => ({
  vector: Float32Array.of(number),
  lines: new Uint32Array(),
  codes: new Uint32Array(),
});
const probes = owners.probePalms.map((_, at) => numbered(at));

/** An index that lists templates by given distances, row-major [probe][label], and finds as alike whoever is asked for. */
function listing(distances: ArrayLike<number>, alike: ArrayLike<number>): TemplateIndex {
  const columns = distances.length / probes.length;
  const rowOf = ({ vector }: Signature) => (vector[0] as number) * columns;
  return {
    scale: SCALES.codes,
    size: columns,
    hasLines: true,
    add: () => {},
    erase: () => false,
    shortlist: (probe, k) =>
      Array.from({ length: columns }, (_, label) => ({
        label,
        distance: distances[rowOf(probe) + label] as number,
      }))
        .sort((a, b) => a.distance - b.distance)
        .slice(0, k),
    compare: (probe, labels) => Float32Array.from(labels, (label) => alike[rowOf(probe) + label] as number),
  };
}

describe("what a search of a whole gallery compares", () => {
  const distances = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.8, 0.1, 0.7, 0.2, 0.3];
  const similarities = Float32Array.from(distances.keys(), (at) => at / 100);
  const table = { ...owners, similarities };

  it("are the templates that the index lists, of the others counted without its own, and all of the best palms", () => {
    const { searched, listed } = searchedOf(table, probes, listing(distances, similarities), undefined, 2);
    // Own: one is among the two nearest of all, so both are. Others: those of the two nearest of the others.
    expect([...searched]).toEqual(
      [0, 0.01, 0.02, 0.03, -1, -1, -1, -1, 0.08, 0.09, 0.1, 0.11].map(Math.fround),
    );
    expect(listed).toBe(1);
  });

  it("are all of them where the list is as long", () => {
    const all = searchedOf(table, probes, listing(distances, similarities));
    expect(all.searched).toEqual(similarities);
  });

  it("make room for whom of the crowd is nearer, and no one else", () => {
    const crowded = [...distances.slice(0, 6), 0.15, 0.25, 0.95, ...distances.slice(6), 0.99, 0.98, 0.97];
    const alike = crowded.map((_, at) => at / 100);
    const { searched, strangers, listed } = searchedOf(table, probes, listing(crowded, alike), undefined, 2);
    expect([...searched.subarray(0, 6)]).toEqual([0, 0.01, 0.02, 0.03, -1, -1].map(Math.fround));
    expect([...strangers]).toEqual([0.06, -1].map(Math.fround));
    expect(listed).toBe(1);
  });

  it("do not have the own palm where others are nearer", () => {
    const behind = [0.9, 0.8, 0.2, 0.3, 0.4, 0.5, ...distances.slice(6)];
    const found = searchedOf(table, probes, listing(behind, similarities), undefined, 2);
    expect(found.listed).toBe(0.5);
    expect([...found.searched.subarray(0, 2)]).toEqual([-1, -1]);
  });

  it("never find more than comparing everything does", () => {
    const rows = fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(rows, rows, fc.integer({ min: 1, max: 6 }), (far, alike, depth) => {
        const drawn = { ...owners, similarities: Float32Array.from(alike) };
        const { searched } = searchedOf(drawn, probes, listing(far, alike), undefined, depth);
        for (const [at, similarity] of searched.entries())
          expect(similarity === -1 || similarity === drawn.similarities[at]).toBe(true);
        expect(searched.filter((each) => each !== -1).length).toBeGreaterThan(0);
      }),
    );
  });

  it("count for identification, and not for verification", () => {
    const once = new Float64Array(3).fill(1);
    const blind = { ...table, searched: new Float32Array(12).fill(-1) };
    expect(openRates(blind)(once).eer).toBe(openRates(table)(once).eer);
    expect(openRates(blind)(once)).toMatchObject({
      rank1: 0,
      fnirAtFpir: { "3e-3": 1 },
      rank1Exhaustive: openRates(table)(once).rank1,
      fnirAtFpirExhaustive: openRates(table)(once).fnirAtFpir,
    });
  });
});
