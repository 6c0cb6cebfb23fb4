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

/** Searched for once for each way up, then followed until the crop is steady: as HandSight looks at a still. */
const MAX_FINDS = 6;
const STEADY_AFTER_FOLLOWS = 2;

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
  /** CPU of the whole process for one frame, find, cut and judge; none where that path was not gone. */
  searchCpuMs: number[];
  trackCpuMs: number[];
}

/** @throws UsageError when the file is no image */
export async function lookAt(file: string, networks: HandNetworks): Promise<Seen> {
  const read = await readHandFile(file);
  if (!read.ok) throw new UsageError(`${read.why}. Replace or remove this image.`);
  const { image } = read;
  const finder = new HandFinder(networks);
  const seen: Seen = { searchCpuMs: [], trackCpuMs: [] };
  let found: FindResult = { ok: false, reason: "NO_HAND" };
  let follows = 0;
  for (let finds = 0; finds < MAX_FINDS && follows < STEADY_AFTER_FOLLOWS; finds++) {
    const before = process.cpuUsage();
    found = await finder.find(image);
    if (found.ok) judge(image, found.hand, cutRoi(image, found.hand.corners));
    const { user, system } = process.cpuUsage(before);
    const tracked = found.ok && found.hand.path === "TRACKED";
    if (tracked) follows++;
    (tracked ? seen.trackCpuMs : seen.searchCpuMs).push((user + system) / 1000);
    if (found.ok && found.hand.path === "CONTOUR") break;
  }
  if (found.ok) seen.cut = cutOf(image, found);
  else seen.notFound = found.reason;
  image.pixels.fill(0);
  return seen;
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
