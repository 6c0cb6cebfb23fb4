// A made-up palm: its creases as curves on the unit square, before any camera sees it.
//
// Creases as Bezier curves follow the idea of Zhao et al., "BezierPalm: a free lunch for palmprint recognition"
// (ECCV 2022); placement here is our own. The square is the region of interest, x to the right, y down, fingers up.
import { type Random, seededRandom } from "./random.js";

export interface Point {
  x: number;
  y: number;
}

/** A cubic Bezier curve; width and depth taper towards both ends. */
export interface Crease {
  points: [Point, Point, Point, Point];
  /** Standard deviation of the dark profile across the line, share of the square's side. */
  width: number;
  /** Darkening in the middle of the line, share of the skin's grey. */
  depth: number;
}

/** A soft bright or dark area: the ball of the thumb, the hollow of the hand. */
export interface Mound {
  centre: Point;
  radius: number;
  height: number;
}

export interface PalmIdentity {
  seed: number;
  creases: readonly Crease[];
  mounds: readonly Mound[];
  /** Mean grey of the skin, 0..255. */
  skin: number;
}

const SECONDARY_CREASES = { least: 9, most: 18 };
const WRINKLES = { least: 30, most: 60 };
const MOUNDS = 6;

/** @param seed any integer; the same seed is the same palm, for ever */
export function synthesiseIdentity(seed: number): PalmIdentity {
  const random = seededRandom(seed, 0x1de47);
  return {
    seed,
    creases: [...principalCreases(random), ...secondaryCreases(random), ...wrinkles(random)],
    mounds: Array.from({ length: MOUNDS }, () => ({
      centre: { x: random.next(), y: random.next() },
      radius: random.between(0.15, 0.4),
      height: random.between(-0.12, 0.12),
    })),
    skin: random.between(115, 175),
  };
}

/** Heart, head and life line: where they run in most hands, and by how much hands differ (control points, unit square). */
const PRINCIPAL: readonly { points: readonly [number, number][]; spread: number }[] = [
  {
    points: [
      [-0.05, 0.34],
      [0.3, 0.36],
      [0.62, 0.26],
      [0.8, 0.02],
    ],
    spread: 0.09,
  },
  {
    points: [
      [1.04, 0.3],
      [0.7, 0.36],
      [0.4, 0.5],
      [0.05, 0.68],
    ],
    spread: 0.11,
  },
  {
    points: [
      [1.05, 0.32],
      [0.66, 0.4],
      [0.5, 0.72],
      [0.56, 1.06],
    ],
    spread: 0.09,
  },
];

function principalCreases(random: Random): Crease[] {
  return PRINCIPAL.map(({ points, spread }) => {
    const [a, b, c, d] = points.map(([x, y]) => ({
      x: x + spread * random.normal(),
      y: y + spread * random.normal(),
    }));
    if (!a || !b || !c || !d) throw new Error("a cubic has four points");
    return { points: [a, b, c, d], width: random.between(0.011, 0.018), depth: random.between(0.3, 0.48) };
  });
}

function secondaryCreases(random: Random): Crease[] {
  const count = Math.round(random.between(SECONDARY_CREASES.least, SECONDARY_CREASES.most));
  return Array.from({ length: count }, () => ({
    points: bend(random, random.between(0.2, 0.7), 0.16),
    width: random.between(0.006, 0.013),
    depth: random.between(0.14, 0.34),
  }));
}

function wrinkles(random: Random): Crease[] {
  const count = Math.round(random.between(WRINKLES.least, WRINKLES.most));
  return Array.from({ length: count }, () => ({
    points: bend(random, random.between(0.05, 0.2), 0.04),
    width: random.between(0.004, 0.008),
    depth: random.between(0.05, 0.16),
  }));
}

/** A curve of about that length anywhere in the square, bent by up to `bow`. */
function bend(random: Random, length: number, bow: number): [Point, Point, Point, Point] {
  const angle = random.between(0, Math.PI);
  const along = { x: Math.cos(angle), y: Math.sin(angle) };
  const middle = { x: random.between(-0.05, 1.05), y: random.between(-0.05, 1.05) };
  const at = (share: number, aside: number): Point => ({
    x: middle.x + along.x * length * share - along.y * aside,
    y: middle.y + along.y * length * share + along.x * aside,
  });
  return [at(-0.5, 0), at(-0.17, bow * random.normal()), at(0.17, bow * random.normal()), at(0.5, 0)];
}
