// Every engine as a search uses it: whom it lists, how it compares, and that an erased template is nowhere in it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAR_TEMPLATES, openCodeIndex, shortlistTogether } from "../../matcher/index/code-index.js";
import { ENGINES, openTemplateIndex } from "../../matcher/index/engines.js";
import { BLOCK_ROWS, codeDistances } from "../../palm/codes/compare.js";
import { PROBE_CODE_WORDS, TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import { TEMPLATE_LINES_WORDS } from "../../palm/lines/frames.js";
import { type Signature, similarity, templateOf } from "../../palm/signature.js";
import { bytesOf, dotProduct, ofVector, randomProbe, randomUnit, seeded } from "./support/vectors.js";

const D = 32;
const KIND = { dimension: D, lineMaps: true };

const wordsOf = (random: () => number, length: number) =>
  Uint32Array.from({ length }, () => Math.floor(random() * 2 ** 32));

/** A template of nobody: quickly made, for codes look at bits alone. */
const anyTemplate = (random: () => number): Signature => ({
  vector: randomUnit(random, D),
  lines: new Uint32Array(TEMPLATE_LINES_WORDS),
  codes: wordsOf(random, TEMPLATE_CODE_WORDS),
});

describe.each(ENGINES)("templates under the engine %s", (engine) => {
  it("are listed with their own palm's first, and compared by their line maps", () => {
    const random = seeded(1);
    const index = openTemplateIndex(engine, KIND);
    const probes = Array.from({ length: 5 }, () => randomProbe(random, D));
    for (const [label, probe] of probes.entries()) index.add(label, templateOf(probe));
    expect([index.size, index.hasLines]).toEqual([5, true]);
    for (const [label, probe] of probes.entries()) {
      const near = index.shortlist(probe, 3);
      expect(near[0]?.label).toBe(label);
      expect(near).toHaveLength(3);
      expect(near.map(({ distance }) => distance)).toEqual(
        near.map(({ distance }) => distance).sort((a, b) => a - b),
      );
      const labels = near.map((each) => each.label);
      const wanted = labels.map((each) => similarity(probe, templateOf(probes[each] ?? probe)));
      expect([...index.compare(probe, labels)]).toEqual(wanted);
    }
  });

  it("are not listed once erased, nor compared", () => {
    const random = seeded(2);
    const index = openTemplateIndex(engine, KIND);
    const [gone, kept] = [randomProbe(random, D), randomProbe(random, D)];
    index.add(1, templateOf(gone));
    index.add(2, templateOf(kept));
    expect(() => index.add(1, templateOf(kept))).toThrow(/already/);
    expect([index.erase(1), index.erase(1), index.size]).toEqual([true, false, 1]);
    expect(index.shortlist(gone, 5).map(({ label }) => label)).toEqual([2]);
    expect(() => index.compare(gone, [1])).toThrow(RangeError);
    index.add(3, templateOf(gone));
    expect(index.shortlist(gone, 5).map(({ label }) => label)).toEqual([3, 2]);
  });

  it("are compared by their vectors where the model makes no line maps", () => {
    const random = seeded(3);
    const index = openTemplateIndex(engine, { dimension: D, lineMaps: false });
    const [a, b, probe] = [randomUnit(random, D), randomUnit(random, D), randomUnit(random, D)];
    index.add(7, ofVector(a));
    index.add(8, ofVector(b));
    const [first, second] = index.compare(ofVector(probe), [8, 7]);
    expect(first).toBeCloseTo(dotProduct(b, probe), 5);
    expect(second).toBeCloseTo(dotProduct(a, probe), 5);
    expect(index.hasLines).toBe(false);
  });

  it("leave a template that does not fit outside", () => {
    const random = seeded(4);
    const index = openTemplateIndex(engine, KIND);
    const whole = templateOf(randomProbe(random, D));
    const bad = engine === "codes" ? { codes: whole.codes.subarray(1) } : { vector: new Float32Array(D) };
    for (const [label, wrong] of [bad, { lines: whole.lines.subarray(1) }].entries())
      expect(() => index.add(label, { ...whole, ...wrong })).toThrow(RangeError);
    expect(index.size).toBe(0);
    index.add(3, whole);
    expect(index.size).toBe(1);
  });
});

describe("an index of codes", () => {
  const probeOf = (random: () => number): Signature => ({
    ...anyTemplate(random),
    codes: wordsOf(random, PROBE_CODE_WORDS),
  });

  it("lists the same as a plain list of distances after any order of adding and erasing", () => {
    const step = fc.record({ erase: fc.boolean(), label: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(), (steps, seed) => {
        const random = seeded(seed);
        const index = openCodeIndex();
        const list = new Map<number, Signature>();
        for (const { erase, label } of steps) {
          if (erase) expect(index.erase(label)).toBe(list.delete(label));
          else if (!list.has(label)) {
            const template = anyTemplate(random);
            index.add(label, template);
            list.set(label, template);
          }
        }
        const probe = probeOf(random);
        const wanted = [...list].map(([label, { codes }]) => ({
          label,
          distance: codeDistances(probe.codes, [codes])[0]?.far,
        }));
        wanted.sort((a, b) => (a.distance ?? 0) - (b.distance ?? 0) || a.label - b.label);
        expect(index.shortlist(probe, 100)).toEqual(wanted);
        expect(index.shortlist(probe, 3)).toEqual(wanted.slice(0, 3));
      }),
      { numRuns: 20 },
    );
  });

  it("compares far words of the nearest alone, by blocks, whatever the order in which they came", () => {
    const random = seeded(6);
    const templates = Array.from({ length: BLOCK_ROWS + 300 }, () => anyTemplate(random));
    const probe = probeOf(random);
    const distances = codeDistances(
      probe.codes,
      templates.map(({ codes }) => codes),
    );
    const near = distances.map((each) => each.near).sort((a, b) => a - b);
    const last = near[FAR_TEMPLATES - 1] ?? 0;
    const wanted = [...distances.entries()]
      .filter(([, each]) => each.near <= last)
      .map(([label, { far }]) => ({ label, distance: far }))
      .sort((a, b) => a.distance - b.distance || a.label - b.label);
    const [forwards, backwards] = [openCodeIndex(), openCodeIndex()];
    for (const [label, template] of templates.entries()) forwards.add(label, template);
    for (const [label, template] of [...templates.entries()].reverse()) backwards.add(label, template);
    expect(forwards.shortlist(probe, 40)).toEqual(wanted.slice(0, 40));
    expect(backwards.shortlist(probe, 40)).toEqual(wanted.slice(0, 40));
  });

  it("is one with others, where they are searched together", () => {
    const random = seeded(10);
    const templates = Array.from({ length: BLOCK_ROWS + 300 }, () => anyTemplate(random));
    const probe = probeOf(random);
    const whole = openCodeIndex();
    const parts = Array.from({ length: 5 }, () => openCodeIndex());
    for (const [label, template] of templates.entries()) {
      whole.add(label, template);
      parts[label % 5]?.add(label, template);
    }
    parts.push(openCodeIndex());
    const found = shortlistTogether(parts, probe, 40);
    expect(found.every(({ index, label }) => index === label % 5)).toBe(true);
    const distances = (near: readonly { distance: number }[]) => near.map(({ distance }) => distance);
    expect(distances(found)).toEqual(distances(whole.shortlist(probe, 40)));
    expect(shortlistTogether([], probe, 5)).toEqual([]);
  });

  it("looks at fewer far words where it is one part of many, and lists as many", () => {
    const random = seeded(11);
    const [alone, part] = [openCodeIndex(), openCodeIndex(256)];
    const templates = Array.from({ length: 300 }, () => anyTemplate(random));
    for (const [label, template] of templates.entries()) {
      for (const each of [alone, part]) each.add(label, template);
    }
    const probe = probeOf(random);
    const [all, few] = [alone.shortlist(probe, 300), part.shortlist(probe, 32)];
    expect([all.length, few.length]).toEqual([300, 32]);
    const known = new Map(all.map(({ label, distance }) => [label, distance]));
    for (const { label, distance } of few) expect(known.get(label)).toBe(distance);
    expect(few).not.toEqual(all.slice(0, 32));
  });

  it("holds not a byte of a template that was erased, and takes its place again", () => {
    const random = seeded(7);
    const index = openCodeIndex();
    const signatures = Array.from({ length: 3 }, () => templateOf(randomProbe(random, D)));
    for (const [label, signature] of signatures.entries()) index.add(label, signature);
    const holds = (words: Uint32Array) =>
      index.bytes().some((block) => Buffer.from(block).includes(bytesOf(words)));
    const parts = ({ codes, lines }: Signature) => [
      codes.subarray(0, 4),
      codes.subarray(-4),
      lines.subarray(0, 8),
    ];
    expect(signatures.flatMap(parts).every(holds)).toBe(true);
    index.erase(1);
    expect(signatures.map((each) => parts(each).some(holds))).toEqual([true, false, true]);
    const held = index.bytes().length;
    for (let label = 10; label < 10 + 2 * BLOCK_ROWS; label++) {
      index.add(label, anyTemplate(random));
      index.erase(label);
    }
    expect(index.bytes()).toHaveLength(held);
    for (const label of [0, 2]) index.erase(label);
    expect(index.bytes().every((block) => block.every((byte) => byte === 0))).toBe(true);
  });

  it("answers from nothing, and for nobody wanted", () => {
    const probe = randomProbe(seeded(8), D);
    const index = openCodeIndex();
    expect(index.shortlist(probe, 10)).toEqual([]);
    index.add(1, anyTemplate(seeded(9)));
    expect(index.shortlist(probe, 0)).toEqual([]);
    expect([...index.compare(probe, [])]).toEqual([]);
  });
});
