// `palmgate bench quality`: does the quality score predict matching? On a folder of palms, or on synthetic ones; with
// degraded copies of the probes, so that there is something bad to predict.
//
// Invariants: the threshold is that of the images as they are; every comparison has the quality of its worse image;
// the same folder gives the same report (seeded).
import { z } from "zod";
import { JUDGE_FLOOR } from "../palm/hand/judge.js";
import type { HandImage } from "../palm/hand/types.js";
import { openSignatureModel, type Signature, type SignatureModel, similarity } from "../palm/index.js";
import { helpText, readSettings, type Settings, UsageError, type Values } from "../wire/config.js";
import { type Degradation, degrade } from "./degrade.js";
import { projectFile } from "./project-file.js";
import { openCrops, type Sample, type Samples } from "./quality-data.js";
import {
  errorVersusDiscard,
  type JudgedComparison,
  qualityBins,
  rankCorrelation,
  thresholdOf,
} from "./quality-rates.js";
import { type QualityReport, qualityTable } from "./quality-table.js";
import { seeded } from "./seeded.js";

const SEED = 29794;
const SAY_EVERY_IMAGES = 50;

const SETTINGS = {
  data: {
    option: "data",
    value: "DIR",
    help: "palms: DIR/<palm>/<session>_<anything>.png (or .jpg, .bmp); without it, synthetic crops",
    schema: z.string().min(1).optional(),
  },
  hands: {
    option: "hands",
    help: "the images of --data are whole hands: found, cut and judged as a lane does",
    flag: true,
    schema: z.boolean().default(false),
  },
  palms: {
    option: "palms",
    value: "N",
    help: "without --data: synthetic palms",
    schema: z.coerce.number().int().min(2).max(1000).default(60),
  },
  degraded: {
    option: "degraded",
    value: "N",
    help: "degraded copies of each probe",
    schema: z.coerce.number().int().min(0).max(100).default(4),
  },
  fmr: {
    option: "fmr",
    value: "RATE",
    help: "false match rate at which misses are counted",
    schema: z.coerce.number().positive().max(0.5).default(1e-3),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature model",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  json: { option: "json", help: "one JSON object on stdout", flag: true, schema: z.boolean().default(false) },
} satisfies Settings;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText(
        "palmgate bench quality [--data DIR] [options]",
        "Similarity and misses of mated comparisons by quality score, and what is missed when the worst share is thrown\n" +
          "away. The first session of each palm is compared with all later ones.",
        SETTINGS,
      ),
    );
    return 0;
  }
  const settings = readSettings(SETTINGS, argv);
  const model = await openSignatureModel(settings.model).catch((error: Error) => {
    throw new UsageError(`--model: ${error.message}. Give a signature model (.onnx).`);
  });
  try {
    const samples = await openSamples(settings);
    const report = await measure(samples, model, settings).finally(() => samples.close());
    process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : qualityTable(report));
    return 0;
  } finally {
    await model.close();
  }
}

async function openSamples({ data, hands, palms }: Values<typeof SETTINGS>): Promise<Samples> {
  if (!hands) return openCrops(data ?? palms);
  if (data === undefined) throw new UsageError("--hands needs --data: a folder of images of whole hands.");
  // Only here, for it loads what crops do without.
  return (await import("./quality-hands.js")).openHands(data);
}

/** An image, found, judged and signed. */
interface Signed {
  palm: number;
  kind: Degradation | "none";
  score: number;
  signature: Signature;
}

async function measure(
  samples: Samples,
  model: SignatureModel,
  { data, degraded, fmr }: Values<typeof SETTINGS>,
): Promise<QualityReport> {
  const sign = signerOf(samples, model);
  const gallery = await sign(samples.gallery, 0);
  const probes = await sign(samples.probes, degraded);
  const nonMated = pairsOf(gallery.signed, probes.signed, false)
    .filter(({ probe }) => probe.kind === "none")
    .map(({ similarity }) => similarity);
  const threshold = thresholdOf(Float32Array.from(nonMated), fmr);
  const mated = pairsOf(gallery.signed, probes.signed, true);
  return {
    data: data ?? "synthetic",
    palms: samples.palms,
    matedPairs: mated.length,
    nonMatedPairs: nonMated.length,
    fmr,
    threshold,
    floor: JUDGE_FLOOR,
    rankCorrelation: rankCorrelation(mated),
    bins: qualityBins(mated, threshold),
    errorVersusDiscard: errorVersusDiscard(mated, threshold),
    kinds: [...probes.tried].map(([kind, images]) => ({
      kind,
      images,
      notFound: images - probes.signed.filter((each) => each.kind === kind).length,
      refused: probes.signed.filter((each) => each.kind === kind && each.score < JUDGE_FLOOR).length,
      ...missesOf(
        mated.filter(({ probe }) => probe.kind === kind),
        threshold,
      ),
    })),
  };
}

/** FNMR of what the floor lets through, and of what it holds back. */
function missesOf(mated: readonly JudgedComparison[], threshold: number) {
  const rate = (pairs: readonly JudgedComparison[]) =>
    pairs.length === 0
      ? null
      : pairs.filter(({ similarity }) => similarity < threshold).length / pairs.length;
  return {
    fnmrSent: rate(mated.filter(({ quality }) => quality >= JUDGE_FLOOR)),
    fnmrRefused: rate(mated.filter(({ quality }) => quality < JUDGE_FLOOR)),
  };
}

/** Every image as it is, then so many degraded copies of it. */
function signerOf(samples: Samples, model: SignatureModel) {
  return async (images: readonly Sample[], copies: number) => {
    const signed: Signed[] = [];
    const tried = new Map<Signed["kind"], number>();
    const add = async (image: HandImage, palm: number, kind: Signed["kind"]) => {
      tried.set(kind, (tried.get(kind) ?? 0) + 1);
      const look = await samples.look(image);
      if (!look) return undefined;
      const signature = await model.sign(look.roi);
      if (signature) signed.push({ palm, kind, score: look.score, signature });
      return look;
    };
    for (const [i, { palm, load }] of images.entries()) {
      const image = await load();
      const look = await add(image, palm, "none");
      const random = seeded(SEED + i);
      for (let copy = 0; look && copy < copies; copy++) {
        const kind = samples.degradations[Math.floor(random() * samples.degradations.length)] ?? "blur";
        await add(degrade(image, kind, random(), look.sidePx, random), palm, kind);
      }
      if ((i + 1) % SAY_EVERY_IMAGES === 0) say(`${i + 1} of ${images.length} images`);
    }
    return { signed, tried };
  };
}

function pairsOf(gallery: readonly Signed[], probes: readonly Signed[], isMated: boolean) {
  return probes.flatMap((probe) =>
    gallery
      .filter(({ palm }) => (palm === probe.palm) === isMated)
      .map((template) => ({
        probe,
        quality: Math.min(probe.score, template.score),
        similarity: similarity(probe.signature, template.signature),
      })),
  );
}

const say = (text: string) => process.stderr.write(`bench quality: ${text}\n`);
