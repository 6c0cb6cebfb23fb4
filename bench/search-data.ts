// The sets of vectors that `palmgate bench search` measures on, and the galleries drawn from them: those of signatures,
// without line maps, since an index knows of no others.
import { openSignatureModel, renderSample, synthesiseIdentity } from "../palm/index.js";
import { describe, fitSignatures, type SignatureSource, type Similarities } from "./drawn-signatures.js";
import type { Gallery, Probe } from "./search-measure.js";
import { randomUnit, unit } from "./seeded.js";

const SAMPLES_PER_IDENTITY = 3;
/** Capture noise of random vectors: mated similarity about 0.64, as a poor capture of a real palm. */
const RANDOM_NOISE = 0.75;

export interface NamedSource {
  source: SignatureSource;
  /** Exactly how it was made, for the report. */
  how: string;
  /** Dot products of the signatures that it was fitted to. */
  signed?: Similarities;
}

export interface DrawnOptions {
  model: string;
  fit: number;
  seed: number;
}

export async function drawnLikeReal(
  settings: DrawnOptions,
  say: (text: string) => void,
): Promise<NamedSource> {
  const model = await openSignatureModel(settings.model);
  const identities: Float32Array[][] = [];
  for (let i = 0; i < settings.fit; i++) {
    const identity = synthesiseIdentity(settings.seed * settings.fit + i);
    const captures: Float32Array[] = [];
    for (let s = 0; s < SAMPLES_PER_IDENTITY; s++) {
      const signature = await model.sign(renderSample(identity, { seed: s }));
      if (signature) captures.push(signature.vector);
    }
    if (captures.length === SAMPLES_PER_IDENTITY) identities.push(captures);
    if ((i + 1) % 200 === 0) say(`drawn: signed ${i + 1} of ${settings.fit} synthetic palms`);
  }
  await model.close();
  const how =
    `identities and captures drawn from two Gaussians with full covariance, fitted to ${SAMPLES_PER_IDENTITY} ` +
    `signatures (${model.modelId}) each of ${identities.length} synthetic palms`;
  return { source: fitSignatures(identities), how, signed: describe(identities) };
}

export function randomVectors(dimension: number): NamedSource {
  const source: SignatureSource = {
    dimension,
    identity: (random) => {
      const centre = randomUnit(random, dimension);
      const capture = () => {
        const noise = randomUnit(random, dimension);
        return unit(centre.map((each, i) => each + RANDOM_NOISE * (noise[i] ?? 0)));
      };
      return capture;
    },
  };
  const how = `identities uniform on the unit sphere of ${dimension} dimensions, captures moved by ${RANDOM_NOISE} at random`;
  return { source, how };
}

export const capturesOf = (
  source: SignatureSource,
  random: () => number,
  captures: number,
): Float32Array[] => {
  const capture = source.identity(random);
  return Array.from({ length: captures }, capture);
};

export function drawGallery(
  source: SignatureSource,
  random: () => number,
  memberCount: number,
  { templates, probes: probeCount }: { templates: number; probes: number },
): Gallery {
  const members: Float32Array[][] = [];
  const probes: Probe[] = [];
  const mated = Math.min(memberCount, Math.ceil(probeCount / 2));
  for (let i = 0; i < memberCount; i++) {
    const capture = source.identity(random);
    members.push(Array.from({ length: templates }, capture));
    if (i < mated) probes.push({ vector: capture(), mated: true });
  }
  while (probes.length < probeCount) probes.push({ vector: source.identity(random)(), mated: false });
  return { members, probes };
}
