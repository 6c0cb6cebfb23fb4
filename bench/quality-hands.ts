// Whole hands for `palmgate bench quality`: found, cut and judged as a lane does, whatever the score.
//
// Invariants: every image stands for itself: nothing of the one before is used.
import { readHandFile } from "../edge-agent/source/hand-file.js";
import { cutRoi, HandFinder, type HandImage, judge } from "../palm/hand/index.js";
import { sidePxOf } from "../palm/hand/measures.js";
import { openNodeHandNetworks } from "../palm/hand/node-networks.js";
import { UsageError } from "../wire/config.js";
import { type PalmFile, readPalmFolder } from "./accuracy-data.js";
import { LIGHT_AND_LENS, PLACE } from "./degrade.js";
import type { Sample, Samples } from "./quality-data.js";

/** @throws UsageError that says what the folder lacks */
export async function openHands(data: string): Promise<Samples> {
  const { palms, gallery, probes } = await readPalmFolder(data);
  const networks = await openNodeHandNetworks();
  const finder = new HandFinder(networks);
  const look = async (image: HandImage) => {
    const found = await finder.findStill(image);
    if (!found.ok) return undefined;
    const { hand } = found;
    const roi = cutRoi(image, hand.corners);
    return { roi, score: judge(image, hand, roi).score, sidePx: sidePxOf(hand.corners) };
  };
  return {
    palms,
    gallery: gallery.map(sampleOf),
    probes: probes.map(sampleOf),
    degradations: [...LIGHT_AND_LENS, ...PLACE],
    look,
    close: async () => {
      await networks.palmDetection.close();
      await networks.handLandmarks.close();
    },
  };
}

const sampleOf = ({ file, palm }: PalmFile): Sample => ({
  palm,
  load: async () => {
    const read = await readHandFile(file);
    if (!read.ok) throw new UsageError(`${read.why}. Replace or remove this image.`);
    return read.image;
  },
});
