// Finds the hand in image after image: searched for with the palm detector, then followed by its landmarks.
//
// One image costs one landmark run, and one detector run when the hand must be searched. What a search finds is rough:
// the landmark network sees the hand as the detector guessed it. The next image (or the same once more) is cut out by
// these landmarks, and only that crop is steady: see FoundHand.path.
//
// Invariants:
// - a found palm is one open hand, seen from its palm, its region of interest inside the image; anything else is named;
// - images are checked before anything is made of their size;
// - nothing of an image is kept but where the hand was; `forget` drops that too.
import { contourHand } from "./contour.js";
import { type DetectorView, detectPalms, type PalmBox } from "./detector.js";
import { type Landmarks, landmarksIn, squareAroundHand, squareAroundPalm } from "./landmarks.js";
import { insideShareOf, reachOf } from "./measures.js";
import type { TurnedSquare } from "./resample.js";
import { roiOf, sideOf } from "./roi.js";
import type { FindResult, FoundHand, HandImage, HandNetworks, NotFound, Point } from "./types.js";

export const MIN_IMAGE_SIDE_PX = 64;
export const MAX_IMAGE_SIDE_PX = 4096;
/** Of the detector: real palms have 0.9 and more. */
const MIN_PALM_SCORE = 0.5;
/** Another palm as clear as this is a second hand. */
const MIN_SECOND_SCORE = 0.7;
const MAX_PALMS = 2;
const DETECTED = { minScore: MIN_PALM_SCORE, maxPalms: MAX_PALMS };
/** As an image is, first of all. */
const UPRIGHT: DetectorView = { turnRad: 0, scale: 1 };
/** A palm that the detector does not see one way it often sees another way: each search that sees none tries the next. */
const VIEWS: readonly DetectorView[] = [
  UPRIGHT,
  { turnRad: Math.PI / 2, scale: 1.25 },
  { turnRad: -Math.PI / 2, scale: 1 },
  { turnRad: Math.PI / 4, scale: 1.25 },
];
/** Of the landmark network; hands have 0.99, other things next to nothing. */
const MIN_PRESENCE = 0.6;
/** The detector is sometimes wrong about which way is up: then the square is turned, another way at each try. */
const TURNS_RAD = [0, Math.PI / 2, Math.PI, -Math.PI / 2] as const;
/** While it follows a hand it looks for a second one every so many images. */
const SECOND_HAND_EVERY_IMAGES = 8;
/** Fingertips nearer to the wrist than this many lengths of the palm are a fist. */
const CLOSED_REACH = 1.15;
/** Less of the region than this inside the image is no palm. */
const MIN_INSIDE_SHARE = 0.9;
/**
 * The network must be as sure as this that it sees the other hand's palm. With the fingertips in the image palms have up
 * to 0.53 and backs 0.93 and more; without them one person's palms had 0.94, backs 0.96 and more.
 */
const BACK_CERTAINTY = { tipsSeen: 0.85, tipsUnseen: 0.95 };
const MIN_TIPS_SEEN = 3;
/** Enough for every way of searching and for following, and an end for images that show nothing. */
const MAX_FINDS_OF_A_STILL = 8;
const STEADY_AFTER_FOLLOWS = 2;

export class HandFinder {
  readonly #networks: HandNetworks;
  /** Where the hand should be in the next image. */
  #square: TurnedSquare | undefined;
  #turn = 0;
  #imagesSinceCount = 0;
  /** In a row; decides the view. */
  #searchesWithoutPalm = 0;

  constructor(networks: HandNetworks) {
    this.#networks = networks;
  }

  /** Nothing of the images before is used any more. */
  forget(): void {
    this.#square = undefined;
    this.#turn = 0;
    this.#searchesWithoutPalm = 0;
  }

  /** One at a time; images of one camera in their order. */
  async find(image: HandImage): Promise<FindResult> {
    if (!isSound(image)) return { ok: false, reason: "BAD_IMAGE" };
    const square = this.#square;
    if (!square) return this.#search(image);
    this.#imagesSinceCount += 1;
    if (
      this.#imagesSinceCount >= SECOND_HAND_EVERY_IMAGES &&
      (await this.#detect(image, UPRIGHT)).length > 1
    ) {
      this.forget();
      return { ok: false, reason: "TWO_HANDS" };
    }
    return this.#landmarks(image, square, "TRACKED");
  }

  /**
   * An image that stands for itself, looked at as if it were a stream of itself: searched for in every way, then followed
   * until it is steady. Takes as long as several images, and leaves nothing for the next.
   */
  async findStill(image: HandImage): Promise<FindResult> {
    this.forget();
    let found = await this.find(image);
    let follows = 0;
    for (let finds = 1; finds < MAX_FINDS_OF_A_STILL && mayImprove(found, follows); finds++) {
      found = await this.find(image);
      if (found.ok && found.hand.path === "TRACKED") follows += 1;
    }
    this.forget();
    return found;
  }

  async #search(image: HandImage): Promise<FindResult> {
    const view = VIEWS[this.#searchesWithoutPalm % VIEWS.length] ?? UPRIGHT;
    const [palm, second] = await this.#detect(image, view);
    if (!palm) {
      this.#searchesWithoutPalm += 1;
      // An outline cannot tell a back: it is asked only when the networks had every chance to.
      return this.#searchesWithoutPalm < VIEWS.length ? not("NO_HAND") : contourHand(image);
    }
    this.#searchesWithoutPalm = 0;
    if (second) return { ok: false, reason: "TWO_HANDS" };
    const square = squareAroundPalm(palm);
    const turned = { ...square, angleRad: square.angleRad + (TURNS_RAD[this.#turn] ?? 0) };
    // Turned about the palm, for the shift towards the fingers was a guess as well.
    return this.#landmarks(image, this.#turn === 0 ? square : { ...turned, centre: palm.centre }, "SEARCHED");
  }

  /** The clearest palm first; a second one only when it is clear too. */
  async #detect(image: HandImage, view: DetectorView): Promise<PalmBox[]> {
    this.#imagesSinceCount = 0;
    const palms = await detectPalms(this.#networks.palmDetection, image, view, DETECTED);
    return palms.filter(({ score }, rank) => rank === 0 || score >= MIN_SECOND_SCORE);
  }

  async #landmarks(
    image: HandImage,
    square: TurnedSquare,
    path: "SEARCHED" | "TRACKED",
  ): Promise<FindResult> {
    const found = await landmarksIn(this.#networks.handLandmarks, image, square);
    // Written so that a presence that is no number is none.
    if (!(found.presence >= MIN_PRESENCE)) {
      this.#square = undefined;
      if (path === "SEARCHED") this.#turn = (this.#turn + 1) % TURNS_RAD.length;
      return { ok: false, reason: "NO_HAND" };
    }
    this.#square = squareAroundHand(found.points);
    this.#turn = 0;
    return classified(image, found, path);
  }
}

function mayImprove(found: FindResult, follows: number): boolean {
  if (!found.ok) return found.reason !== "BAD_IMAGE" && found.reason !== "TWO_HANDS";
  return found.hand.path !== "CONTOUR" && follows < STEADY_AFTER_FOLLOWS;
}

/** A hand is there: is it a palm that can be cut out? */
function classified(image: HandImage, found: Landmarks, path: FoundHand["path"]): FindResult {
  const { points, presence } = found;
  const corners = roiOf(points);
  if (!corners) return not("NO_HAND");
  if (reachOf(points) < CLOSED_REACH) return not("HAND_CLOSED");
  if (showsBack(image, found)) return not("BACK_OF_HAND");
  if (insideShareOf(corners, image.width, image.height) < MIN_INSIDE_SHARE) return not("PARTLY_OUTSIDE");
  return { ok: true, hand: { side: sideOf(points), corners, landmarks: points, presence, path } };
}

const not = (reason: NotFound): FindResult => ({ ok: false, reason });

/**
 * The order of the fingers says which hand it is if this is its palm. The network says which hand it is by its looks.
 * When they differ it is a back. Of palms without fingertips the network is unsure; those of a back are also guessed to
 * lie behind their roots.
 */
function showsBack({ width, height }: HandImage, { points, depths, rightness }: Landmarks): boolean {
  const otherness = sideOf(points) === "RIGHT" ? 1 - rightness : rightness;
  const tips = TIPS.map((tip) => points[tip] as Point);
  const seen = tips.filter(({ x, y }) => x >= 0 && y >= 0 && x < width && y < height);
  if (seen.length >= MIN_TIPS_SEEN) return otherness >= BACK_CERTAINTY.tipsSeen;
  return otherness >= BACK_CERTAINTY.tipsUnseen && bendOf(depths) >= 0;
}

/** How far the fingertips are behind their roots, pixels; negative: towards the camera. */
function bendOf(depths: readonly number[]): number {
  const mean = (indices: readonly number[]) =>
    indices.reduce((sum, index) => sum + (depths[index] ?? 0), 0) / indices.length;
  return mean(TIPS) - mean(ROOTS);
}

const TIPS = [8, 12, 16, 20] as const;
const ROOTS = [5, 9, 13, 17] as const;

function isSound({ width, height, channels, pixels }: HandImage): boolean {
  return (
    isSide(width) &&
    isSide(height) &&
    (channels === 1 || channels === 3 || channels === 4) &&
    pixels.length === width * height * channels
  );
}

const isSide = (px: number) => Number.isInteger(px) && px >= MIN_IMAGE_SIDE_PX && px <= MAX_IMAGE_SIDE_PX;
