// Is the calibration true? Stated rates beside what non-mated pairs of real palms do at the same similarity.
//
//   node dist/bench/calibration-check.js --data DIR,DIR
//
// Two checks. The tail: the calibration is cut off at CUT_FMR and what it then extrapolates is held against what was
// counted below. The palms: every non-mated pair of each folder is counted at each stated similarity.
//
// Invariant: no rate is printed that fewer than three pairs stand behind; "3 of 9000" is printed instead.
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type Calibration, loadCalibration, openSignatureModel, thresholdFor } from "../palm/index.js";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { readPalm, readPalmFolder } from "./accuracy-data.js";
import { dot } from "./dot.js";
import { ticker } from "./tick.js";

const ours = (path: string) =>
  fileURLToPath(new URL(`${import.meta.url.endsWith(".ts") ? ".." : "../.."}/${path}`, import.meta.url));

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
    schema: z.string().default(ours("model/signature.onnx")),
  },
  calibration: {
    option: "calibration",
    value: "FILE",
    help: "made for it",
    schema: z.string().default(ours("model/calibration.json")),
  },
} as const satisfies Settings;

/** What is counted below is compared with what is extrapolated from here. */
const CUT_FMR = 1e-5;
const RULE_OF_THREE = 3;

/** Non-mated similarities of one folder. */
export interface RealPairs {
  name: string;
  similarities: Float32Array;
}

/** The table, as Markdown: one row a stated rate. Pure. */
export function checkTable(calibration: Calibration, folders: readonly RealPairs[]): string {
  const cut = { ...calibration, points: calibration.points.filter(({ fmr }) => fmr >= CUT_FMR) };
  const rows = calibration.points.map(({ fmr, similarity }) => {
    const fitted = fmr < CUT_FMR ? thresholdFor(cut, fmr).toFixed(3) : "";
    const counts = folders.map(({ similarities }) => countAt(similarities, similarity));
    return [fmr.toExponential(0), similarity.toFixed(3), fitted, ...counts];
  });
  const head = [
    "stated rate",
    "similarity, counted",
    `extrapolated from ${CUT_FMR}`,
    ...folders.map((f) => f.name),
  ];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function countAt(similarities: Float32Array, threshold: number): string {
  const reached = similarities.reduce((count, each) => count + (each >= threshold ? 1 : 0), 0);
  if (reached <= RULE_OF_THREE) return `${reached} of ${similarities.length}`;
  return (reached / similarities.length).toExponential(1);
}

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    const command = "node dist/bench/calibration-check.js --data DIR,DIR [options]";
    process.stdout.write(
      helpText(command, "Holds the calibration against pairs of different real palms.", SETTINGS),
    );
    return 0;
  }
  const { data, model, calibration: path } = readSettings(SETTINGS, argv);
  const calibration = await loadCalibration(path);
  const folders: RealPairs[] = [];
  for (const dir of data) folders.push({ name: basename(dir), similarities: await nonMated(dir, model) });
  process.stdout.write(checkTable(calibration, folders));
  return 0;
}

async function nonMated(dir: string, modelPath: string): Promise<Float32Array> {
  const { gallery, probes } = await readPalmFolder(dir);
  const files = [...gallery, ...probes];
  const model = await openSignatureModel(modelPath);
  const tick = ticker(say, `${basename(dir)}: signed`, files.length);
  const signed: { palm: number; signature: Float32Array }[] = [];
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
  const pairs = signed
    .slice(gallery.length)
    .flatMap((probe) =>
      templates
        .filter(({ palm }) => palm !== probe.palm)
        .map(({ signature }) => dot(signature, probe.signature)),
    );
  return Float32Array.from(pairs);
}

const say = (text: string) => process.stderr.write(`calibration-check: ${text}\n`);

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await run(process.argv.slice(2));
