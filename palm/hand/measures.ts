// What can be measured of a found palm from where its points lie. Pure; no thresholds, those are in judge.ts.
//
// Invariants: every measure is the same for the same hand turned, moved or scaled together with its image; points that
// are not numbers give NaN or 0, never an exception.
import type { Point, Quad } from "./types.js";

/** MediaPipe's order of landmarks. */
const WRIST = 0;
const INDEX_ROOT = 5;
const MIDDLE_ROOT = 9;
const LITTLE_ROOT = 17;
/** Roots and tips of index, middle, ring and little finger; the thumb may lie as it likes. */
const FINGERS = [
  { root: 5, tip: 8 },
  { root: 9, tip: 12 },
  { root: 13, tip: 16 },
  { root: 17, tip: 20 },
] as const;
export const LANDMARK_COUNT = 21;

/** Length of the shorter pair of sides of the region of interest, pixels of the image. */
export function sidePxOf(corners: Quad): number {
  const { across, along } = sidesOf(corners);
  return Math.min(across, along);
}

/** How far the region is from a square: 1 a square, less as it is tilted away about either axis. */
export function squarenessOf(corners: Quad): number {
  const { across, along } = sidesOf(corners);
  return Math.min(across, along) / Math.max(across, along);
}

function sidesOf([a, b, c, d]: Quad) {
  return { across: (distance(a, b) + distance(d, c)) / 2, along: (distance(a, d) + distance(b, c)) / 2 };
}

/** Share of the region that lies inside the image. */
export function insideShareOf(corners: Quad, width: number, height: number): number {
  let inside: readonly Point[] = corners;
  inside = clipped(inside, ({ x }) => x);
  inside = clipped(inside, ({ x }) => width - x);
  inside = clipped(inside, ({ y }) => y);
  inside = clipped(inside, ({ y }) => height - y);
  return areaOf(inside) / areaOf(corners);
}

/** The part of a polygon where `depth` is not negative (Sutherland and Hodgman, 1974). */
function clipped(polygon: readonly Point[], depth: (point: Point) => number): Point[] {
  const kept: Point[] = [];
  for (const [i, end] of polygon.entries()) {
    const start = polygon.at(i - 1) ?? end;
    const [from, to] = [depth(start), depth(end)];
    if (from < 0 !== to < 0) {
      const share = from / (from - to);
      kept.push({ x: start.x + share * (end.x - start.x), y: start.y + share * (end.y - start.y) });
    }
    if (to >= 0) kept.push(end);
  }
  return kept;
}

function areaOf(polygon: readonly Point[]): number {
  let twice = 0;
  for (const [i, end] of polygon.entries()) {
    const start = polygon.at(i - 1) ?? end;
    twice += start.x * end.y - end.x * start.y;
  }
  return Math.abs(twice) / 2;
}

/** Breadth of the row of finger roots over the length from wrist to middle root, both as seen. */
export function palmAspectOf(landmarks: readonly Point[]): number {
  const { along, across } = palmAxes(landmarks);
  return across / along;
}

function palmAxes(landmarks: readonly Point[]) {
  const wrist = at(landmarks, WRIST);
  const middle = at(landmarks, MIDDLE_ROOT);
  const along = distance(wrist, middle);
  const [index, little] = [at(landmarks, INDEX_ROOT), at(landmarks, LITTLE_ROOT)];
  // Across the palm's own axis, for the row of roots runs aslant.
  const across =
    Math.abs((index.x - little.x) * (middle.y - wrist.y) - (index.y - little.y) * (middle.x - wrist.x)) /
    along;
  return { along, across };
}

/** How far the least stretched finger's tip is from the wrist, in distances of its root from the wrist: 1 and less in a fist. */
export function reachOf(landmarks: readonly Point[]): number {
  const wrist = at(landmarks, WRIST);
  return Math.min(
    ...FINGERS.map(
      ({ root, tip }) => distance(wrist, at(landmarks, tip)) / distance(wrist, at(landmarks, root)),
    ),
  );
}

/** Smallest distance of neighbouring fingertips, in distances of index root and little root. */
export function spreadOf(landmarks: readonly Point[]): number {
  const breadth = distance(at(landmarks, INDEX_ROOT), at(landmarks, LITTLE_ROOT));
  const tips = FINGERS.map(({ tip }) => at(landmarks, tip));
  return Math.min(...tips.slice(1).map((tip, i) => distance(tip, at(tips, i)))) / breadth;
}

/** Mean way of the corners from one image to the next, in sides of the region. */
export function shiftOf(corners: Quad, before: Quad): number {
  const ways = corners.map((corner, i) => distance(corner, at(before, i)));
  return ways.reduce((sum, way) => sum + way, 0) / ways.length / sidePxOf(corners);
}

const distance = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);
const at = (points: readonly Point[], index: number) => points[index] as Point;
