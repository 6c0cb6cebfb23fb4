// Whole hands for `palmgate bench roi`: found and cut as a lane does, with what that cost.
//
// Invariants: every image stands for itself: nothing of the one before is used; it is searched for, then followed until
// the crop is steady, as a lane's stream is. Pixels that are no longer needed are zeroed.
import { readHandFile } from "../edge-agent/source/hand-file.js";
import {
  cutRoi,
  type FindResult,
  HandFinder,
  type HandImage,
  type HandNetworks,
  judge,
  type NotFound,
  type Quad,
} from "../palm/hand/index.js";
import type { GreyImage } from "../palm/index.js";
import { UsageError } from "../wire/config.js";
import { CONTEXT_SCALE, CONTEXT_SIDE_PX, type Levelled, levelled } from "./roi-register.js";

export interface Cut {
  corners: Quad;
  roi: GreyImage;
  /** The crop with a margin, levelled, to be registered. */
  context: Levelled;
  /** Would a lane send it: the judge's floor. */
  sent: boolean;
}

export interface Seen {
  cut?: Cut;
  notFound?: NotFound;
  /** CPU of the whole process for one frame of a stream: find, cut and judge. */
  cpuMs?: { search: number; track?: number };
}

/** @throws UsageError when the file is no image */
export async function lookAt(file: string, networks: HandNetworks): Promise<Seen> {
  const read = await readHandFile(file);
  if (!read.ok) throw new UsageError(`${read.why}. Replace or remove this image.`);
  const { image } = read;
  const finder = new HandFinder(networks);
  const found = await finder.findStill(image);
  const seen: Seen = found.ok ? { cut: cutOf(image, found) } : { notFound: found.reason };
  if (found.ok) seen.cpuMs = await timed(finder, image);
  image.pixels.fill(0);
  return seen;
}

/** A frame that is searched and the next, which is tracked if it can be: the code is warm by now, as in a stream. */
async function timed(finder: HandFinder, image: HandImage): Promise<NonNullable<Seen["cpuMs"]>> {
  const search = await cpuMsOf(finder, image);
  const track = await cpuMsOf(finder, image);
  return { search: search.cpuMs, ...(track.path === "TRACKED" && { track: track.cpuMs }) };
}

async function cpuMsOf(finder: HandFinder, image: HandImage) {
  const before = process.cpuUsage();
  const found = await finder.find(image);
  // As HandSight does: what a search finds is followed before anything is cut.
  if (found.ok && found.hand.path !== "SEARCHED") judge(image, found.hand, cutRoi(image, found.hand.corners));
  const { user, system } = process.cpuUsage(before);
  return { cpuMs: (user + system) / 1000, path: found.ok ? found.hand.path : undefined };
}

function cutOf(image: HandImage, { hand }: FindResult & { ok: true }): Cut {
  const roi = cutRoi(image, hand.corners);
  const context = cutRoi(image, grown(hand.corners, CONTEXT_SCALE), CONTEXT_SIDE_PX);
  const { reason } = judge(image, hand, roi);
  return { corners: hand.corners, roi, context: levelled(context), sent: reason === "OK" };
}

/** About its middle. */
function grown(quad: Quad, scale: number): Quad {
  const x = quad.reduce((sum, each) => sum + each.x / 4, 0);
  const y = quad.reduce((sum, each) => sum + each.y / 4, 0);
  const [a, b, c, d] = quad;
  const away = (p: { x: number; y: number }) => ({ x: x + scale * (p.x - x), y: y + scale * (p.y - y) });
  return [away(a), away(b), away(c), away(d)];
}
