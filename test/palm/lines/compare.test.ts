import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  compareLines,
  ENOUGH_SHOWN,
  lineSimilarity,
  linesMemory,
  MAX_SHIFT_CELLS,
  REFINED,
} from "../../../palm/lines/compare.js";
import {
  COARSE_SIDE,
  DIRECTION_PLANES,
  FINE_SIDE,
  lineMaps,
  MAP_PLANES,
  MAP_WORDS,
  PROBE_POSES,
  PROBE_WORDS,
} from "../../../palm/lines/line-map.js";
import { seededRandom } from "../../../palm/synthetic/random.js";
import { smoothField } from "./fields.js";

/** Cells of the field's points: a cell is two points wide. */
const POINTS_PER_CELL = 2;

const seeds = fc.integer({ min: 0, max: 1_000_000 });
const moves = fc.integer({ min: -MAX_SHIFT_CELLS, max: MAX_SHIFT_CELLS });
/** The share of cells shown: none, few, all. */
const shares = fc.constantFrom(0, 0.02, 0.3, 0.8, 1);

/** Maps without a palm behind them. */
function anyMaps(words: number, seed: number, share: number): Uint32Array {
  const random = seededRandom(seed);
  const maps = new Uint32Array(words);
  for (let map = 0; map < words; map += MAP_WORDS) {
    for (const [first, side] of [FINE, COARSE]) {
      for (let row = 0; row < side; row++) {
        for (let x = 0; x < side; x++) {
          if (random.next() >= share) continue;
          const bits = Math.floor(random.next() * 2 ** DIRECTION_PLANES) | (1 << DIRECTION_PLANES);
          for (let plane = 0; plane < MAP_PLANES; plane++) {
            const { word, shift } = placeOf(first, side, plane, x, row);
            const at = map + word;
            maps[at] = (maps[at] as number) | (((bits >> plane) & 1) << shift);
          }
        }
      }
    }
  }
  return maps;
}

/** First word, and cells on one side. */
const FINE = [0, FINE_SIDE] as const;
const COARSE = [MAP_PLANES * FINE_SIDE, COARSE_SIDE] as const;

/** Where in a map a cell's bit is: a row is as many bits as it has cells. */
function placeOf(first: number, side: number, plane: number, x: number, y: number) {
  const bit = (plane * side + y) * side + x;
  return { word: first + Math.floor(bit / 32), shift: bit % 32 };
}

const anyProbe = (seed: number, share: number) => anyMaps(PROBE_WORDS, seed, share);
const anyTemplate = (seed: number, share: number) => anyMaps(MAP_WORDS, seed, share);

const HIDDEN = -1;

interface Cells {
  side: number;
  /** Row by row: the direction bits as a number 0 .. 7, or HIDDEN. */
  bits: Int8Array;
}

function cellsOf(maps: Uint32Array, map: number, [first, side]: readonly [number, number]): Cells {
  const bit = (plane: number, x: number, y: number) => {
    const { word, shift } = placeOf(first, side, plane, x, y);
    return ((maps[map * MAP_WORDS + word] as number) >>> shift) & 1;
  };
  const bits = Int8Array.from({ length: side * side }, (_, cell) => {
    const [x, y] = [cell % side, Math.floor(cell / side)];
    return bit(DIRECTION_PLANES, x, y) ? bit(0, x, y) + 2 * bit(1, x, y) + 4 * bit(2, x, y) : HIDDEN;
  });
  return { side, bits };
}

const bitsSet = [0, 1, 1, 2, 1, 2, 2, 3];

/** The law: the score of a pose's cells when their (x + dx, y + dy) lies on the template's (x, y); in float32. */
function score({ side, bits }: Cells, template: Cells, dx: number, dy: number): number {
  let [cells, differ] = [0, 0];
  for (let y = Math.max(0, -dy); y < side - Math.max(0, dy); y++) {
    for (let x = Math.max(0, -dx); x < side - Math.max(0, dx); x++) {
      const here = bits[(y + dy) * side + x + dx] as number;
      const there = template.bits[y * side + x] as number;
      if (here === HIDDEN || there === HIDDEN) continue;
      cells++;
      differ += bitsSet[here ^ there] as number;
    }
  }
  if (cells === 0) return 0;
  const weight = Math.sqrt(Math.min(1, cells / (ENOUGH_SHOWN * side * side)));
  return Math.fround(
    Math.fround(weight) - Math.fround(Math.fround((2 * weight) / (3 * cells)) * Math.fround(differ)),
  );
}

const COARSE_SHIFTS = [-3, -2, -1, 0, 1, 2, 3];
const NEAR = [-1, 0, 1];

function coarseToFine(probe: Uint32Array, template: Uint32Array): number {
  const [coarse, fine] = [cellsOf(template, 0, COARSE), cellsOf(template, 0, FINE)];
  const tried = Array.from({ length: PROBE_POSES }, (_, pose) => {
    const cells = cellsOf(probe, pose, COARSE);
    return COARSE_SHIFTS.flatMap((x) =>
      COARSE_SHIFTS.map((y) => ({ pose, x, y, score: score(cells, coarse, x, y) })),
    );
  }).flat();
  const best = tried.sort((a, b) => b.score - a.score).slice(0, REFINED);
  const found = best.flatMap(({ pose, x, y }) => {
    const cells = cellsOf(probe, pose, FINE);
    return NEAR.flatMap((right) => NEAR.map((down) => score(cells, fine, 2 * x + right, 2 * y + down)));
  });
  return Math.max(...found);
}

/** The best of the fine maps at every pose and every shift. */
function exhaustive(probe: Uint32Array, template: Uint32Array): number {
  const shifts = Array.from({ length: 2 * MAX_SHIFT_CELLS + 1 }, (_, i) => i - MAX_SHIFT_CELLS);
  const fine = cellsOf(template, 0, FINE);
  const best = Array.from({ length: PROBE_POSES }, (_, pose) => {
    const cells = cellsOf(probe, pose, FINE);
    return Math.max(...shifts.flatMap((x) => shifts.map((y) => score(cells, fine, x, y))));
  });
  return Math.max(...best);
}

describe("comparing line maps", () => {
  it("is the law that says what alike means, also at the edges and with few cells shown", () => {
    fc.assert(
      fc.property(seeds, shares, shares, (seed, probeShare, templateShare) => {
        const probe = anyProbe(seed, probeShare);
        const template = anyTemplate(seed + 1, templateShare);
        expect(lineSimilarity(probe, template)).toBe(coarseToFine(probe, template));
      }),
      { numRuns: 25 },
    );
  });

  it("is that law for palms too, and never above what trying every alignment finds", () => {
    fc.assert(
      fc.property(seeds, moves, moves, (seed, right, down) => {
        const probe = lineMaps(smoothField(seed));
        const lie = { turn: 0.06, scale: 1.05, right, down };
        const template = lineMaps(smoothField(seed, lie)).subarray(0, MAP_WORDS);
        const found = lineSimilarity(probe, template);
        expect(found).toBe(coarseToFine(probe, template));
        expect(found).toBeLessThanOrEqual(exhaustive(probe, template));
      }),
      { numRuns: 3 },
    );
  });

  it("says 1 of a palm and itself", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const probe = lineMaps(smoothField(seed));
        expect(lineSimilarity(probe, probe.subarray(0, MAP_WORDS))).toBe(1);
      }),
      { numRuns: 10 },
    );
  });

  it("finds a palm again that has moved, by any number of cells up to the limit", () => {
    fc.assert(
      fc.property(seeds, moves, moves, (seed, x, y) => {
        const probe = lineMaps(smoothField(seed));
        const lie = { right: POINTS_PER_CELL * x, down: POINTS_PER_CELL * y };
        const shown = ((FINE_SIDE - Math.abs(x)) * (FINE_SIDE - Math.abs(y))) / FINE_SIDE ** 2;
        const whole = Math.sqrt(Math.min(1, shown / ENOUGH_SHOWN));
        expect(lineSimilarity(probe, lineMaps(smoothField(seed, lie)))).toBeGreaterThan(0.95 * whole);
        expect(lineSimilarity(probe, lineMaps(smoothField(seed + 1, lie)))).toBeLessThan(0.7);
      }),
      { numRuns: 20 },
    );
  });

  it("says -1 at most against, 1 at most for, and 0 where nothing is shown in both", () => {
    fc.assert(
      fc.property(seeds, shares, shares, (seed, probeShare, templateShare) => {
        const found = lineSimilarity(anyProbe(seed, probeShare), anyTemplate(seed + 1, templateShare));
        expect(Math.abs(found)).toBeLessThanOrEqual(1);
        if (probeShare === 0 || templateShare === 0) expect(found).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("says the same of a template alone and among others, in any order, as often as asked", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(seeds, shares), { maxLength: 6 }), seeds, (drawn, seed) => {
        const probe = anyProbe(seed, 0.8);
        const templates = drawn.map(([from, share]) => anyTemplate(from, share));
        const alone = templates.map((template) => lineSimilarity(probe, template));
        expect([...compareLines(probe, templates)]).toEqual(alone);
        expect([...compareLines(probe, templates.toReversed())]).toEqual(alone.toReversed());
      }),
      { numRuns: 10 },
    );
  });

  it("takes a probe for a template, its first map", () => {
    const [probe, other] = [anyProbe(1, 0.8), anyProbe(2, 0.8)];
    expect(lineSimilarity(probe, other)).toBe(lineSimilarity(probe, other.subarray(0, MAP_WORDS)));
  });

  it("leaves its input as it was and nothing in its memory", () => {
    const [probe, template] = [anyProbe(1, 1), anyTemplate(2, 1)];
    const before = [probe.slice(), template.slice()];
    compareLines(probe, [template, template]);
    expect([probe, template]).toEqual(before);
    expect(linesMemory().every((byte) => byte === 0)).toBe(true);
  });

  it("takes whole maps only", () => {
    const [probe, template] = [anyProbe(1, 1), anyTemplate(2, 1)];
    expect(() => lineSimilarity(probe.subarray(1), template)).toThrow(RangeError);
    expect(() => lineSimilarity(template, template)).toThrow(RangeError);
    expect(() => compareLines(probe, [template, template.subarray(1)])).toThrow(RangeError);
    expect(linesMemory().every((byte) => byte === 0)).toBe(true);
  });
});
