// What the finding of hands is about: images of whole hands, where the hand is in them, and why there is none.
//
// Coordinates: pixels, x to the right, y down; (0, 0) is the image's top left corner, so that the centre of the first
// pixel is (0.5, 0.5).

/** Row-major, channels interleaved: 1 grey, 3 RGB, 4 RGBA; pixels.length === width * height * channels. */
export interface HandImage {
  width: number;
  height: number;
  channels: 1 | 3 | 4;
  pixels: Uint8Array;
}

export interface Point {
  x: number;
  y: number;
}

/** Corners of the region of interest in the image: top left, top right, bottom right, bottom left of the crop, in which fingers point up. */
export type Quad = readonly [Point, Point, Point, Point];

export type HandSide = "LEFT" | "RIGHT";

/** A palm that can be cut out. */
export interface FoundHand {
  side: HandSide;
  corners: Quad;
  /** 21 points in MediaPipe's order (0 wrist, 5 9 13 17 finger roots, 4 8 12 16 20 fingertips); none from the contour path. */
  landmarks: readonly Point[];
  /** 0 .. 1, how sure the finder is that this is a hand. */
  presence: number;
  path: "SEARCHED" | "TRACKED" | "CONTOUR";
}

/** Why there is no palm to cut out. */
export type NotFound =
  | "NO_HAND"
  | "TWO_HANDS"
  | "BACK_OF_HAND"
  | "HAND_CLOSED"
  | "PARTLY_OUTSIDE"
  /** The image itself is not as declared, too small, or too large. */
  | "BAD_IMAGE";

export type FindResult = { ok: true; hand: FoundHand } | { ok: false; reason: NotFound };

/**
 * One network: float32 in, float32 out by output name. onnxruntime-node and onnxruntime-web both fit behind it.
 * The input is the caller's to zero after the run.
 */
export interface Network {
  run(input: Float32Array): Promise<Readonly<Record<string, Float32Array>>>;
  close(): Promise<void>;
}

export interface HandNetworks {
  /** RGB 0..1, NHWC. */
  palmDetection: Network;
  /** RGB 0..1, NHWC. */
  handLandmarks: Network;
}
