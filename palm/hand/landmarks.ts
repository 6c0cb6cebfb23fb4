// The 21 landmarks of one hand in a turned square around it: the MediaPipe hand landmark network and its geometry.
//
// Where the square lies: around a detected palm (Zhang et al., "MediaPipe Hands", 2020: turned so that wrist to middle
// root points up, moved half a box towards the fingers, 2.6 times the box), or around the landmarks of the last frame.
//
// Invariants: the network's input is zeroed after the run, and so are its outputs.
import type { PalmBox } from "./detector.js";
import { cropSquare, squareToImage, type TurnedSquare } from "./resample.js";
import type { HandImage, Network, Point } from "./types.js";

/** Side of the landmark network's input, pixels. */
export const LANDMARK_SIDE_PX = 224;
export const LANDMARKS = 21;

const AROUND_PALM = { scale: 2.6, shift: 0.5 };
const AROUND_HAND = { scale: 2, shift: 0.1 };

export interface Landmarks {
  points: readonly Point[];
  /** Of each point, away from the camera, in pixels of the image; only differences mean something. */
  depths: readonly number[];
  /** 0 .. 1: is there a hand in the square. */
  presence: number;
  /** 0 .. 1: is it a right hand, seen from its palm, in an image that is not mirrored. */
  rightness: number;
}

export async function landmarksIn(
  network: Network,
  image: HandImage,
  square: TurnedSquare,
): Promise<Landmarks> {
  const input = new Float32Array(LANDMARK_SIDE_PX * LANDMARK_SIDE_PX * 3);
  try {
    cropSquare(image, square, LANDMARK_SIDE_PX, input);
    const { landmarks, presence, handedness } = await network.run(input);
    if (landmarks?.length !== 3 * LANDMARKS || presence?.length !== 1 || handedness?.length !== 1) {
      throw new Error(
        `the landmark network must answer landmarks of ${3 * LANDMARKS}, presence and handedness`,
      );
    }
    const points = Array.from({ length: LANDMARKS }, (_, i) => {
      const inSquare = { x: landmarks[3 * i] as number, y: landmarks[3 * i + 1] as number };
      return squareToImage(square, LANDMARK_SIDE_PX, inSquare);
    });
    const depthScale = square.sidePx / LANDMARK_SIDE_PX;
    const depths = points.map((_, i) => (landmarks[3 * i + 2] as number) * depthScale);
    return { points, depths, presence: presence[0] as number, rightness: handedness[0] as number };
  } finally {
    input.fill(0);
  }
}

export function squareAroundPalm({ centre, sidePx, points }: PalmBox): TurnedSquare {
  const angleRad = upAngle(points[0] as Point, points[2] as Point);
  return shifted(centre, sidePx, angleRad, AROUND_PALM);
}

/** The square for the next frame, from the finger joints of this one (fingertips move too much to steer by). */
export function squareAroundHand(points: readonly Point[]): TurnedSquare {
  const at = (i: number) => points[i] as Point;
  const roots = { x: (at(5).x + at(13).x) / 2, y: (at(5).y + at(13).y) / 2 };
  const knuckles = { x: (roots.x + at(9).x) / 2, y: (roots.y + at(9).y) / 2 };
  const angleRad = upAngle(at(0), knuckles);
  const [cos, sin] = [Math.cos(angleRad), Math.sin(angleRad)];
  const turned = STEERING.map(at).map(({ x, y }) => ({ x: cos * x + sin * y, y: cos * y - sin * x }));
  const range = (values: number[]) => [Math.min(...values), Math.max(...values)] as const;
  const [left, right] = range(turned.map(({ x }) => x));
  const [top, bottom] = range(turned.map(({ y }) => y));
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const centre = { x: cos * x - sin * y, y: sin * x + cos * y };
  return shifted(centre, Math.max(right - left, bottom - top), angleRad, AROUND_HAND);
}

/** Wrist, thumb's first joints, finger roots and middle joints. */
const STEERING = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18] as const;

/** How far clockwise the direction from `low` to `high` is turned from straight up. */
export function upAngle(low: Point, high: Point): number {
  return Math.atan2(high.x - low.x, low.y - high.y);
}

function shifted(
  centre: Point,
  sidePx: number,
  angleRad: number,
  by: { scale: number; shift: number },
): TurnedSquare {
  return {
    centre: {
      x: centre.x + Math.sin(angleRad) * by.shift * sidePx,
      y: centre.y - Math.cos(angleRad) * by.shift * sidePx,
    },
    sidePx: sidePx * by.scale,
    angleRad,
  };
}
