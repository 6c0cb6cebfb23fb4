// One who stands at the demo's lanes, whatever they are made of: ready-made crops (people.ts) or whole hands (hands.ts).
import type { Palm } from "../../edge-agent/source/source.js";
import type { GreyImage } from "../../palm/index.js";

export interface Person {
  label: string;
  /** Captures to enrol with; another attempt gives other captures as far as there are any. */
  enrolment(attempt: number): Promise<GreyImage[]>;
  /** Frames of this person's n-th presentation, n = 0, 1, 2 ..; repeats when a folder runs out of images. */
  presentation(n: number): Palm | Promise<Palm>;
}

export const ENROLMENT_SAMPLES = 3;
/** Sample seeds from here on are presentations; below are enrolments. */
export const PRESENTATION_SEED = 1000;
