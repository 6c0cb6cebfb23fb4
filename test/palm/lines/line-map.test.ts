import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  COARSE_SIDE,
  DIRECTION_PLANES,
  FIELD_NUMBERS,
  FIELD_SIDE,
  FINE_SIDE,
  lineMaps,
  MAP_PLANES,
  MAP_WORDS,
  PROBE_POSES,
  PROBE_WORDS,
} from "../../../palm/lines/line-map.js";
import { smoothField } from "./fields.js";

const CELLS = FINE_SIDE * FINE_SIDE;
const HALF = FIELD_NUMBERS / 2;
const TURNS = [-12, -6, 0, 6, 12].map((degrees) => (degrees * Math.PI) / 180);
const SCALES = [-0.2, -0.1, 0, 0.1, 0.2].map(Math.exp);

const seeds = fc.integer({ min: 0, max: 1_000_000 });

/** The cells of a map's fine plane, row by row. */
function plane(maps: Uint32Array, pose: number, index: number): number[] {
  const first = pose * MAP_WORDS + index * FINE_SIDE;
  return Array.from({ length: CELLS }, (_, cell) => {
    const row = maps[first + Math.floor(cell / FINE_SIDE)] as number;
    return (row >>> (cell % FINE_SIDE)) & 1;
  });
}

/** Those of a coarse plane: rows of 16 bits that follow all fine planes. */
function coarsePlane(maps: Uint32Array, pose: number, index: number): number[] {
  const first = pose * MAP_WORDS + MAP_PLANES * FINE_SIDE;
  return Array.from({ length: COARSE_SIDE * COARSE_SIDE }, (_, cell) => {
    const row = index * COARSE_SIDE + Math.floor(cell / COARSE_SIDE);
    const word = maps[first + Math.floor(row / 2)] as number;
    return (word >>> ((row % 2) * 16 + (cell % COARSE_SIDE))) & 1;
  });
}

/** The field with nothing shown at the points that `hides` names. */
function hidden(field: Float32Array, hides: (point: number) => boolean): Float32Array {
  return field.map((value, at) => (hides(at % HALF) ? 0 : value));
}

/** The share of a map's direction bits that are those of another one, of the cells shown in both. */
function agreement(maps: Uint32Array, pose: number, others: Uint32Array): number {
  const [shown, shownThere] = [plane(maps, pose, DIRECTION_PLANES), plane(others, 0, DIRECTION_PLANES)];
  const both = shown.map((bit, cell) => bit & (shownThere[cell] as number));
  let same = 0;
  for (let index = 0; index < DIRECTION_PLANES; index++) {
    const [here, there] = [plane(maps, pose, index), plane(others, 0, index)];
    same += both.filter((bit, cell) => bit === 1 && here[cell] === there[cell]).length;
  }
  return same / (DIRECTION_PLANES * both.filter((bit) => bit === 1).length);
}

describe("a probe's line maps", () => {
  it("begin with the field as it lies: on which side of three axes the direction at a cell's middle is", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const field = smoothField(seed);
        const maps = lineMaps(field);
        for (let index = 0; index < DIRECTION_PLANES; index++) {
          const axis = (index * Math.PI) / DIRECTION_PLANES;
          const wanted = Array.from({ length: CELLS }, (_, cell) => {
            const point = 2 * Math.floor(cell / FINE_SIDE) * FIELD_SIDE + 2 * (cell % FINE_SIDE);
            const [x, y] = [field[point] as number, field[point + HALF] as number];
            return x * Math.cos(axis) + y * Math.sin(axis) > 0 ? 1 : 0;
          });
          expect(plane(maps, 0, index)).toEqual(wanted);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("say the same once more, coarsely, of the field averaged over five points by five", () => {
    const field = smoothField(11);
    const maps = lineMaps(field);
    const near = [-2, -1, 0, 1, 2];
    const sums = Array.from({ length: COARSE_SIDE * COARSE_SIDE }, (_, cell) => {
      const [x, y] = [4 * (cell % COARSE_SIDE) + 1, 4 * Math.floor(cell / COARSE_SIDE) + 1];
      const points = near.flatMap((down) => near.map((right) => [x + right, y + down] as const));
      const inside = points.filter((at) => at.every((each) => each >= 0 && each < FIELD_SIDE));
      const sum = (part: number) =>
        inside.reduce((all, [right, down]) => all + (field[part + down * FIELD_SIDE + right] as number), 0);
      return [sum(0), sum(HALF)] as const;
    });
    for (let index = 0; index < DIRECTION_PLANES; index++) {
      const axis = (index * Math.PI) / DIRECTION_PLANES;
      const sides = sums.map(([x, y]) => (x * Math.cos(axis) + y * Math.sin(axis) > 0 ? 1 : 0));
      expect(coarsePlane(maps, 0, index)).toEqual(sides);
    }
    expect(coarsePlane(maps, 0, DIRECTION_PLANES)).toEqual(sums.map(() => 1));
  });

  it("have no bit in any plane where the picture shows nothing", () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: FIELD_SIDE }), (seed, from) => {
        const maps = lineMaps(hidden(smoothField(seed), (point) => point % FIELD_SIDE >= from));
        const shown = plane(maps, 0, DIRECTION_PLANES);
        expect(shown).toEqual(shown.map((_, cell) => (2 * (cell % FINE_SIDE) < from ? 1 : 0)));
        for (let row = 0; row < PROBE_POSES * FINE_SIDE; row++) {
          const at = Math.floor(row / FINE_SIDE) * MAP_WORDS + (row % FINE_SIDE);
          for (let index = 0; index < DIRECTION_PLANES; index++) {
            const word = maps[at + index * FINE_SIDE] as number;
            expect(word & ~(maps[at + DIRECTION_PLANES * FINE_SIDE] as number)).toBe(0);
          }
        }
      }),
      { numRuns: 10 },
    );
  });

  it("are all empty for a field that shows nothing", () => {
    expect(lineMaps(new Float32Array(FIELD_NUMBERS))).toEqual(new Uint32Array(PROBE_WORDS));
  });

  it("show every cell of the palm as it lies, and fewer where a pose looks beyond the crop", () => {
    const maps = lineMaps(smoothField(1));
    const shown = Array.from({ length: PROBE_POSES }, (_, pose) =>
      plane(maps, pose, DIRECTION_PLANES).reduce((sum, bit) => sum + bit, 0),
    );
    expect(shown[0]).toBe(CELLS);
    expect(Math.min(...shown)).toBeLessThan(CELLS);
    expect(Math.min(...shown)).toBeGreaterThan(0.5 * CELLS);
  });

  it("undo a turn and a scale: a palm so turned and scaled has in one pose the map of the palm as it was", () => {
    const lies = TURNS.flatMap((turn) => SCALES.map((scale) => ({ turn, scale })));
    const straight = lineMaps(smoothField(7));
    const found = lies.map((lie) => {
      const maps = lineMaps(smoothField(7, lie));
      const agreements = Array.from({ length: PROBE_POSES }, (_, pose) => agreement(maps, pose, straight));
      const best = Math.max(...agreements);
      expect(best).toBeGreaterThan(0.9);
      return agreements.indexOf(best);
    });
    expect(found.sort((a, b) => a - b)).toEqual(Array.from(lies.keys()));
    expect(lies).toHaveLength(PROBE_POSES);
  });

  it("turn with the palm: lines at right angles differ in all three planes, a palm and itself in none", () => {
    const field = smoothField(3);
    const across = lineMaps(field.map((value) => -value));
    expect(agreement(lineMaps(field), 0, across)).toBe(0);
    expect(agreement(across, 0, across)).toBe(1);
  });

  it("do not depend on how long the directions are", () => {
    const field = smoothField(5);
    expect(lineMaps(field.map((value) => value * 0.25))).toEqual(lineMaps(field));
  });

  it("are drawn from a field of the right length only", () => {
    expect(() => lineMaps(new Float32Array(FIELD_NUMBERS - 1))).toThrow(RangeError);
    expect(() => lineMaps(new Float32Array(0))).toThrow(RangeError);
    expect(MAP_WORDS).toBe(MAP_PLANES * (FINE_SIDE + COARSE_SIDE / 2));
  });
});
