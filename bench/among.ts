// Probes among a crowd: the nearest of many synthetic palms, and how alike they are.
//
// Invariant: of the crowd, only the nearest to a probe are held, so it may be as large as patience allows.
import { dot, openSignatureModel, type Signature, similarity, templateCopyOf } from "../palm/index.js";
import type { CrowdMember } from "./searched.js";
import { signSynthetic } from "./synthetic-signature.js";
import { ticker } from "./tick.js";

/** Seeds apart from the calibration's, the demo's and the tests' people. */
const FIRST_SEED = 70_000_000;

interface Near {
  nearness: number;
  template: Signature;
}

/** @returns by probe, the nearest `depth` of `palms` synthetic palms, one picture each */
export async function nearestOf(
  palms: number,
  depth: number,
  modelPath: string,
  probes: readonly Signature[],
  say: (text: string) => void,
): Promise<CrowdMember[][]> {
  const nearest: Near[][] = probes.map(() => []);
  const model = await openSignatureModel(modelPath);
  const tick = ticker(say, "synthetic palms signed", palms);
  try {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + palms; seed++) {
      const template = templateCopyOf(await signSynthetic(model, seed));
      for (const [at, probe] of probes.entries())
        keepNearest(nearest[at] as Near[], { nearness: dot(probe.vector, template.vector), template }, depth);
      tick();
    }
  } finally {
    await model.close();
  }
  return probes.map((probe, at) =>
    (nearest[at] as Near[]).map(({ nearness, template }) => ({
      nearness,
      similarity: similarity(probe, template),
    })),
  );
}

/** Sorted, the nearest first. */
function keepNearest(near: Near[], one: Near, depth: number): void {
  const last = near[depth - 1];
  if (last && last.nearness >= one.nearness) return;
  if (last) near.pop();
  const at = near.findIndex(({ nearness }) => nearness < one.nearness);
  near.splice(at < 0 ? near.length : at, 0, one);
}
