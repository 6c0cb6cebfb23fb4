// Makes model/calibration.json: counts how similar different synthetic palms are.
//
//   node dist/bench/calibrate.js [--identities N] [--times N] [--out FILE]
//
// Every pair of one sample each is counted once; the tail is fitted to the most alike pairs (tail-fit.ts). No point is
// fitted to real palms, but pairs of real ones were seen to be alike more often than pairs of drawn ones, so what is stated
// is --times the counted rate; docs/accuracy/README.md shows the rates counted on real ones beside these.
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  type Calibration,
  type CalibrationPoint,
  type CalibrationTail,
  openSignatureModel,
} from "../palm/index.js";
import { helpText, readSettings, type Settings } from "../wire/config.js";
import { projectFile } from "./project-file.js";
import { RULE_OF_THREE } from "./rates.js";
import { signSynthetic } from "./synthetic-signature.js";
import { fitTail } from "./tail-fit.js";

const SETTINGS = {
  identities: {
    option: "identities",
    value: "N",
    help: "synthetic palms",
    schema: z.coerce.number().int().min(100).max(100_000).default(20_000),
  },
  times: {
    option: "times",
    value: "N",
    help: "state so many times the counted rate: people's palms are more alike than drawn ones",
    schema: z.coerce.number().min(1).max(1000).default(30),
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
  const { identities, times, model: modelPath, out } = readSettings(SETTINGS, argv);
  const model = await openSignatureModel(modelPath);
  const signatures: Float32Array[] = [];
  for (let i = 0; i < identities; i++) {
    signatures.push(await signSynthetic(model, FIRST_SEED + i));
    say("signing", i + 1, identities);
  }
  const histogram = countPairs(signatures);
  const pairs = (identities * (identities - 1)) / 2;
  const counted = pointsOf(histogram, pairs);
  const calibration: Calibration = {
    modelId: model.modelId,
    source: `synthetic palms only: node dist/bench/calibrate.js --identities ${identities} --times ${times}`,
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

/** Similarities of all pairs, in BINS bins from -1 to 1. */
function countPairs(signatures: readonly Float32Array[]): Float64Array {
  const histogram = new Float64Array(BINS + 1);
  for (const [i, a] of signatures.entries()) {
    for (let j = 0; j < i; j++) {
      const b = signatures[j] as Float32Array;
      let dot = 0;
      for (let k = 0; k < a.length; k++) dot += (a[k] as number) * (b[k] as number);
      const bin = Math.floor(((dot + 1) / 2) * BINS);
      histogram[bin] = (histogram[bin] as number) + 1;
    }
    say("comparing", i + 1, signatures.length);
  }
  return histogram;
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

const TENTHS = 10;
function say(what: string, done: number, total: number): void {
  const step = Math.ceil(total / TENTHS);
  if (done % step === 0 || done === total) process.stderr.write(`${what}: ${done} of ${total}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await run(process.argv.slice(2));
