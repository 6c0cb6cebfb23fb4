// What `palmgate bench quality` looks at: crops from a folder or made up, each found and judged as a lane or a gateway
// would.
//
// Invariants: the gallery is each palm's first session, the probes are all later ones (accuracy-data.ts).
import type { HandImage } from "../palm/hand/types.js";
import { assessQuality, type GreyImage, renderSample, synthesiseIdentity } from "../palm/index.js";
import { type PalmFile, readPalm, readPalmFolder } from "./accuracy-data.js";
import { type Degradation, LIGHT_AND_LENS } from "./degrade.js";

export interface Sample {
  palm: number;
  load(): Promise<HandImage>;
}

export interface Samples {
  palms: number;
  gallery: readonly Sample[];
  probes: readonly Sample[];
  /** Those that make sense for these images. */
  degradations: readonly Degradation[];
  /** @returns the region of interest with its score, and its side in the image; undefined when no palm is found */
  look(image: HandImage): Promise<{ roi: GreyImage; score: number; sidePx: number } | undefined>;
  close(): Promise<void>;
}

/** Made-up palms, apart from the demo's and the tests' people. */
const SYNTHETIC = { firstSeed: 70_000_000, templates: 2, probes: 4 };

/** @param data a folder, or how many palms to make up @throws UsageError that says what the folder lacks */
export async function openCrops(data: string | number): Promise<Samples> {
  const { palms, gallery, probes } = typeof data === "number" ? synthetic(data) : await folder(data);
  const look = async (roi: GreyImage) => ({ roi, score: assessQuality(roi).score, sidePx: roi.width });
  return { palms, gallery, probes, degradations: LIGHT_AND_LENS, look, close: async () => {} };
}

async function folder(data: string) {
  const { palms, gallery, probes } = await readPalmFolder(data);
  const sample = (file: PalmFile): Sample => ({
    palm: file.palm,
    load: async () => ({ ...(await readPalm(file)), channels: 1 }),
  });
  return { palms, gallery: gallery.map(sample), probes: probes.map(sample) };
}

function synthetic(palms: number) {
  const { firstSeed, templates, probes } = SYNTHETIC;
  const looks = (from: number, count: number): Sample[] =>
    Array.from({ length: palms * count }, (_, i) => {
      const palm = Math.floor(i / count);
      const identity = synthesiseIdentity(firstSeed + palm);
      return {
        palm,
        load: async () => ({ ...renderSample(identity, { seed: from + (i % count) }), channels: 1 }),
      };
    });
  return { palms, gallery: looks(0, templates), probes: looks(templates, probes) };
}
