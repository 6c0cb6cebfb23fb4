// One look at a made-up palm: pose, light, sensor. Identity in, 128 x 128 grey region of interest out.
import type { GreyImage } from "../image.js";
import { CreaseMap, type Place } from "./creases.js";
import type { PalmIdentity } from "./identity.js";
import { type Random, seededRandom } from "./random.js";

/** How far looks at one palm differ; every number is the largest deviation, or a standard deviation where it says so. */
export interface Variation {
  rotationDegrees: number;
  /** 0.04: from 0.96 to 1.04. */
  scale: number;
  /** Share of the square's side. */
  shift: number;
  /** Change of brightness from edge to edge, share of grey. */
  gradient: number;
  /** Change of overall brightness, share of grey. */
  exposure: number;
  /** How much a single crease fades or shows, share of its depth. */
  creaseFade: number;
  /** Standard deviation of the sensor's noise, grey values. */
  noise: number;
}

/** What a reader with a guided hand leaves over after the region of interest is cut. */
export const GUIDED_HAND: Readonly<Variation> = {
  rotationDegrees: 2,
  scale: 0.02,
  shift: 0.015,
  gradient: 0.25,
  exposure: 0.2,
  creaseFade: 0.3,
  noise: 4,
};

export interface SampleOptions {
  /** Another seed is another look at the same palm. */
  seed: number;
  variation?: Readonly<Variation>;
}

const SIDE_PX = 128;
/** Side of a cell of the relief, pixels. */
const CELL_PX = 4;
const RELIEF_SIDE = SIDE_PX / CELL_PX;

/** Renders one sample; a millisecond or two. */
export function renderSample(identity: PalmIdentity, options: SampleOptions): GreyImage {
  const variation = options.variation ?? GUIDED_HAND;
  const random = seededRandom(identity.seed, options.seed, 0x5a3b1e);
  const place = pose(variation, random);
  const creases = new CreaseMap(SIDE_PX);
  for (const crease of identity.creases) {
    creases.draw(crease, place, SIDE_PX, 1 + variation.creaseFade * random.between(-1, 1));
  }
  const { depths } = creases;
  const skin = identity.skin * (1 + variation.exposure * random.between(-1, 1));
  const tilt = random.between(0, 2 * Math.PI);
  const slope = variation.gradient * random.next();
  const [slopeX, slopeY] = [slope * Math.cos(tilt), slope * Math.sin(tilt)];
  const relief = drawMounds(identity, place);
  // Rounds and clamps by itself.
  const pixels = new Uint8ClampedArray(SIDE_PX * SIDE_PX);
  for (let y = 0; y < SIDE_PX; y++) {
    const row = 1 + slopeY * (y / SIDE_PX - 0.5);
    const cells = Math.floor(y / CELL_PX) * RELIEF_SIDE;
    for (let x = 0; x < SIDE_PX; x++) {
      const at = y * SIDE_PX + x;
      const height = relief[cells + Math.floor(x / CELL_PX)] as number;
      const light = row + slopeX * (x / SIDE_PX - 0.5) + height;
      pixels[at] = skin * light * (1 - (depths[at] as number)) + variation.noise * random.normal();
    }
  }
  return { width: SIDE_PX, height: SIDE_PX, pixels: new Uint8Array(pixels.buffer) };
}

/** Unit square -> pixels, turned, scaled and shifted about the middle. */
function pose({ rotationDegrees, scale, shift }: Variation, random: Random): Place {
  const angle = (random.between(-rotationDegrees, rotationDegrees) * Math.PI) / 180;
  const size = SIDE_PX * (1 + random.between(-scale, scale));
  const [cos, sin] = [Math.cos(angle) * size, Math.sin(angle) * size];
  const dx = SIDE_PX * (0.5 + random.between(-shift, shift));
  const dy = SIDE_PX * (0.5 + random.between(-shift, shift));
  return ({ x, y }) => ({
    x: cos * (x - 0.5) - sin * (y - 0.5) + dx,
    y: sin * (x - 0.5) + cos * (y - 0.5) + dy,
  });
}

/** Soft relief of the palm, computed on a coarse grid: it has no detail. [RELIEF_SIDE * RELIEF_SIDE] */
function drawMounds({ mounds }: PalmIdentity, place: Place): Float32Array {
  const relief = new Float32Array(RELIEF_SIDE * RELIEF_SIDE);
  for (const { centre, radius, height } of mounds) {
    const middle = place(centre);
    const across = bellCurve(middle.x, radius * SIDE_PX);
    const down = bellCurve(middle.y, radius * SIDE_PX);
    for (let at = 0; at < relief.length; at++) {
      const bell = (across[at % RELIEF_SIDE] as number) * (down[Math.floor(at / RELIEF_SIDE)] as number);
      relief[at] = (relief[at] as number) + height * bell;
    }
  }
  return relief;
}

/** A Gaussian at the cells of the relief, 1 at the middle. */
const bellCurve = (middlePx: number, radiusPx: number) =>
  Float64Array.from({ length: RELIEF_SIDE }, (_, cell) =>
    Math.exp(-((cell * CELL_PX - middlePx) ** 2) / (2 * radiusPx ** 2)),
  );
