// What can be measured of a found palm from where its points lie. Pure; no thresholds, those are in judge.ts.
//
// Invariants: every measure is the same for the same hand turned, moved or scaled together with its image; points that
// are not numbers give NaN or 0, never an exception.
import type { Point, Quad } from "./types.js";

/** MediaPipe's order of landmarks. */
const WRIST = 0;
const INDEX_ROOT = 5;
const MIDDLE_ROOT = 9;
const RING_ROOT = 13;
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

/** How far the region is from a square, whichever way it leans: 1 a square, the cosine of the tilt of what is one. */
export function squarenessOf([a, b, c, d]: Quad): number {
  return roundnessOf({
    xx: (b.x - a.x + c.x - d.x) / 2,
    yx: (b.y - a.y + c.y - d.y) / 2,
    xy: (d.x - a.x + c.x - b.x) / 2,
    yy: (d.y - a.y + c.y - b.y) / 2,
  });
}

function sidesOf([a, b, c, d]: Quad) {
  return { across: (distance(a, b) + distance(d, c)) / 2, along: (distance(a, d) + distance(b, c)) / 2 };
}

/** What a linear map makes of (1, 0) and of (0, 1). */
interface LinearMap {
  xx: number;
  yx: number;
  xy: number;
  yy: number;
}

/** Smaller over larger singular value: how round a circle stays. */
function roundnessOf({ xx, yx, xy, yy }: LinearMap): number {
  const squares = xx * xx + yx * yx + xy * xy + yy * yy;
  const area = Math.abs(xx * yy - xy * yx);
  const largest = (squares + Math.sqrt(Math.max(0, squares * squares - 4 * area * area))) / 2;
  return area / largest;
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

/**
 * How far the palm's bones are from lying as in a flat hand, whichever way it is tilted: the affine map from a mean hand
 * to this one (least squares), its smaller over its larger singular value. Left hands are as good as right ones.
 */
export function flatnessOf(landmarks: readonly Point[]): number {
  const map: LinearMap = { xx: 0, yx: 0, xy: 0, yy: 0 };
  for (const { landmark, weight } of FLAT_PALM_FIT) {
    const { x, y } = at(landmarks, landmark);
    map.xx += weight.x * x;
    map.yx += weight.x * y;
    map.xy += weight.y * x;
    map.yy += weight.y * y;
  }
  return roundnessOf(map);
}

/** Wrist and finger roots in lengths from wrist to middle root: the joints of @webxr-input-profiles' generic hand. */
const FLAT_PALM = [
  { landmark: WRIST, x: 0, y: 0 },
  { landmark: INDEX_ROOT, x: -0.23, y: -0.97 },
  { landmark: MIDDLE_ROOT, x: 0, y: -1 },
  { landmark: RING_ROOT, x: 0.21, y: -0.92 },
  { landmark: LITTLE_ROOT, x: 0.41, y: -0.8 },
];

/** Weights of each landmark in the map's columns: the pseudo-inverse of FLAT_PALM about its mean. */
const FLAT_PALM_FIT = fitTo(FLAT_PALM);

function fitTo(points: readonly { landmark: number; x: number; y: number }[]) {
  const mean = (pick: (point: Point) => number) =>
    points.reduce((sum, each) => sum + pick(each), 0) / points.length;
  const [meanX, meanY] = [mean(({ x }) => x), mean(({ y }) => y)];
  const centred = points.map(({ landmark, x, y }) => ({ landmark, x: x - meanX, y: y - meanY }));
  let [xx, xy, yy] = [0, 0, 0];
  for (const { x, y } of centred) {
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  const determinant = xx * yy - xy * xy;
  return centred.map(({ landmark, x, y }) => ({
    landmark,
    weight: { x: (yy * x - xy * y) / determinant, y: (xx * y - xy * x) / determinant },
  }));
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
