// Where fingers part: the deep notches of a hand's outline, seen from the middle of its palm. Pure.
//
// Invariants: valleys come in the outline's order (clockwise on the screen); the notch of an outline that lies at the
// image's edge is none; at most MAX_VALLEYS, the deepest.
import type { Silhouette } from "./silhouette.js";
import type { Point } from "./types.js";

/** A notch is a valley when the outline goes out by this much on both sides, in radii of the palm. */
const MIN_DEPTH = 0.25;
/** Four fingers and a thumb have four, the wrist makes two more; the rest is sleeve, ring and table. */
export const MAX_VALLEYS = 12;
/** The outline this little farther out than its lowest point is the valley's floor, in radii of the palm. */
const FLOOR = 0.08;

/** @returns in outline order; sub-pixel, the middle of the valley's floor */
export function valleysOf({ centre, radiusPx, outline, atEdge }: Silhouette): Point[] {
  const reach = outline.map(({ x, y }) => Math.hypot(x - centre.x, y - centre.y) / radiusPx);
  const lowest = notches(reach).filter((at) => !atEdge[at]);
  const kept = lowest
    .sort((a, b) => (reach[a] as number) - (reach[b] as number))
    .slice(0, MAX_VALLEYS)
    .sort((a, b) => a - b);
  return kept.map((at) => floorOf(outline, reach, at));
}

/** Indices of the lowest points between rises of MIN_DEPTH on both sides, once around. */
function notches(reach: readonly number[]): number[] {
  const highest = reach.indexOf(Math.max(...reach));
  const found: number[] = [];
  let [low, high] = [highest, highest];
  let isFalling = true;
  for (let step = 1; step <= reach.length; step++) {
    const at = (highest + step) % reach.length;
    const here = reach[at] as number;
    if (here < (reach[low] as number)) low = at;
    if (here > (reach[high] as number)) high = at;
    if (isFalling && here > (reach[low] as number) + MIN_DEPTH) {
      found.push(low);
      [isFalling, high] = [false, at];
    } else if (!isFalling && here < (reach[high] as number) - MIN_DEPTH) {
      [isFalling, low] = [true, at];
    }
  }
  return found;
}

/** Mean of the outline's points near the lowest one that are nearly as low. */
function floorOf(outline: readonly Point[], reach: readonly number[], lowest: number): Point {
  const limit = (reach[lowest] as number) + FLOOR;
  const count = outline.length;
  const points = [outline[lowest] as Point];
  for (const way of [1, -1]) {
    for (let step = 1; step < count / 2; step++) {
      const at = (lowest + way * step + count) % count;
      if ((reach[at] as number) > limit) break;
      points.push(outline[at] as Point);
    }
  }
  return {
    x: points.reduce((sum, { x }) => sum + x, 0) / points.length,
    y: points.reduce((sum, { y }) => sum + y, 0) / points.length,
  };
}
