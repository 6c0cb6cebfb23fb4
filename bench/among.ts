// Probes among a crowd: how alike each is to the most alike of many synthetic palms.
//
// Invariant: one signature at a time is held, so the crowd may be as large as patience allows.
import { openSignatureModel } from "../palm/index.js";
import { dot } from "./dot.js";
import { signSynthetic } from "./synthetic-signature.js";
import { ticker } from "./tick.js";

/** Seeds apart from the calibration's, the demo's and the tests' people. */
const FIRST_SEED = 70_000_000;

/** @returns by probe, the highest similarity to any of `palms` synthetic palms, one picture each */
export async function mostAlikeOf(
  palms: number,
  modelPath: string,
  probes: readonly Float32Array[],
  say: (text: string) => void,
): Promise<Float32Array> {
  const best = new Float32Array(probes.length).fill(-1);
  const model = await openSignatureModel(modelPath);
  const tick = ticker(say, "synthetic palms signed and compared", palms);
  try {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + palms; seed++) {
      const signature = await signSynthetic(model, seed);
      for (const [at, probe] of probes.entries())
        best[at] = Math.max(best[at] as number, dot(probe, signature));
      tick();
    }
  } finally {
    await model.close();
  }
  return best;
}
