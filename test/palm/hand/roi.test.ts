import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { squarenessOf } from "../../../palm/hand/measures.js";
import { roiOf, sideOf } from "../../../palm/hand/roi.js";
import type { Point, Quad } from "../../../palm/hand/types.js";
import { drawnHand } from "./drawn-hand.js";

const HAND = drawnHand().landmarks;
const roi = (points: readonly Point[]): Quad => roiOf(points) ?? expect.unreachable("no region of interest");

/** The drawn hand's proportions are not the mean palm's. */
const MAX_LEAN_RAD = 0.2;

const middle = (quad: Quad): Point => ({
  x: quad.reduce((sum, { x }) => sum + x / 4, 0),
  y: quad.reduce((sum, { y }) => sum + y / 4, 0),
});
const lengthOverBreadth = ([a, b, c, d]: Quad) =>
  (Math.hypot(d.x - a.x, d.y - a.y) + Math.hypot(c.x - b.x, c.y - b.y)) /
  (Math.hypot(b.x - a.x, b.y - a.y) + Math.hypot(c.x - d.x, c.y - d.y));
const sideOfQuad = ([a, b]: Quad) => Math.hypot(b.x - a.x, b.y - a.y);
const farthest = (a: Quad, b: Quad) =>
  Math.max(...a.map(({ x, y }, i) => Math.hypot(x - (b[i]?.x ?? Number.NaN), y - (b[i]?.y ?? Number.NaN))));

const finite = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const similarity = fc
  .record({ turn: finite(-4, 4), scale: finite(0.1, 8), dx: finite(-2000, 2000), dy: finite(-2000, 2000) })
  .map(
    ({ turn, scale, dx, dy }) =>
      ({ x, y }: Point): Point => ({
        x: scale * (Math.cos(turn) * x - Math.sin(turn) * y) + dx,
        y: scale * (Math.sin(turn) * x + Math.cos(turn) * y) + dy,
      }),
  );
const mapQuad = ([a, b, c, d]: Quad, by: (point: Point) => Point): Quad => [by(a), by(b), by(c), by(d)];

describe("the region of interest of landmarks", () => {
  it("is nearly a square inside the palm, between the finger roots and the wrist, fingers up", () => {
    const quad = roi(HAND);
    const [a, b, c, d] = quad;
    const lean = Math.atan2(a.x - d.x, d.y - a.y);
    expect(Math.abs(lean)).toBeLessThan(MAX_LEAN_RAD);
    expect(a.x).toBeLessThan(b.x);
    expect(squarenessOf(quad)).toBeGreaterThan(0.85);
    const [wrist, middleRoot] = [HAND[0] as Point, HAND[9] as Point];
    expect(Math.min(a.y, b.y)).toBeGreaterThan(middleRoot.y);
    expect(Math.max(c.y, d.y)).toBeLessThan(wrist.y);
  });

  it("follows most of the way when the palm is tilted and seems shorter, or narrower", () => {
    const [flat, short, narrow] = [{}, { length: 0.75 }, { breadth: 0.75 }].map((placed) =>
      lengthOverBreadth(roi(drawnHand(placed).landmarks)),
    ) as [number, number, number];
    expect(short / flat).toBeGreaterThan(0.75);
    expect(short / flat).toBeLessThan(0.85);
    expect(flat / narrow).toBeGreaterThan(0.75);
    expect(flat / narrow).toBeLessThan(0.85);
  });

  it("goes with the hand: turned, moved and scaled alike", () => {
    fc.assert(
      fc.property(similarity, (by) => {
        const expected = mapQuad(roi(HAND), by);
        expect(farthest(roi(HAND.map(by)), expected)).toBeLessThan(1e-6 * (1 + sideOfQuad(expected)));
      }),
    );
  });

  it("mirrors with the hand, corners staying where they are in the crop", () => {
    const mirrored = ({ x, y }: Point) => ({ x: -x, y });
    const [a, b, c, d] = mapQuad(roi(HAND), mirrored);
    expect(farthest(roi(HAND.map(mirrored)), [b, a, d, c])).toBeLessThan(1e-6);
    expect(sideOf(HAND)).toBe("LEFT");
    expect(sideOf(HAND.map(mirrored))).toBe("RIGHT");
  });

  it("does not care how the fingers are spread or bent", () => {
    expect(farthest(roi(drawnHand({ stretch: 0.4 }).landmarks), roi(HAND))).toBeLessThan(1e-6);
  });

  it("moves by a third of what one bad landmark is off, at the most", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 2, 5, 9, 13, 17),
        finite(0, 2 * Math.PI),
        finite(0, 20),
        (which, towards, offPx) => {
          const bad = HAND.map(({ x, y }, i) =>
            i === which ? { x: x + offPx * Math.cos(towards), y: y + offPx * Math.sin(towards) } : { x, y },
          );
          const [was, is] = [middle(roi(HAND)), middle(roi(bad))];
          expect(Math.hypot(is.x - was.x, is.y - was.y)).toBeLessThanOrEqual(offPx / 3 + 1e-9);
        },
      ),
    );
  });

  it("is none when the landmarks are no hand", () => {
    expect(roiOf(HAND.map(() => ({ x: 5, y: 5 })))).toBeUndefined();
    expect(roiOf(HAND.map(({ x }) => ({ x, y: 2 * x })))).toBeUndefined();
    expect(roiOf(HAND.map(() => ({ x: Number.NaN, y: 1 })))).toBeUndefined();
    expect(roiOf(HAND.map(() => ({ x: Number.POSITIVE_INFINITY, y: 1 })))).toBeUndefined();
  });
});
