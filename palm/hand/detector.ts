// Finds palms in a whole image: the MediaPipe palm detector (an SSD with square anchors) and what is made of its output.
//
// The image is fitted into the network's square, black around it. Every anchor answers with a score, a box, and seven
// points (wrist, four finger roots, two of the thumb); boxes of one palm are averaged, weighted by score (Bazarevsky et
// al., "BlazeFace", 2019, and Zhang et al., "MediaPipe Hands: on-device real-time hand tracking", 2020).
//
// Invariants: the network's input is zeroed after the run; at most maxPalms boxes come out, the best first.
import { cropSquare, squareToImage, type TurnedSquare } from "./resample.js";
import type { HandImage, Network, Point } from "./types.js";

/** Side of the detector's input, pixels. */
export const DETECTOR_SIDE_PX = 160;
/** Anchor grids: cells are this many pixels wide, and each holds so many anchors. */
const GRIDS = [
  { stridePx: 8, anchors: 2 },
  { stridePx: 16, anchors: 6 },
] as const;
const POINTS = 7;
const VALUES = 4 + 2 * POINTS;
/** The network's logits beyond this are as good as certain. */
const MAX_LOGIT = 100;
/** Boxes overlapping more than this, intersection over union, are one palm. */
const SAME_PALM_OVERLAP = 0.3;
/** Boxes kept for averaging; more near one palm add nothing. */
const MAX_CANDIDATES = 64;

/** A palm in image pixels. */
export interface PalmBox {
  score: number;
  centre: Point;
  sidePx: number;
  /** 0 wrist, 1 index root, 2 middle root, 3 ring root, 4 little finger root, 5 thumb root, 6 thumb joint. */
  points: readonly Point[];
}

/** How the network is shown the image: turned, and with so much more around it than it needs. */
export interface DetectorView {
  turnRad: number;
  scale: number;
}

export interface DetectorLimits {
  /** 0 .. 1 */
  minScore: number;
  /** At most so many palms come out. */
  maxPalms: number;
}

/** The clearest palm first. */
export async function detectPalms(
  network: Network,
  image: HandImage,
  view: DetectorView,
  { minScore, maxPalms }: DetectorLimits,
): Promise<PalmBox[]> {
  const square = fitted(image, view);
  const input = new Float32Array(DETECTOR_SIDE_PX * DETECTOR_SIDE_PX * 3);
  try {
    cropSquare(image, square, DETECTOR_SIDE_PX, input);
    const { scores, boxes } = await network.run(input).then(checked);
    return merged(candidates(scores, boxes, minScore), maxPalms).map((box) => inImage(box, square));
  } finally {
    input.fill(0);
  }
}

/** The square that has the image in its middle. */
function fitted({ width, height }: HandImage, { turnRad, scale }: DetectorView): TurnedSquare {
  return {
    centre: { x: width / 2, y: height / 2 },
    sidePx: scale * Math.max(width, height),
    angleRad: turnRad,
  };
}

function checked(outputs: Readonly<Record<string, Float32Array>>) {
  const { scores, boxes } = outputs;
  const count = ANCHORS.length / 2;
  if (scores?.length !== count || boxes?.length !== count * VALUES) {
    throw new Error(`the palm detector must answer scores of ${count} and boxes of ${count} x ${VALUES}`);
  }
  return { scores, boxes };
}

/** Centres of all anchors in input pixels, x and y in turn, in the order of the network's output. */
const ANCHORS = (() => {
  const centres: number[] = [];
  for (const { stridePx, anchors } of GRIDS) {
    const cells = DETECTOR_SIDE_PX / stridePx;
    for (let y = 0; y < cells; y++) {
      for (let x = 0; x < cells; x++) {
        for (let i = 0; i < anchors; i++) centres.push((x + 0.5) * stridePx, (y + 0.5) * stridePx);
      }
    }
  }
  return Float32Array.from(centres);
})();

/** One anchor's answer in input pixels: score, then centre, size and points as the network orders them. */
interface Candidate {
  score: number;
  values: Float64Array;
}

function candidates(scores: Float32Array, boxes: Float32Array, minScore: number): Candidate[] {
  const found: Candidate[] = [];
  for (let i = 0; i < scores.length; i++) {
    const logit = Math.min(MAX_LOGIT, Math.max(-MAX_LOGIT, scores[i] as number));
    const score = 1 / (1 + Math.exp(-logit));
    // Written so that a score that is no number is left out.
    if (!(score >= minScore)) continue;
    const values = Float64Array.from(boxes.subarray(i * VALUES, (i + 1) * VALUES));
    for (let v = 0; v < VALUES; v++) {
      // Centre and points are offsets from the anchor; width and height (2, 3) are plain.
      if (v !== 2 && v !== 3) values[v] = (values[v] as number) + (ANCHORS[2 * i + (v % 2)] as number);
    }
    if (values.every(Number.isFinite)) found.push({ score, values });
  }
  return found.sort((a, b) => b.score - a.score).slice(0, MAX_CANDIDATES);
}

/** Weighted non-maximum suppression. */
function merged(sorted: Candidate[], maxPalms: number): Candidate[] {
  const palms: Candidate[] = [];
  let rest = sorted;
  while (rest.length > 0 && palms.length < maxPalms) {
    const best = rest[0] as Candidate;
    const same = rest.filter(
      (each) => each === best || overlap(best.values, each.values) > SAME_PALM_OVERLAP,
    );
    rest = rest.filter((each) => !same.includes(each));
    const values = new Float64Array(VALUES);
    const weight = same.reduce((sum, { score }) => sum + score, 0);
    for (const each of same) {
      for (let v = 0; v < VALUES; v++) {
        values[v] = (values[v] as number) + (each.score / weight) * (each.values[v] as number);
      }
    }
    palms.push({ score: best.score, values });
  }
  return palms;
}

/** Intersection over union of two boxes. */
function overlap(a: Float64Array, b: Float64Array): number {
  const along = (centre: number, size: number) => {
    const [ca, cb, sa, sb] = [a[centre], b[centre], a[size], b[size]] as [number, number, number, number];
    return Math.max(0, Math.min(ca + sa / 2, cb + sb / 2) - Math.max(ca - sa / 2, cb - sb / 2));
  };
  const common = along(0, 2) * along(1, 3);
  const area = (box: Float64Array) => (box[2] as number) * (box[3] as number);
  return common / (area(a) + area(b) - common);
}

function inImage({ score, values }: Candidate, square: TurnedSquare): PalmBox {
  const at = (v: number) =>
    squareToImage(square, DETECTOR_SIDE_PX, { x: values[v] as number, y: values[v + 1] as number });
  const sidePx = Math.max(values[2] as number, values[3] as number) * (square.sidePx / DETECTOR_SIDE_PX);
  return { score, centre: at(0), sidePx, points: Array.from({ length: POINTS }, (_, i) => at(4 + 2 * i)) };
}
