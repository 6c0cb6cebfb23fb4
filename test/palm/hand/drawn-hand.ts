// A flat open hand by numbers: where its landmarks and its region of interest lie, anyhow placed in an image.
import type { FoundHand, HandImage, Point } from "../../../palm/hand/types.js";

/** In palm lengths (wrist to middle root), from the wrist, y down: fingers point up. */
const LANDMARKS: readonly (readonly [number, number])[] = [
  [0, 0],
  [-0.3, -0.15],
  [-0.5, -0.4],
  [-0.65, -0.6],
  [-0.75, -0.8],
  [-0.3, -0.95],
  [-0.36, -1.35],
  [-0.39, -1.55],
  [-0.42, -1.78],
  [-0.05, -1],
  [-0.06, -1.45],
  [-0.06, -1.7],
  [-0.07, -1.95],
  [0.17, -0.93],
  [0.22, -1.33],
  [0.25, -1.57],
  [0.28, -1.8],
  [0.37, -0.8],
  [0.5, -1.08],
  [0.57, -1.25],
  [0.65, -1.42],
];
const CORNERS = [
  [-0.35, -0.85],
  [0.4, -0.85],
  [0.4, -0.1],
  [-0.35, -0.1],
] as const;
/** Middle of the region of interest. */
const MIDDLE = { x: 0.025, y: -0.475 };

export interface Placed {
  /** Where the middle of the region lies, pixels. */
  centre?: Point;
  /** Side of the region, pixels. */
  sidePx?: number;
  turnRad?: number;
  /** What tilting leaves of the hand's breadth and of its length, 0..1. */
  breadth?: number;
  length?: number;
  /** 1 stretched .. 0 with every fingertip at its root. */
  stretch?: number;
}

export const IMAGE: HandImage = { width: 640, height: 480, channels: 1, pixels: new Uint8Array(640 * 480) };

/** A right hand in the middle of IMAGE, unless told otherwise. */
export function drawnHand(placed: Placed = {}): FoundHand {
  const { stretch = 1 } = placed;
  const place = placing(placed);
  const points = LANDMARKS.map(([x, y], i) => {
    // Index root 5, its joints 6 to 8, middle root 9 and so on.
    const [rootX, rootY] = LANDMARKS[i < 5 ? i : i - ((i - 1) % 4)] ?? [x, y];
    return place(rootX + (x - rootX) * stretch, rootY + (y - rootY) * stretch);
  });
  const [a, b, c, d] = CORNERS;
  return {
    side: "RIGHT",
    corners: [place(...a), place(...b), place(...c), place(...d)],
    landmarks: points,
    presence: 1,
    path: "SEARCHED",
  };
}

function placing({
  centre = { x: 320, y: 300 },
  sidePx = 150,
  turnRad = 0,
  breadth = 1,
  length = 1,
}: Placed) {
  const scale = sidePx / 0.75;
  const [cos, sin] = [Math.cos(turnRad), Math.sin(turnRad)];
  return (x: number, y: number): Point => {
    const [right, down] = [(x - MIDDLE.x) * breadth * scale, (y - MIDDLE.y) * length * scale];
    return { x: centre.x + cos * right - sin * down, y: centre.y + sin * right + cos * down };
  };
}
