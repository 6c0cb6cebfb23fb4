// The signature of one picture of a synthetic palm; the seed is that of both.
import { renderSample, type Signature, type SignatureModel, synthesiseIdentity } from "../palm/index.js";

/** @throws Error when there is nothing to sign in it, which no drawn palm may come to */
export async function signSynthetic(model: SignatureModel, seed: number): Promise<Signature> {
  const signature = await model.sign(renderSample(synthesiseIdentity(seed), { seed }));
  if (!signature) throw new Error(`synthetic palm ${seed} has no structure`);
  return signature;
}
