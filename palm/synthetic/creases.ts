// Drawing the creases of a made-up palm: how much each spot is darkened.
import type { Crease, Point } from "./identity.js";

/** A line's profile is drawn out to so many standard deviations. */
const PROFILE_REACH = 2.5;
/** Distance of two points drawn on a curve, pixels. */
const STEP_PX = 0.8;
/** Steps of BELL for one standard deviation. */
const BELL_STEPS = 256;
const BELL = Float64Array.from({ length: PROFILE_REACH * BELL_STEPS + 2 }, (_, i) =>
  Math.exp(-((i / BELL_STEPS) ** 2) / 2),
);

/** Unit square -> pixels. */
export type Place = (point: Point) => Point;

/** A square picture of depths: 0 is bare skin, 0.4 is 40 % darker. */
export class CreaseMap {
  readonly depths: Float32Array;
  readonly #sidePx: number;
  /** Scratch of #stamp: nothing is kept in it from one call to the next. */
  readonly #profile: Float64Array;

  constructor(sidePx: number) {
    this.#sidePx = sidePx;
    this.depths = new Float32Array(sidePx * sidePx);
    this.#profile = new Float64Array(sidePx);
  }

  /** @param unitPx side of the unit square, pixels; @param fade share of the crease's depth */
  draw(crease: Crease, place: Place, unitPx: number, fade: number): void {
    const [a, b, c, d] = crease.points.map(place) as [Point, Point, Point, Point];
    const length = distance(a, b) + distance(b, c) + distance(c, d);
    const steps = Math.max(2, Math.ceil(length / STEP_PX));
    for (let step = 0; step <= steps; step++) {
      const t = step / steps;
      const taper = Math.sqrt(Math.min(1, 6 * t, 6 * (1 - t)));
      const u = 1 - t;
      // Products, for a third power is a slow call.
      const [p, q, r, s] = [u * u * u, 3 * t * u * u, 3 * t * t * u, t * t * t];
      const x = p * a.x + q * b.x + r * c.x + s * d.x;
      const y = p * a.y + q * b.y + r * c.y + s * d.y;
      this.#stamp(x, y, unitPx * crease.width * (0.5 + 0.5 * taper), crease.depth * fade * taper);
    }
  }

  /** Darkens a round spot; where lines cross, the deeper one shows. */
  #stamp(x: number, y: number, widthPx: number, depth: number): void {
    const [depths, profile, side] = [this.depths, this.#profile, this.#sidePx];
    const reach = PROFILE_REACH * widthPx;
    const fromY = Math.max(0, Math.ceil(y - reach));
    const toY = Math.min(side - 1, Math.floor(y + reach));
    const fromX = Math.max(0, Math.ceil(x - reach));
    const toX = Math.min(side - 1, Math.floor(x + reach));
    const perWidth = BELL_STEPS / widthPx;
    // A round Gaussian is the product of its profiles: one value for each row and column, not for each pixel.
    for (let px = fromX; px <= toX; px++) profile[px] = bell(px - x, perWidth);
    for (let py = fromY; py <= toY; py++) {
      const row = py * side;
      const depthHere = depth * bell(py - y, perWidth);
      for (let px = fromX; px <= toX; px++) {
        const value = depthHere * (profile[px] as number);
        if (value > (depths[row + px] as number)) depths[row + px] = value;
      }
    }
  }
}

const distance = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);

/** Gaussian from a table: exact to a fifth of a grey value, and many times faster than Math.exp. */
const bell = (distancePx: number, perWidth: number) =>
  BELL[Math.round(Math.abs(distancePx * perWidth))] as number;
