// The way to a palm without fingertips: a hand close to a near-infrared sensor, bright before a plain dark background, its
// outline, and the three valleys between its fingers. The networks are not asked.
//
// The mean palm of roi.ts, with its valleys and the largest circle inside it, is laid on those of the silhouette: the
// valleys fix it, the circle's middle steadies its turn (along the palm the circle slides, so only across), and the
// circle's radius half of its scale, for spread fingers move the valleys apart. So this path and the landmarks' give the
// same crop. Which hand it is, the thumb tells.
//
// Invariants: a palm is found only when valleys, circle and thumb lie as on a hand; time is bounded by MAX_VALLEYS. An
// outline cannot tell a palm from a back: this path is for readers that see what lies on them, and it is taken only where
// the palm detector sees nothing.
import { insideShareOf } from "./measures.js";
import { apply, fitSimilarity, type Pair, type PlaneMap, scaleOf, unapply } from "./plane-map.js";
import { inFrameOf, squareOn } from "./roi.js";
import { type Silhouette, silhouetteOf } from "./silhouette.js";
import type { FindResult, HandImage, HandSide, Point } from "./types.js";
import { valleysOf } from "./valleys.js";

/** Of a left palm, fingers up, in the frame of MEAN_PALM: medians over hands that both paths found. */
const MEAN_VALLEYS = [
  { x: -0.406, y: -0.285 },
  { x: -0.023, y: -0.365 },
  { x: 0.371, y: -0.255 },
] as const;
const MEAN_CIRCLE = { x: 0.033, radius: 0.72 };
const CIRCLE_WEIGHT = 0.25;
/** The circle's place along the palm is what the fit says it is: found by fitting again. */
const FITS = 12;

/** All in units of the mean palm's breadth. Root mean square of the valleys' ways from where they should be. */
const MAX_VALLEY_MISS = 0.07;
/** How far off the palm's axis the circle may be, and how far below the finger roots. */
const MAX_CIRCLE_MISS = 0.12;
const [MIN_CIRCLE_Y, MAX_CIRCLE_Y] = [0.15, 0.95];
/** Radius of the circle over that of the mean palm, when the valleys give the scale. */
const [MIN_ROUND, MAX_ROUND] = [0.8, 1.25];
/** Beside the palm, where a thumb may lie and on the other side nothing does. */
const THUMB = { fromX: 0.85, toX: 1.3, fromY: 0, toY: 0.8, steps: 10 };
/** More of that place is hand on the thumb's side than on the other, as a share of it. */
const MIN_THUMB_SHARE = 0.1;
const MIN_INSIDE_SHARE = 0.9;

export function contourHand(image: HandImage): FindResult {
  const silhouette = silhouetteOf(image);
  const hand = silhouette && bestHand(silhouette, image);
  if (!hand) return { ok: false, reason: "NO_HAND" };
  const { side, place, miss, isInside } = hand;
  if (!isInside) return { ok: false, reason: "PARTLY_OUTSIDE" };
  const corners = squareOn(place);
  const presence = 1 - miss / (2 * MAX_VALLEY_MISS);
  return { ok: true, hand: { side, corners, landmarks: [], presence, path: "CONTOUR" } };
}

interface Candidate {
  side: HandSide;
  /** From the frame of the mean palm to the image. */
  place: PlaneMap;
  miss: number;
  /** Else only its valleys are known: the palm cannot be seen. */
  isInside: boolean;
}

/** Of all three valleys that lie as between fingers, those that lie most so; a palm that can be seen goes first. */
function bestHand(silhouette: Silhouette, image: HandImage): Candidate | undefined {
  const candidates = triplesOf(valleysOf(silhouette)).flatMap((three) =>
    (["LEFT", "RIGHT"] as const).flatMap((side) => candidateOf(three, side, silhouette, image) ?? []),
  );
  return candidates.sort((a, b) => Number(b.isInside) - Number(a.isInside) || a.miss - b.miss)[0];
}

type Triple = readonly [Point, Point, Point];

/** In the outline's order, which has no beginning. */
function triplesOf(valleys: readonly Point[]): Triple[] {
  const triples: Triple[] = [];
  for (const [i, a] of valleys.entries()) {
    for (const [j, b] of valleys.entries()) {
      if (j <= i) continue;
      for (const c of valleys.slice(j + 1)) triples.push([a, b, c], [b, c, a], [c, a, b]);
    }
  }
  return triples;
}

/** @returns undefined when these are not the valleys of such a hand */
function candidateOf(
  valleys: Triple,
  side: HandSide,
  silhouette: Silhouette,
  { width, height }: HandImage,
): Candidate | undefined {
  // Clockwise on the screen a left palm has its index finger first, a right palm its little finger.
  const ordered = side === "LEFT" ? valleys : valleys.toReversed();
  const pairs = MEAN_VALLEYS.map((valley, i) => ({
    from: inFrameOf(side, valley),
    to: ordered[i] as Point,
    weight: 1,
  }));
  const rough = fitSimilarity(pairs);
  if (!rough) return undefined;
  const misses = pairs.map(({ from, to }) => distance(from, unapply(rough, to)));
  const miss = Math.hypot(...misses) / Math.sqrt(misses.length);
  if (miss > MAX_VALLEY_MISS) return undefined;
  const isIn = (each: PlaneMap) => insideShareOf(squareOn(each), width, height) >= MIN_INSIDE_SHARE;
  if (!isIn(rough)) return { side, place: rough, miss, isInside: false };
  if (!isRound(rough, side, silhouette)) return undefined;
  const place = steadied(rough, pairs, side, silhouette);
  if (!place || thumbShare(place, side, silhouette) < MIN_THUMB_SHARE) return undefined;
  return { side, place, miss, isInside: isIn(place) };
}

function isRound(place: PlaneMap, side: HandSide, { centre, radiusPx }: Silhouette): boolean {
  const circle = inFrameOf(side, unapply(place, centre));
  const round = radiusPx / (scaleOf(place) * MEAN_CIRCLE.radius);
  return (
    Math.abs(circle.x - MEAN_CIRCLE.x) < MAX_CIRCLE_MISS &&
    circle.y > MIN_CIRCLE_Y &&
    circle.y < MAX_CIRCLE_Y &&
    round > MIN_ROUND &&
    round < MAX_ROUND
  );
}

/** The fit with the circle in it. */
function steadied(
  rough: PlaneMap,
  pairs: readonly Pair[],
  side: HandSide,
  { centre, radiusPx }: Silhouette,
): PlaneMap | undefined {
  let place: PlaneMap | undefined = rough;
  for (let fit = 0; fit < FITS && place; fit++) {
    const { y } = unapply(place, centre);
    const circle = { from: inFrameOf(side, { x: MEAN_CIRCLE.x, y }), to: centre, weight: CIRCLE_WEIGHT };
    place = fitSimilarity([...pairs, circle]);
  }
  if (!place) return undefined;
  const grow = Math.sqrt(radiusPx / (scaleOf(place) * MEAN_CIRCLE.radius));
  const middle = pairs.reduce(
    (sum, { to }) => ({ x: sum.x + to.x / pairs.length, y: sum.y + to.y / pairs.length }),
    { x: 0, y: 0 },
  );
  return grownAbout(place, middle, grow);
}

/** Scaled; what lies at `middle` stays there. */
function grownAbout({ xx, xy, yx, yy, dx, dy }: PlaneMap, middle: Point, by: number): PlaneMap {
  const grown = { xx: by * xx, xy: by * xy, yx: by * yx, yy: by * yy };
  return { ...grown, dx: middle.x + by * (dx - middle.x), dy: middle.y + by * (dy - middle.y) };
}

/** How much more of the place beside the palm is hand where the thumb should be than on the other side, -1 .. 1. */
function thumbShare(place: PlaneMap, side: HandSide, { isHand }: Silhouette): number {
  const { fromX, toX, fromY, toY, steps } = THUMB;
  let sum = 0;
  for (let i = 0; i < steps * steps; i++) {
    const x = fromX + ((toX - fromX) * ((i % steps) + 0.5)) / steps;
    const y = fromY + ((toY - fromY) * (Math.floor(i / steps) + 0.5)) / steps;
    sum += Number(isHand(apply(place, inFrameOf(side, { x: -x, y }))));
    sum -= Number(isHand(apply(place, inFrameOf(side, { x, y }))));
  }
  return sum / steps ** 2;
}

const distance = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);
