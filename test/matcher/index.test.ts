// Both engines that go by vectors: what they find, what they refuse, and that an erased signature is nowhere in them.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openIndex, VECTOR_ENGINES } from "../../matcher/index/engines.js";
import { openExactIndex } from "../../matcher/index/exact-index.js";
import { openHnswIndex } from "../../matcher/index/hnsw-index.js";
import { bytesOf, dotProduct, noisy, randomUnit, seeded } from "./support/vectors.js";

const dir = mkdtempSync(join(tmpdir(), "palmgate-index-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const D = 64;

describe.each(VECTOR_ENGINES)("%s index", (engine) => {
  it("returns the dot product as similarity, best first", () => {
    const random = seeded(1);
    const index = openIndex(engine, D);
    const vectors = Array.from({ length: 200 }, () => randomUnit(random, D));
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
    const probe = randomUnit(random, D);
    const truth = vectors.map((vector) => dotProduct(vector, probe)).sort((a, b) => b - a);
    for (const { label, similarity } of index.search(probe, 10)) {
      expect(index.similarityTo(label, probe)).toBeCloseTo(similarity, 5);
    }
    expect(() => index.similarityTo(200, probe)).toThrow(RangeError);
    const found = index.search(probe, 10).map(({ similarity }) => similarity);
    for (const [i, similarity] of found.entries()) expect(similarity).toBeCloseTo(truth[i] ?? Number.NaN, 5);
    expect(found).toHaveLength(10);
  });

  it("grows by itself and loses nothing", () => {
    const random = seeded(2);
    const index = openIndex(engine, D);
    const first = index.capacity;
    const vectors = Array.from({ length: first + 50 }, () => randomUnit(random, D));
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
    expect(index.capacity).toBeGreaterThan(first);
    expect(index.size).toBe(vectors.length);
    for (const label of [0, first - 1, first, first + 49]) {
      const vector = vectors[label];
      if (vector) expect(index.search(vector, 1)[0]?.label).toBe(label);
    }
  });

  it("takes no more memory for enrolling and erasing for ever", () => {
    const random = seeded(3);
    const index = openIndex(engine, D);
    const capacity = index.capacity;
    const members = capacity - 20;
    let newest: Float32Array = new Float32Array(D);
    for (let label = 0; label < capacity + 40; label++) {
      if (label >= members) index.erase(label - members);
      newest = randomUnit(random, D);
      index.add(label, newest);
      expect(index.search(newest, 1)[0]?.label).toBe(label);
    }
    expect(index.capacity).toBe(capacity);
    expect(index.size).toBe(members);
  });

  it("refuses what is no signature, and leaves the index as it was", () => {
    const index = openIndex(engine, D);
    const good = randomUnit(seeded(4), D);
    index.add(1, good);
    const holed = Float32Array.from(good);
    holed[5] = Number.NaN;
    for (const bad of [good.slice(1), holed, new Float32Array(D), good.map((each) => each * 2)]) {
      expect(() => index.add(2, bad)).toThrow(RangeError);
      expect(() => index.search(bad, 1)).toThrow(RangeError);
    }
    expect(() => index.add(1, good)).toThrow(/already/);
    expect(index.size).toBe(1);
    expect(index.search(good, 5)).toHaveLength(1);
  });

  it("answers from an empty index, and for no candidates wanted", () => {
    const index = openIndex(engine, D);
    const probe = randomUnit(seeded(5), D);
    expect(index.search(probe, 10)).toEqual([]);
    index.add(1, probe);
    expect(index.search(probe, 0)).toEqual([]);
    expect(index.erase(1)).toBe(true);
    expect(index.erase(1)).toBe(false);
    expect(index.search(probe, 10)).toEqual([]);
  });

  it("finds the same as a plain list after any order of adding and erasing", () => {
    const step = fc.record({ erase: fc.boolean(), label: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.nat(), (steps, seed) => {
        const random = seeded(seed);
        const index = openIndex(engine, 16);
        const list = new Map<number, Float32Array>();
        let next = 0;
        for (const { erase, label } of steps) {
          const present = [...list.keys()][label % Math.max(1, list.size)];
          if (erase && present !== undefined) {
            expect(index.erase(present)).toBe(true);
            list.delete(present);
          } else {
            const vector = randomUnit(random, 16);
            index.add(next, vector);
            list.set(next++, vector);
          }
        }
        const probe = randomUnit(random, 16);
        const hits = index.search(probe, 200);
        expect(hits.map(({ label }) => label).sort()).toEqual([...list.keys()].sort());
        for (const { label, similarity } of hits) {
          expect(similarity).toBeCloseTo(dotProduct(list.get(label) ?? probe, probe), 5);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("never returns what was erased, and finds the rest as well as before, when most of it is erased", () => {
    const random = seeded(6);
    const index = openIndex(engine, D);
    const vectors = Array.from({ length: 400 }, () => randomUnit(random, D));
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
    const kept = (label: number) => label % 5 === 0;
    for (let label = 0; label < vectors.length; label++) if (!kept(label)) index.erase(label);
    expect(index.size).toBe(80);
    for (const [label, vector] of vectors.entries()) {
      const hits = index.search(noisy(random, vector, 0.3), 20);
      expect(hits).toHaveLength(20);
      expect(hits.every((hit) => kept(hit.label))).toBe(true);
      if (kept(label)) expect(hits[0]?.label).toBe(label);
    }
    for (let label = 0; label < vectors.length; label++) {
      if (!kept(label)) index.add(label + 10_000, vectors[label] ?? new Float32Array(0));
    }
    const lost = vectors.filter((vector, label) => {
      const best = index.search(noisy(random, vector, 0.3), 1)[0]?.label;
      return best !== (kept(label) ? label : label + 10_000);
    });
    expect(lost).toHaveLength(0);
  });
});

describe("an erased signature", () => {
  const random = seeded(7);
  const vectors = Array.from({ length: 300 }, () => randomUnit(random, D));
  const victims = [0, 17, 299];

  it("has no bytes left in the graph's file", () => {
    const index = openHnswIndex(D);
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
    const dump = (name: string) => {
      index.writeTo(join(dir, name));
      return readFileSync(join(dir, name));
    };
    const before = dump("before");
    for (const label of victims) index.erase(label);
    const after = dump("after");
    for (const [label, vector] of vectors.entries()) {
      expect(before.includes(bytesOf(vector))).toBe(true);
      expect(after.includes(bytesOf(vector))).toBe(!victims.includes(label));
    }
    // Not even a part of it: the first eight numbers of each.
    for (const label of victims) {
      expect(after.includes(bytesOf((vectors[label] ?? new Float32Array(8)).slice(0, 8)))).toBe(false);
    }
  });

  it("has no bytes left in the exact engine's array", () => {
    const index = openExactIndex(D);
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
    const holds = (label: number) =>
      Buffer.from(index.bytes()).includes(bytesOf(vectors[label] ?? new Float32Array(8)));
    expect(victims.every(holds)).toBe(true);
    for (const label of victims) index.erase(label);
    expect(victims.some(holds)).toBe(false);
    expect(holds(1)).toBe(true);
  });
});
