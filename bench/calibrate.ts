// Makes model/calibration.json: counts how similar different synthetic palms are.
//
//   node dist/bench/calibrate.js [--identities N] [--others N] [--times N] [--out FILE]
//
// One sample of each palm probes those of so many palms before it, all compared by their line maps. A search compares only
// the nearest and passes the others by, so that of all templates it mistakes no larger share than is counted here; of those
// that it compares it may, for near ones are more alike: rates are per template searched, never per template compared.
// The tail is fitted to the most alike pairs (tail-fit.ts). No point is fitted to real palms. Pairs of real ones were seen to be alike less often than pairs of
// drawn ones, but few of them; what is stated is --times the counted rate. docs/accuracy/README.md shows both.
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  type Calibration,
  type CalibrationPoint,
  type CalibrationTail,
  openSignatureModel,
  type Signature,
  type SignatureModel,
  similarities,
  templateCopyOf,
} from "../palm/index.js";
import { helpText, readSettings, type Settings } from "../wire/config.js";
import { projectFile } from "./project-file.js";
import { RULE_OF_THREE } from "./rates.js";
import { signSynthetic } from "./synthetic-signature.js";
import { fitTail } from "./tail-fit.js";
import { ticker } from "./tick.js";

const SETTINGS = {
  identities: {
    option: "identities",
    value: "N",
    help: "synthetic palms",
    schema: z.coerce.number().int().min(100).max(100_000).default(20_000),
  },
  others: {
    option: "others",
    value: "N",
    help: "palms that each is compared with",
    schema: z.coerce.number().int().min(1).max(100_000).default(1000),
  },
  times: {
    option: "times",
    value: "N",
    help: "state so many times the counted rate: people are not drawn, a margin is due",
    schema: z.coerce.number().min(1).max(1000).default(3),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature network",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  out: {
    option: "out",
    value: "FILE",
    help: "where to write",
    schema: z.string().default(projectFile("model/calibration.json")),
  },
} as const satisfies Settings;

/** Seeds apart from the demo's and the tests' people. */
const FIRST_SEED = 50_000_000;
export const BINS = 20_000;
const POINTS_PER_DECADE = 2;
/** The tail is fitted to so many pairs at least: its shape's standard error is then below about 0.06. */
const MIN_TAIL_PAIRS = 500;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText(
        "node dist/bench/calibrate.js [options]",
        "Counts similarities of different synthetic palms and writes the calibration.",
        SETTINGS,
      ),
    );
    return 0;
  }
  const { identities, others, times, model: modelPath, out } = readSettings(SETTINGS, argv);
  const model = await openSignatureModel(modelPath);
  const { histogram, pairs } = await countPairs(model, identities, others);
  const counted = pointsOf(histogram, pairs);
  const calibration: Calibration = {
    modelId: model.modelId,
    source: `synthetic palms only: node dist/bench/calibrate.js --identities ${identities} --others ${others} --times ${times}`,
    identities,
    pairs,
    times,
    countedDownTo: (times * RULE_OF_THREE) / pairs,
    ...timesAsOften(times, { points: counted, ...tailOf(histogram, counted) }),
  };
  await writeFile(out, `${JSON.stringify(calibration, null, 2)}\n`);
  await model.close();
  process.stderr.write(`${out}\n`);
  return 0;
}

/** Similarities of each palm to the others before it, in BINS bins from -1 to 1. */
async function countPairs(
  model: SignatureModel,
  identities: number,
  others: number,
): Promise<{ histogram: Float64Array; pairs: number }> {
  const histogram = new Float64Array(BINS + 1);
  const templates: Signature[] = [];
  let pairs = 0;
  const tick = ticker(
    (text) => process.stderr.write(`calibrate: ${text}\n`),
    "palms signed and compared",
    identities,
  );
  for (let i = 0; i < identities; i++) {
    const probe = await signSynthetic(model, FIRST_SEED + i);
    for (const similarity of similarities(probe, templates)) {
      const bin = Math.floor(((similarity + 1) / 2) * BINS);
      histogram[bin] = (histogram[bin] as number) + 1;
    }
    pairs += templates.length;
    templates.push(templateCopyOf(probe));
    if (templates.length > others) templates.shift();
    tick();
  }
  return { histogram, pairs };
}

type Rates = Pick<Calibration, "points" | "tail">;

const similarityOf = (bin: number) => (2 * bin) / BINS - 1;

/** Similarities at half-decade rates, down to the lowest that was counted. */
export function pointsOf(histogram: Float64Array, pairs: number): CalibrationPoint[] {
  const points: CalibrationPoint[] = [];
  let bin = BINS;
  let above = histogram[bin] as number;
  const lowest = Math.floor(-Math.log10(RULE_OF_THREE / pairs) * POINTS_PER_DECADE);
  for (let step = lowest; step >= POINTS_PER_DECADE; step--) {
    const fmr = 10 ** (-step / POINTS_PER_DECADE);
    while (above + (histogram[bin - 1] as number) <= fmr * pairs) above += histogram[--bin] as number;
    const similarity = similarityOf(bin);
    points.push({ fmr: Number(fmr.toPrecision(4)), similarity: Number(similarity.toFixed(4)) });
  }
  return points.reverse();
}

/** The same similarities at so many times the rate; without those that would pass 1. */
export function timesAsOften(times: number, { points, tail }: Rates): Rates {
  const often = <T extends CalibrationPoint>(point: T): T => ({
    ...point,
    fmr: Number((times * point.fmr).toPrecision(4)),
  });
  return { points: points.map(often).filter(({ fmr }) => fmr <= 1), ...(tail && { tail: often(tail) }) };
}

/** Fitted beyond the lowest counted rate that has enough pairs behind it; none where too few were compared. */
export function tailOf(
  histogram: Float64Array,
  points: readonly CalibrationPoint[],
): { tail?: CalibrationTail } {
  for (const { fmr, similarity } of points.toReversed()) {
    const from = Math.round(((similarity + 1) / 2) * BINS);
    const excesses: number[] = [];
    for (let bin = from; bin <= BINS; bin++) {
      const excess = similarityOf(bin + 0.5) - similarity;
      for (let i = 0; i < (histogram[bin] as number); i++) excesses.push(excess);
    }
    if (excesses.length < MIN_TAIL_PAIRS) continue;
    const { shape, scale } = fitTail(Float64Array.from(excesses));
    return { tail: { fmr, similarity, shape, scale, pairs: excesses.length } };
  }
  return {};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await run(process.argv.slice(2));
