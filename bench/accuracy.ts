// `palmgate bench accuracy`: how often palms are mistaken and missed, on a folder of images, for the signature and for
// the baselines named. First session against the others; the rates are defined in rates.ts.
//
// Signatures are compared as they are in use. Verification: all pairs, by their line maps where the model makes them.
// Identification: a search in two stages, which compares the templates that lie nearest (searched.ts), and beside it one
// that compares all.
//
// Invariants: every method compares the same images; a method sees nothing but pixels; the signature comes first.

import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { z } from "zod";
import { NEAREST } from "../identify/messages.js";
import {
  COMPETITIVE_CODE_SIDE,
  competitiveCode,
  competitiveDistance,
  type GreyImage,
  openSignatureModel,
  similarities,
} from "../palm/index.js";
import { helpText, readSettings, type Settings, UsageError, type Values } from "../wire/config.js";
import { type PalmFile, type PalmFolder, readPalm, readPalmFolder } from "./accuracy-data.js";
import { type AccuracyReport, accuracyTable } from "./accuracy-table.js";
import { addCrowd } from "./among.js";
import { detPoints, detSvg } from "./det.js";
import { fuseFrames } from "./frames.js";
import { projectFile } from "./project-file.js";
import { measureRates } from "./rate-intervals.js";
import { countPairs, type SimilarityTable } from "./rates.js";
import { indexOf, type Searched, searchedOf, similaritiesOf } from "./searched.js";
import { ticker } from "./tick.js";

const BASELINES = ["gabor", "competitive-code"] as const;
const MAX_FRAMES = 5;
const MAX_AMONG = 1_000_000;

const SETTINGS = {
  data: {
    option: "data",
    value: "DIR",
    help: "palms: DIR/<palm>/<session>_<anything>.png (or .jpg, .bmp)",
    schema: z.string({ error: "is needed: a folder with one folder per palm" }).min(1),
  },
  baseline: {
    option: "baseline",
    value: "NAME,NAME",
    help: `also measured: ${BASELINES.join(", ")}`,
    schema: z
      .string()
      .default("")
      .transform((text) => text.split(",").filter((name) => name !== ""))
      .pipe(z.array(z.enum(BASELINES, { error: `must be of ${BASELINES.join(", ")}` }))),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature model",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  frames: {
    option: "frames",
    value: "N,N",
    help: "also the signature with so many frames a probe (best similarity of each, as presentations decide); 1 is always there",
    schema: z
      .string()
      .default("")
      .transform((text) =>
        text
          .split(",")
          .filter((number) => number !== "")
          .map(Number),
      )
      .pipe(z.array(z.number().int().min(1).max(MAX_FRAMES))),
  },
  among: {
    option: "among",
    value: "N",
    help: "also identification with N synthetic palms enrolled besides",
    schema: z.coerce.number().int().min(0).max(MAX_AMONG).default(0),
  },
  det: {
    option: "det",
    value: "FILE.svg",
    help: "plot of all methods measured",
    schema: z.string().optional(),
  },
  json: { option: "json", help: "one JSON object on stdout", flag: true, schema: z.boolean().default(false) },
} satisfies Settings;

/** The training-free signature, kept to compare with. */
const GABOR = projectFile("model/gabor.onnx");

/** One way to compare palms. */
interface Method<Template> {
  name: string;
  /** Numbers in a template. */
  dimension: number;
  /** @returns undefined for an image without structure */
  template(roi: GreyImage): Promise<Template | undefined>;
  /** With each of them; larger is more alike. */
  similarities(probe: Template, templates: readonly Template[]): ArrayLike<number>;
}

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText(
        "palmgate bench accuracy --data DIR [options]",
        "Error rates on a folder of palm images: the first session of each palm is the gallery, all later ones probe it.\n" +
          "TAR is left out where there are fewer than 3 / FAR non-mated pairs. With fewer than 334 probes, FNIR at FPIR 3e-3\n" +
          "is counted at the threshold that no stranger reaches. Intervals are over palms (bootstrap).",
        SETTINGS,
      ),
    );
    return 0;
  }
  const settings = readSettings(SETTINGS, argv);
  const report = await measureFolder(settings);
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : accuracyTable(report));
  return 0;
}

async function measureFolder(settings: Values<typeof SETTINGS>): Promise<AccuracyReport> {
  const { data, baseline, model, frames, among, det } = settings;
  const folder = await readPalmFolder(data);
  const { palms, gallery, probes } = folder;
  say(`${palms} palms, ${gallery.length} templates, ${probes.length} probes`);
  const signature = await compareWithModel(folder, "signature", model);
  const tables: NamedTable[] = [signature];
  if (baseline.includes("gabor")) tables.push(await compareWithModel(folder, "gabor", GABOR));
  if (baseline.includes("competitive-code")) tables.push(await compare(folder, COMPETITIVE_CODE));
  for (const count of frames) if (count > 1) tables.push(several(signature, count));
  const { mated, nonMated } = countPairs(ownersOf(folder));
  if (det !== undefined) {
    const caption = `${palms} palms, ${mated} mated and ${nonMated} non-mated pairs; curves end at three non-mated pairs`;
    const curves = tables.map(({ name, table }) => ({ name, points: detPoints(table) }));
    await writeFile(det, detSvg(basename(data), caption, curves));
  }
  if (among > 0) {
    const name = `signature among ${among} more`;
    tables.push({ ...signature, ...(await signature.among(among)), name });
  }
  say("rates and intervals");
  const results = tables.map(({ name, dimension, listed, table }) => ({
    name,
    dimension,
    ...(listed !== undefined && { compared: NEAREST, listed }),
    ...measureRates(table),
  }));
  return { data, palms, matedPairs: mated, nonMatedPairs: nonMated, results };
}

interface NamedTable {
  name: string;
  dimension: number;
  /** Share of probes whose own palm is among the templates that a search compares; none: all are compared in one way. */
  listed?: number;
  table: SimilarityTable;
}

function several(one: NamedTable, frames: number): NamedTable {
  try {
    const { dimension, table } = one;
    return { name: `${one.name}, ${frames} frames`, dimension, table: fuseFrames(table, frames) };
  } catch (error) {
    throw new UsageError(`--frames: ${(error as Error).message}. Ask for fewer.`);
  }
}

async function compareWithModel(folder: PalmFolder, name: string, path: string) {
  const model = await openSignatureModel(path).catch((error: Error) => {
    throw new UsageError(`${name}: ${error.message}. Give a signature model (.onnx).`);
  });
  try {
    const { dimension, lineMaps } = model;
    const all = await compare(folder, { name, dimension, template: (roi) => model.sign(roi), similarities });
    const index = indexOf(model, all.gallery);
    const search = () =>
      searchedOf(all.table, all.probes, index, ticker(say, `${name}: probes searched`, all.probes.length));
    const among = async (palms: number) => {
      await addCrowd(index, all.gallery.length, palms, path, say);
      return twoStages(all.table, search());
    };
    const { strangers: _, ...alone } = search();
    return { ...all, ...(lineMaps ? twoStages(all.table, alone) : {}), among };
  } finally {
    await model.close();
  }
}

function twoStages(
  table: SimilarityTable,
  { listed, ...compared }: Omit<Searched, "strangers"> & Partial<Searched>,
): Pick<NamedTable, "table" | "listed"> {
  return { listed, table: { ...table, ...compared } };
}

const COMPETITIVE_CODE: Method<Uint32Array> = {
  name: "competitive-code",
  dimension: COMPETITIVE_CODE_SIDE ** 2,
  template: async (roi) => competitiveCode(roi),
  similarities: (probe, codes) => codes.map((code) => 1 - competitiveDistance(probe, code)),
};

async function compare<T>(
  folder: PalmFolder,
  method: Method<T>,
): Promise<NamedTable & { probes: T[]; gallery: T[] }> {
  const { name, dimension } = method;
  const gallery = await templatesOf(folder.gallery, method, "templates");
  const probes = await templatesOf(folder.probes, method, "probes");
  const tick = ticker(say, `${name}: probes compared`, probes.length);
  const similarities = similaritiesOf(probes, gallery, method.similarities, tick);
  return { name, dimension, probes, gallery, table: { ...ownersOf(folder), similarities } };
}

const ownersOf = ({ palms, probes, gallery }: PalmFolder) => ({
  palms,
  probePalms: probes.map(({ palm }) => palm),
  galleryPalms: gallery.map(({ palm }) => palm),
});

async function templatesOf<T>(files: readonly PalmFile[], method: Method<T>, what: string): Promise<T[]> {
  const templates: T[] = [];
  const tick = ticker(say, `${method.name}: ${what}`, files.length);
  for (const file of files) {
    const roi = await readPalm(file);
    const template = await method.template(roi);
    roi.pixels.fill(0);
    if (template === undefined) {
      throw new UsageError(
        `${file.file}: all of one grey, there is no palm in it. Replace or remove this image.`,
      );
    }
    templates.push(template);
    tick();
  }
  return templates;
}

const say = (text: string) => process.stderr.write(`bench accuracy: ${text}\n`);
