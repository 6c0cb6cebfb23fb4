// The palm of an identity as a texture for shells: how much light each spot of skin returns, 1 for bare skin. Pure.
//
// It covers the skin square and the grid's margin: creases that leave the square run out, and wrinkles of their own
// fill the margin, so that no edge shows. Identities are drawn as right palms; a left hand's texture is mirrored.
import type { HandSide } from "../../hand/types.js";
import { CreaseMap } from "../creases.js";
import type { Crease, PalmIdentity, Point } from "../identity.js";
import { type Random, seededRandom } from "../random.js";
import { GRID_MARGIN } from "./shell.js";

/** Side of the skin square in the texture, pixels: about what a camera sees of it. */
const UNIT_PX = 160;
const SIDE_PX = Math.round(UNIT_PX * (1 + 2 * GRID_MARGIN));
const MARGIN_WRINKLES = 60;
/** How strongly the soft relief shows, share of its height: the shell has its own light. */
const RELIEF = 0.5;

export interface PalmTexture {
  sidePx: number;
  /** Share of the light that comes back, row by row; x and y of the texture are u and v. */
  values: Float32Array;
}

export function palmTexture(identity: PalmIdentity, side: HandSide): PalmTexture {
  const random = seededRandom(identity.seed, 0x7e47);
  const creases = new CreaseMap(SIDE_PX);
  const place = ({ x, y }: Point): Point => ({
    x: ((side === "LEFT" ? 1 - x : x) + GRID_MARGIN) * UNIT_PX - 0.5,
    y: (y + GRID_MARGIN) * UNIT_PX - 0.5,
  });
  for (const crease of identity.creases) creases.draw(crease, place, UNIT_PX, 1);
  for (const wrinkle of marginWrinkles(random)) creases.draw(wrinkle, place, UNIT_PX, 1);
  const values = creases.depths.map((depth) => 1 - depth);
  for (const { centre, radius, height } of identity.mounds) {
    const middle = place(centre);
    const bell = (middlePx: number) =>
      Float32Array.from({ length: SIDE_PX }, (_, i) =>
        Math.exp(-((i - middlePx) ** 2) / (2 * (radius * UNIT_PX) ** 2)),
      );
    const [across, down] = [bell(middle.x), bell(middle.y)];
    for (let i = 0; i < values.length; i++) {
      const lift = (across[i % SIDE_PX] as number) * (down[Math.floor(i / SIDE_PX)] as number);
      values[i] = (values[i] as number) * (1 + RELIEF * height * lift);
    }
  }
  return { sidePx: SIDE_PX, values };
}

/** Short fine lines around the square. */
function marginWrinkles(random: Random): Crease[] {
  const wrinkles: Crease[] = [];
  while (wrinkles.length < MARGIN_WRINKLES) {
    const middle = {
      x: random.between(-GRID_MARGIN, 1 + GRID_MARGIN),
      y: random.between(-GRID_MARGIN, 1 + GRID_MARGIN),
    };
    const angle = random.between(0, Math.PI);
    const half = random.between(0.02, 0.1);
    const bow = 0.02 * random.normal();
    const look = { width: random.between(0.004, 0.008), depth: random.between(0.05, 0.15) };
    if (Math.max(Math.abs(middle.x - 0.5), Math.abs(middle.y - 0.5)) < 0.52) continue;
    const at = (along: number, aside: number): Point => ({
      x: middle.x + Math.cos(angle) * along - Math.sin(angle) * aside,
      y: middle.y + Math.sin(angle) * along + Math.cos(angle) * aside,
    });
    wrinkles.push({ points: [at(-half, 0), at(-half / 3, bow), at(half / 3, bow), at(half, 0)], ...look });
  }
  return wrinkles;
}
