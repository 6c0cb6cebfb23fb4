import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contourHand } from "../../../palm/hand/contour.js";
import { roiOf } from "../../../palm/hand/roi.js";
import type { HandImage, Point, Quad } from "../../../palm/hand/types.js";
import { drawn } from "../support.js";

/**
 * Of a left palm, fingers up; unit: breadth of the finger roots. Thick strokes: wrist, palm and fingers as capsules of
 * (x, y), (x, y), radius, like a hand before a sensor.
 */
const STROKES: readonly (readonly [number, number, number, number, number])[] = [
  // Palm.
  [0.03, 0.42, 0.04, 0.6, 0.7],
  [-0.42, 0.06, -0.02, -0.03, 0.34],
  [-0.02, -0.03, 0.38, 0.09, 0.34],
  // Arm.
  [0.1, 1.1, 0.12, 3.2, 0.45],
  // Index to little finger.
  [-0.6, -0.05, -0.95, -1.25, 0.16],
  [-0.21, -0.1, -0.28, -1.6, 0.16],
  [0.17, -0.1, 0.3, -1.5, 0.16],
  [0.55, 0.05, 0.95, -1.05, 0.15],
  // Thumb.
  [-0.45, 0.8, -1.35, 0.25, 0.2],
];
/** Where the fingers' roots and the other landmarks of roi.ts are in this drawing. */
const LANDMARKS: Readonly<Record<number, readonly [number, number]>> = {
  0: [0.23, 1.31],
  1: [-0.31, 1.19],
  2: [-0.77, 0.81],
  5: [-0.5, 0],
  9: [-0.17, -0.13],
  13: [0.16, -0.12],
  17: [0.5, 0],
};

interface Pose {
  side: "LEFT" | "RIGHT";
  x: number;
  y: number;
  turn: number;
  /** Pixels of one breadth. */
  scale: number;
}

const toHand = ({ side, x, y, turn, scale }: Pose, at: Point): Point => {
  const [dx, dy] = [(at.x - x) / scale, (at.y - y) / scale];
  const [right, down] = [
    Math.cos(turn) * dx + Math.sin(turn) * dy,
    Math.cos(turn) * dy - Math.sin(turn) * dx,
  ];
  return { x: side === "LEFT" ? right : -right, y: down };
};
const toImage = ({ side, x, y, turn, scale }: Pose, [right, down]: readonly [number, number]): Point => {
  const across = side === "LEFT" ? right : -right;
  return {
    x: x + scale * (Math.cos(turn) * across - Math.sin(turn) * down),
    y: y + scale * (Math.sin(turn) * across + Math.cos(turn) * down),
  };
};

function isSkin({ x, y }: Point): boolean {
  return STROKES.some(([ax, ay, bx, by, radius]) => {
    const [dx, dy] = [bx - ax, by - ay];
    const length = dx * dx + dy * dy;
    const share = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length));
    return Math.hypot(x - ax - share * dx, y - ay - share * dy) < radius;
  });
}

/** Bright skin on a dark ground, both uneven. */
function photographed(pose: Pose, width = 480, height = 360): HandImage {
  const image = drawn(width, height, (x, y) =>
    isSkin(toHand(pose, { x: x + 0.5, y: y + 0.5 }))
      ? 100 + ((x * 7 + y * 3) % 23)
      : 12 + ((x * 5 + y * 11) % 9),
  );
  return { ...image, channels: 1 };
}

const truth = (pose: Pose): Quad => {
  const points = Array.from({ length: 21 }, (_, i) => toImage(pose, LANDMARKS[i] ?? [0, 0]));
  return roiOf(points) ?? expect.unreachable("the drawing has a region of interest");
};

/** Root mean square way of the corners, in sides of the region. */
function missOf(found: Quad, pose: Pose): number {
  const expected = truth(pose);
  const side = Math.hypot(expected[1].x - expected[0].x, expected[1].y - expected[0].y);
  const ways = found.map(({ x, y }, i) => Math.hypot(x - (expected[i]?.x ?? 0), y - (expected[i]?.y ?? 0)));
  return Math.hypot(...ways) / 2 / side;
}

const MIDDLE: Pose = { side: "LEFT", x: 240, y: 170, turn: 0, scale: 90 };

describe("a hand on a plain dark ground, by its contour", () => {
  it("is found where the landmarks would have it, either hand, turned any way", () => {
    fc.assert(
      fc.property(
        fc.record({
          side: fc.constantFrom("LEFT" as const, "RIGHT" as const),
          x: fc.double({ min: 230, max: 250, noNaN: true }),
          y: fc.double({ min: 170, max: 190, noNaN: true }),
          turn: fc.double({ min: 0, max: 2 * Math.PI, noNaN: true }),
          scale: fc.double({ min: 70, max: 90, noNaN: true }),
        }),
        (pose) => {
          const found = contourHand(photographed(pose));
          if (!found.ok) throw new Error(found.reason);
          expect(found.hand).toMatchObject({ side: pose.side, path: "CONTOUR", landmarks: [] });
          expect(found.hand.presence).toBeGreaterThan(0.5);
          // The drawing is a crude hand; what matters is that it is the same place each time.
          expect(missOf(found.hand.corners, pose)).toBeLessThan(0.09);
        },
      ),
      { numRuns: 15 },
    );
  });

  it("gives the same crop, however the hand lies and however large it is", () => {
    const misses = [0, 0.7, 2, 3.5, 5].map((turn, i) => {
      const pose: Pose = { ...MIDDLE, y: 180, turn, scale: 70 + 5 * i };
      const found = contourHand(photographed(pose));
      if (!found.ok) throw new Error(found.reason);
      return found.hand.corners.map((corner) => toHand(pose, corner));
    });
    for (const corners of misses) {
      for (const [i, { x, y }] of corners.entries()) {
        const first = misses[0]?.[i];
        expect(Math.hypot(x - (first?.x ?? Number.NaN), y - (first?.y ?? Number.NaN))).toBeLessThan(0.06);
      }
    }
  });

  it("needs no fingertips", () => {
    const pose = { ...MIDDLE, y: 105, scale: 100 };
    const found = contourHand(photographed(pose));
    if (!found.ok) throw new Error(found.reason);
    expect(missOf(found.hand.corners, pose)).toBeLessThan(0.09);
  });

  it("is not undone by a bright window beside it", () => {
    const image = photographed(MIDDLE);
    for (let y = 0; y < 60; y++) image.pixels.fill(255, y * image.width, y * image.width + 40);
    expect(contourHand(image)).toMatchObject({ ok: true, hand: { side: "LEFT" } });
  });

  it("says that a palm lies partly outside", () => {
    const found = contourHand(photographed({ ...MIDDLE, y: 330 }));
    expect(found).toEqual({ ok: false, reason: "PARTLY_OUTSIDE" });
  });

  const disc = (x: number, y: number) => (Math.hypot(x - 240, y - 180) < 120 ? 140 : 10);
  const star = (x: number, y: number) => {
    const [dx, dy] = [x - 240, y - 180];
    return Math.hypot(dx, dy) < 100 + 60 * Math.cos(7 * Math.atan2(dy, dx)) ? 140 : 10;
  };
  const fork = (x: number, y: number) => (y > 180 || Math.floor(x / 30) % 2 === 0 ? 140 : 10);
  it.each<[string, HandImage]>([
    ["black", { ...drawn(480, 360, () => 0), channels: 1 }],
    ["white", { ...drawn(480, 360, () => 255), channels: 1 }],
    ["a slope", { ...drawn(480, 360, (x) => x / 2), channels: 1 }],
    ["noise", { ...drawn(480, 360, (x, y) => ((x * 7919 + y * 104729) % 251) * ((x ^ y) % 2)), channels: 1 }],
    ["a disc", { ...drawn(480, 360, disc), channels: 1 }],
    ["a star", { ...drawn(480, 360, star), channels: 1 }],
    ["one pixel", { ...drawn(1, 1, () => 9), channels: 1 }],
    ["a line", { ...drawn(4096, 1, (x) => (x > 2000 ? 200 : 0)), channels: 1 }],
  ])("finds no hand in %s", (_, image) => {
    expect(contourHand(image)).toEqual({ ok: false, reason: "NO_HAND" });
  });

  it("takes no fork for a hand, though it has what looks like fingers", () => {
    expect(contourHand({ ...drawn(480, 360, fork), channels: 1 }).ok).toBe(false);
  });

  it("finds no hand without its thumb, for it might be either", () => {
    const thumbless = photographed(MIDDLE);
    for (let y = 0; y < 360; y++) {
      for (let x = 0; x < 480; x++) {
        const { x: right, y: down } = toHand(MIDDLE, { x, y });
        if (right < -0.72 && down > -0.3) thumbless.pixels[y * 480 + x] = 12;
      }
    }
    expect(contourHand(thumbless)).toEqual({ ok: false, reason: "NO_HAND" });
  });
});
