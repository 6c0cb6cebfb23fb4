// Straight maps of the plane onto itself, and those that lay one set of points on another with least squares. Pure.
import type { Point } from "./types.js";

export interface Pair {
  from: Point;
  to: Point;
  /** Above 0. */
  weight: number;
}

/** (x, y) -> (xx x + xy y + dx, yx x + yy y + dy) */
export interface PlaneMap {
  xx: number;
  xy: number;
  yx: number;
  yy: number;
  dx: number;
  dy: number;
}

/**
 * Turn, scale and shift alone (Umeyama, "Least-squares estimation of transformation parameters between two point
 * patterns", 1991; in the plane it needs no matrices).
 * @returns undefined when all points of one side lie on one spot, or a number is none
 */
export function fitSimilarity(pairs: readonly Pair[]): PlaneMap | undefined {
  const { from, to, fromXX, fromYY, xx, xy, yx, yy } = momentsOf(pairs);
  const spread = fromXX + fromYY;
  const [cos, sin] = [(xx + yy) / spread, (yx - xy) / spread];
  return sound(through(from, to, { xx: cos, xy: -sin, yx: sin, yy: cos }));
}

/** Lengths and angles may change too. @returns undefined when all points lie on one line, or a number is none */
export function fitAffine(pairs: readonly Pair[]): PlaneMap | undefined {
  const { from, to, fromXX, fromXY, fromYY, xx, xy, yx, yy } = momentsOf(pairs);
  const area = fromXX * fromYY - fromXY * fromXY;
  return sound(
    through(from, to, {
      xx: (xx * fromYY - xy * fromXY) / area,
      xy: (xy * fromXX - xx * fromXY) / area,
      yx: (yx * fromYY - yy * fromXY) / area,
      yy: (yy * fromXX - yx * fromXY) / area,
    }),
  );
}

/** Between two maps: 0 the first, 1 the second. */
export function between(a: PlaneMap, b: PlaneMap, share: number): PlaneMap {
  const mix = (from: number, to: number) => from + share * (to - from);
  return {
    xx: mix(a.xx, b.xx),
    xy: mix(a.xy, b.xy),
    yx: mix(a.yx, b.yx),
    yy: mix(a.yy, b.yy),
    dx: mix(a.dx, b.dx),
    dy: mix(a.dy, b.dy),
  };
}

export const apply = ({ xx, xy, yx, yy, dx, dy }: PlaneMap, { x, y }: Point): Point => ({
  x: xx * x + xy * y + dx,
  y: yx * x + yy * y + dy,
});

/** The point that `apply` brings here. */
export function unapply({ xx, xy, yx, yy, dx, dy }: PlaneMap, { x, y }: Point): Point {
  const area = xx * yy - xy * yx;
  return {
    x: (yy * (x - dx) - xy * (y - dy)) / area,
    y: (xx * (y - dy) - yx * (x - dx)) / area,
  };
}

/** How many times as long things become; of a map that stretches, in the geometric mean. */
export const scaleOf = ({ xx, xy, yx, yy }: PlaneMap) => Math.sqrt(Math.abs(xx * yy - xy * yx));

/** Weighted means, and sums of products about them. */
function momentsOf(pairs: readonly Pair[]) {
  const total = pairs.reduce((sum, { weight }) => sum + weight, 0);
  const mean = (pick: (pair: Pair) => number) =>
    pairs.reduce((sum, pair) => sum + (pair.weight / total) * pick(pair), 0);
  const from = { x: mean((pair) => pair.from.x), y: mean((pair) => pair.from.y) };
  const to = { x: mean((pair) => pair.to.x), y: mean((pair) => pair.to.y) };
  const moments = { from, to, fromXX: 0, fromXY: 0, fromYY: 0, xx: 0, xy: 0, yx: 0, yy: 0 };
  for (const pair of pairs) {
    const [ax, ay] = [pair.from.x - from.x, pair.from.y - from.y];
    const [bx, by] = [pair.to.x - to.x, pair.to.y - to.y];
    moments.fromXX += pair.weight * ax * ax;
    moments.fromXY += pair.weight * ax * ay;
    moments.fromYY += pair.weight * ay * ay;
    moments.xx += pair.weight * bx * ax;
    moments.xy += pair.weight * bx * ay;
    moments.yx += pair.weight * by * ax;
    moments.yy += pair.weight * by * ay;
  }
  return moments;
}

/** Shifted so that it brings `from` to `to`. */
function through(from: Point, to: Point, turn: Omit<PlaneMap, "dx" | "dy">): PlaneMap {
  const { x, y } = apply({ ...turn, dx: 0, dy: 0 }, from);
  return { ...turn, dx: to.x - x, dy: to.y - y };
}

/** Written so that what is no number is refused. */
function sound(map: PlaneMap): PlaneMap | undefined {
  const scale = scaleOf(map);
  return scale > 0 && scale < Number.POSITIVE_INFINITY ? map : undefined;
}
