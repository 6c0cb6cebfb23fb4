// A hand as a child would draw it, with a synthetic palm for its skin: enough for finder, cutter and judge, so that a
// film can be shown to a page. (Rendered hands are palm/synthetic/hand's.)
import type { HandImage } from "../../palm/hand/types.js";
import { renderSample, synthesiseIdentity } from "../../palm/index.js";

const WIDTH_PX = 640;
const HEIGHT_PX = 480;
const BACKGROUND = [52, 58, 66] as const;
const SKIN = [214, 168, 142] as const;
/** The palm's square, upright, fingers up. */
const PALM = { left: 250, top: 235, sidePx: 150 };

/** Thick lines from the palm outwards: fingers, thumb, wrist. */
const LIMBS = [
  { from: [268, 260], to: [238, 90], radiusPx: 19 },
  { from: [304, 250], to: [296, 55], radiusPx: 20 },
  { from: [342, 250], to: [354, 70], radiusPx: 19 },
  { from: [378, 262], to: [412, 115], radiusPx: 16 },
  { from: [270, 360], to: [150, 240], radiusPx: 23 },
  { from: [325, 350], to: [325, 520], radiusPx: 62 },
] as const;

/** @param seed of the person @param sample of the image: another one is another moment of the same palm @param scale of the hand in the image */
export function drawnHand(seed: number, sample: number, scale = 1): HandImage {
  const skin = renderSample(synthesiseIdentity(seed), { seed: sample });
  const pixels = new Uint8Array(WIDTH_PX * HEIGHT_PX * 3);
  for (let row = 0; row < HEIGHT_PX; row++) {
    for (let column = 0; column < WIDTH_PX; column++) {
      const x = (column - WIDTH_PX / 2) / scale + WIDTH_PX / 2;
      const y = (row - HEIGHT_PX / 2) / scale + HEIGHT_PX / 2;
      const depth = Math.max(palmDepth(x, y), ...LIMBS.map((limb) => limbDepth(limb, x, y)));
      const shade = Math.min(1, 0.55 + 0.03 * depth) * textureAt(skin, x, y);
      for (let c = 0; c < 3; c++) {
        const ground = BACKGROUND[c] as number;
        const cover = Math.min(1, Math.max(0, depth));
        pixels[(row * WIDTH_PX + column) * 3 + c] =
          ground + cover * (Math.min(255, (SKIN[c] as number) * shade) - ground);
      }
    }
  }
  return { width: WIDTH_PX, height: HEIGHT_PX, channels: 3, pixels };
}

/** How deep inside a rounded square the point lies, pixels. */
function palmDepth(x: number, y: number): number {
  const half = PALM.sidePx / 2 + 12;
  const round = 45;
  const dx = Math.max(0, Math.abs(x - PALM.left - PALM.sidePx / 2) - half + round);
  const dy = Math.max(0, Math.abs(y - PALM.top - PALM.sidePx / 2) - half + round);
  return round - Math.hypot(dx, dy);
}

function limbDepth({ from, to, radiusPx }: (typeof LIMBS)[number], x: number, y: number): number {
  const [ax, ay] = from;
  const [dx, dy] = [to[0] - ax, to[1] - ay];
  const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return radiusPx - Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

/** The palm's lines as brightness, 1 in the middle of their range; mirrored beyond the square's edges. */
function textureAt(
  skin: { width: number; height: number; pixels: Uint8Array },
  x: number,
  y: number,
): number {
  const fold = (at: number) => {
    const u = Math.abs(at % 2);
    return u > 1 ? 2 - u : u;
  };
  const column = Math.min(skin.width - 1, Math.floor(fold((x - PALM.left) / PALM.sidePx) * skin.width));
  const row = Math.min(skin.height - 1, Math.floor(fold((y - PALM.top) / PALM.sidePx) * skin.height));
  return 0.45 + (skin.pixels[row * skin.width + column] as number) / 230;
}
