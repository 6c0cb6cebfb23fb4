// A crowd: many synthetic palms enrolled beside the palms of a folder, one picture each.

import type { TemplateIndex } from "../matcher/index/template-index.js";
import { openSignatureModel, templateCopyOf } from "../palm/index.js";
import { signSynthetic } from "./synthetic-signature.js";
import { ticker } from "./tick.js";

/** Seeds apart from the calibration's, the demo's and the tests' people. */
const FIRST_SEED = 70_000_000;

/** Adds so many palms to the index, under labels from `firstLabel` on. */
export async function addCrowd(
  index: TemplateIndex,
  firstLabel: number,
  palms: number,
  modelPath: string,
  say: (text: string) => void,
): Promise<void> {
  const model = await openSignatureModel(modelPath);
  const tick = ticker(say, "synthetic palms enrolled", palms);
  try {
    for (let i = 0; i < palms; i++) {
      index.add(firstLabel + i, templateCopyOf(await signSynthetic(model, FIRST_SEED + i)));
      tick();
    }
  } finally {
    await model.close();
  }
}
