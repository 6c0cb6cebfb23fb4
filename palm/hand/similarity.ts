// The turn, scale and shift that lay one set of points on another with least squares (Umeyama, "Least-squares estimation
// of transformation parameters between two point patterns", 1991; in the plane it needs no matrices). Pure.
import type { Point } from "./types.js";

export interface Pair {
  from: Point;
  to: Point;
  /** Above 0. */
  weight: number;
}

/** (x, y) -> (cos x - sin y + dx, sin x + cos y + dy); the scale is in cos and sin. */
export interface Similarity {
  cos: number;
  sin: number;
  dx: number;
  dy: number;
}

/** @returns undefined when all points of one side lie on one spot, or a number is none */
export function fitSimilarity(pairs: readonly Pair[]): Similarity | undefined {
  const total = pairs.reduce((sum, { weight }) => sum + weight, 0);
  const mean = (pick: (pair: Pair) => number) =>
    pairs.reduce((sum, pair) => sum + (pair.weight / total) * pick(pair), 0);
  const from = { x: mean((pair) => pair.from.x), y: mean((pair) => pair.from.y) };
  const to = { x: mean((pair) => pair.to.x), y: mean((pair) => pair.to.y) };
  let [spread, along, across] = [0, 0, 0];
  for (const pair of pairs) {
    const [ax, ay] = [pair.from.x - from.x, pair.from.y - from.y];
    const [bx, by] = [pair.to.x - to.x, pair.to.y - to.y];
    spread += pair.weight * (ax * ax + ay * ay);
    along += pair.weight * (ax * bx + ay * by);
    across += pair.weight * (ax * by - ay * bx);
  }
  const [cos, sin] = [along / spread, across / spread];
  const scale = Math.hypot(cos, sin);
  // Also refuses NaN.
  if (!(scale > 0 && scale < Number.POSITIVE_INFINITY)) return undefined;
  return { cos, sin, dx: to.x - cos * from.x + sin * from.y, dy: to.y - sin * from.x - cos * from.y };
}

export const apply = ({ cos, sin, dx, dy }: Similarity, { x, y }: Point): Point => ({
  x: cos * x - sin * y + dx,
  y: sin * x + cos * y + dy,
});

/** The point that `apply` brings here. */
export function unapply({ cos, sin, dx, dy }: Similarity, { x, y }: Point): Point {
  const square = cos * cos + sin * sin;
  return { x: (cos * (x - dx) + sin * (y - dy)) / square, y: (cos * (y - dy) - sin * (x - dx)) / square };
}
