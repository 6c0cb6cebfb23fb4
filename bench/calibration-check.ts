// Is the calibration true? Stated rates beside what non-mated pairs of real palms do at the same similarity.
//
//   node dist/bench/calibration-check.js --data DIR,DIR [--json]
//
// Two checks. The tail: its similarity is put beside the counted one, at the rates that both speak of. The palms: every
// non-mated pair of each folder is counted at each stated similarity.
//
// Invariant: no rate is printed that three pairs or fewer stand behind; "3 of 9000" is printed instead.
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  type Calibration,
  loadCalibration,
  modelInfo,
  openSignatureModel,
  type Signature,
  similarities,
  tailThreshold,
} from "../palm/index.js";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { readPalm, readPalmFolder } from "./accuracy-data.js";
import { projectFile } from "./project-file.js";
import { RULE_OF_THREE } from "./rates.js";
import { ticker } from "./tick.js";

const SETTINGS = {
  data: {
    option: "data",
    value: "DIR,DIR",
    help: "folders of palms as bench accuracy reads them",
    schema: z
      .string({ error: "is needed: folders with one folder per palm" })
      .transform((text) => text.split(",").filter((dir) => dir !== ""))
      .pipe(z.array(z.string()).min(1)),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature network",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  calibration: {
    option: "calibration",
    value: "FILE",
    help: "made for it",
    schema: z.string().default(projectFile("model/calibration.json")),
  },
  json: { option: "json", help: "one JSON object on stdout", flag: true, schema: z.boolean().default(false) },
} as const satisfies Settings;

/** Non-mated similarities of one folder. */
export interface RealPairs {
  name: string;
  similarities: Float32Array;
}

/** One stated rate. */
export interface CheckedRate {
  fmr: number;
  /** Counted on the calibration's synthetic palms. */
  similarity: number;
  /** That the tail alone would give this rate; null where it does not reach up to. */
  fittedSimilarity: number | null;
  /** Pairs of real palms at this similarity or above. */
  real: { name: string; reached: number; pairs: number }[];
}

/** Every counted rate of the calibration beside its tail and the folders. Pure. */
export function checkRates({ points, tail }: Calibration, folders: readonly RealPairs[]): CheckedRate[] {
  return points.map(({ fmr, similarity }) => ({
    fmr,
    similarity,
    fittedSimilarity: tail && fmr <= tail.fmr ? tailThreshold(tail, fmr) : null,
    real: folders.map(({ name, similarities }) => ({
      name,
      reached: similarities.reduce((count, each) => count + (each >= similarity ? 1 : 0), 0),
      pairs: similarities.length,
    })),
  }));
}

/** The rates as Markdown: one row a stated rate. Pure. */
export function checkTable(rates: readonly CheckedRate[]): string {
  const rows = rates.map(({ fmr, similarity, fittedSimilarity, real }) => [
    fmr.toExponential(0),
    similarity.toFixed(3),
    fittedSimilarity?.toFixed(3) ?? "",
    ...real.map(rateOrCount),
  ]);
  const names = rates[0]?.real.map(({ name }) => name) ?? [];
  const head = ["stated rate", "similarity, counted", "similarity, fitted", ...names];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function rateOrCount({ reached, pairs }: { reached: number; pairs: number }): string {
  return reached <= RULE_OF_THREE ? `${reached} of ${pairs}` : (reached / pairs).toExponential(1);
}

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    const command = "node dist/bench/calibration-check.js --data DIR,DIR [options]";
    process.stdout.write(
      helpText(command, "Holds the calibration against pairs of different real palms.", SETTINGS),
    );
    return 0;
  }
  const { data, model, calibration: path, json } = readSettings(SETTINGS, argv);
  const { modelId } = await modelInfo(model);
  const calibration = await loadCalibration(path, modelId).catch((error: Error) => {
    throw new UsageError(`--calibration: ${error.message}`);
  });
  const folders: RealPairs[] = [];
  for (const dir of data) folders.push({ name: basename(dir), similarities: await nonMated(dir, model) });
  const rates = checkRates(calibration, folders);
  const { tail } = calibration;
  process.stdout.write(json ? `${JSON.stringify({ modelId, tail, rates })}\n` : checkTable(rates));
  return 0;
}

async function nonMated(dir: string, modelPath: string): Promise<Float32Array> {
  const { gallery, probes } = await readPalmFolder(dir);
  const files = [...gallery, ...probes];
  const model = await openSignatureModel(modelPath);
  const tick = ticker(say, `${basename(dir)}: signed`, files.length);
  const signed: { palm: number; signature: Signature }[] = [];
  for (const file of files) {
    const roi = await readPalm(file);
    const signature = await model.sign(roi);
    roi.pixels.fill(0);
    if (!signature) throw new UsageError(`${file.file}: there is no palm in it. Remove this image.`);
    signed.push({ palm: file.palm, signature });
    tick();
  }
  await model.close();
  const templates = signed.slice(0, gallery.length);
  const pairs = signed.slice(gallery.length).flatMap((probe) => {
    const others = templates.filter(({ palm }) => palm !== probe.palm).map(({ signature }) => signature);
    return Array.from(similarities(probe.signature, others));
  });
  return Float32Array.from(pairs);
}

const say = (text: string) => process.stderr.write(`calibration-check: ${text}\n`);

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await run(process.argv.slice(2));
