// The policy's rules for one lane: its purpose's target from the site file, the model's calibration, who is known.
import { MAX_FRAMES_PER_PRESENTATION } from "../../wire/limits.js";
import type { Members } from "../seams.js";
import type { Device, SiteFile } from "../sites.js";
import type { PolicyRules } from "./policy.js";

/** A gallery grows one enrolment at a time, so the same few rates are asked for again and again. */
const MAX_REMEMBERED_RATES = 256;

export interface RulesDeps {
  site(): SiteFile;
  members: Pick<Members, "get">;
  similarityFor(falseMatchRate: number): number;
}

/** Rules by device; the site file is asked each time, so that a reread takes effect with the next decision. */
export function rulesBy({ site, members, similarityFor }: RulesDeps): (device: Device) => PolicyRules {
  return ({ purpose, gallery }) => {
    const { policy } = site();
    return {
      targetFpir: policy[purpose].targetFpir,
      ambiguityMargin: policy.ambiguityMargin,
      maxFrames: MAX_FRAMES_PER_PRESENTATION,
      similarityFor,
      isKnown: (member) => members.get(member)?.gallery === gallery,
    };
  };
}

/** The calibration's function with a bounded memory. */
export function remembered(similarityFor: (rate: number) => number): (rate: number) => number {
  const known = new Map<number, number>();
  return (rate) => {
    const before = known.get(rate);
    if (before !== undefined) return before;
    if (known.size >= MAX_REMEMBERED_RATES) known.clear();
    const similarity = similarityFor(rate);
    known.set(rate, similarity);
    return similarity;
  };
}
