// Synthetic people who walk up to the lane, one after another and round again: person SEED, SEED + 1, ...
// Every presentation and every frame of it has another pose and another light.
// Not by palm/index.js: a lane needs no inference, and should not load it.
import { synthesiseIdentity } from "../../palm/synthetic/identity.js";
import { renderSample } from "../../palm/synthetic/render.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../../wire/limits.js";
import { greyImage, type PalmSource, palmOf } from "./source.js";

export interface SyntheticOptions {
  /** Of the first person. */
  seed: number;
  /** How many people there are. */
  palms: number;
}

export function openSyntheticSource({ seed, palms }: SyntheticOptions): PalmSource {
  let presentations = 0;
  return {
    next: async () => {
      const visit = presentations++;
      const person = seed + (visit % palms);
      const identity = synthesiseIdentity(person);
      return palmOf(`synthetic ${person}`, MAX_FRAMES_PER_PRESENTATION, (frame) =>
        greyImage(renderSample(identity, { seed: sampleSeed(visit, frame) })),
      );
    },
  };
}

/** Far from the small seeds that enrolments use, so that no frame repeats an enrolled capture. */
const FIRST_SAMPLE_SEED = 1_000_000;

const sampleSeed = (visit: number, frame: number): number =>
  FIRST_SAMPLE_SEED + visit * MAX_FRAMES_PER_PRESENTATION + frame;
