// `palmgate bench roi`: whole hands, found, cut, signed and compared. How many are found, how steadily the crop lies on
// the palm, what a frame costs, and how often palms are then mistaken and missed (rates.ts).
//
// cornerSpreadPx: every two crops of one palm are registered on the palm's own lines (roi-register.ts); where the corners
// of one lie, seen from the other, is how far the cuts are apart. The spread is the root mean square of these ways over
// all corners and pairs, divided by the square root of two: one crop's deviation, in pixels of a crop of 128. Skin that
// stretches counts as well, for registration cannot tell it from a cut that moved.
//
// Invariants: every image is tried, and those not found are counted with their reasons, never left out in silence; error
// rates are over images found, whatever the judge would say of them.
import { z } from "zod";
import { openNodeHandNetworks } from "../palm/hand/node-networks.js";
import { openSignatureModel, type Signature, type SignatureModel, similarities } from "../palm/index.js";
import { helpText, readSettings, type Settings, UsageError, type Values } from "../wire/config.js";
import { readPalmFolder } from "./accuracy-data.js";
import { projectFile } from "./project-file.js";
import { measureRates } from "./rate-intervals.js";
import type { SimilarityTable } from "./rates.js";
import { lookAt, type Seen } from "./roi-hands.js";
import { cornerSquare, register } from "./roi-register.js";
import { type RoiReport, roiTable } from "./roi-report.js";
import { writeSheet } from "./roi-sheet.js";
import { readTruth, truthErrorPx } from "./roi-truth.js";
import { indexOf, searchedOf, similaritiesOf } from "./searched.js";
import { ticker } from "./tick.js";

const SETTINGS = {
  data: {
    option: "data",
    value: "DIR",
    help: "whole hands: DIR/<palm>/<session>_<anything>.png (or .jpg, .bmp)",
    schema: z.string({ error: "is needed: a folder with one folder per palm" }).min(1),
  },
  model: {
    option: "model",
    value: "FILE",
    help: "signature model",
    schema: z.string().default(projectFile("model/signature.onnx")),
  },
  sheet: {
    option: "sheet",
    value: "FILE",
    help: "also writes all crops on one PNG, a row for each palm; it shows palms, so keep it where palms may be kept",
    schema: z.string().default(""),
  },
  json: { option: "json", help: "one JSON object on stdout", flag: true, schema: z.boolean().default(false) },
} satisfies Settings;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(
      helpText(
        "palmgate bench roi --data DIR [options]",
        "Finds the hand in each image, cuts its palm, signs it, and compares the first session of each palm with all later\n" +
          "ones; a palm of one session is split, its first half of images against the others. foundRate: images in which a palm was found. cornerSpreadPx: how far one crop lies from the others of its\n" +
          "palm, registered on the palm's lines; root mean square over corners, pixels of a crop of 128. cpuMs: of one frame,\n" +
          'all threads of this process, median. A truth.json in DIR is compared with: {"<palm>/<file>": {corners: [[x, y] x 4]}}.',
        SETTINGS,
      ),
    );
    return 0;
  }
  const settings = readSettings(SETTINGS, argv);
  const report = await measureFolder(settings);
  process.stdout.write(settings.json ? `${JSON.stringify(report)}\n` : roiTable(report));
  return 0;
}

/** One image of the folder. */
interface Hand extends Seen {
  file: string;
  palm: number;
  isTemplate: boolean;
}

async function measureFolder({ data, model, sheet }: Values<typeof SETTINGS>): Promise<RoiReport> {
  const folder = await readPalmFolder(data, "SPLIT");
  const truth = await readTruth(data);
  const hands = await findAll([
    ...folder.gallery.map((each) => ({ ...each, isTemplate: true })),
    ...folder.probes.map((each) => ({ ...each, isTemplate: false })),
  ]);
  const signature = await openSignatureModel(model).catch((error: Error) => {
    throw new UsageError(`--model: ${error.message}. Give a signature model (.onnx).`);
  });
  try {
    const rates = measureRates(await compareAll(folder.palms, hands, signature));
    if (sheet !== "") await writeSheet(sheet, hands);
    const { eer, tarAtFar, rank1, ci95 } = rates;
    return {
      data,
      images: hands.length,
      palms: folder.palms,
      splitPalms: folder.splitPalms,
      ...foundRates(hands),
      ...spreadOf(hands),
      cpuMsSearch: median(hands.flatMap(({ cpuMs }) => cpuMs?.search ?? [])),
      cpuMsTrack: median(hands.flatMap(({ cpuMs }) => cpuMs?.track ?? [])),
      ...(truth && { truthErrorPx: truthErrorPx(hands, truth, data) }),
      endToEnd: { eer, tarAtFar, rank1, ci95 },
    };
  } finally {
    await signature.close();
  }
}

async function findAll(files: readonly Pick<Hand, "file" | "palm" | "isTemplate">[]): Promise<Hand[]> {
  const networks = await openNodeHandNetworks();
  const hands: Hand[] = [];
  const tick = ticker(say, "images looked at", files.length);
  try {
    for (const each of files) {
      hands.push({ ...each, ...(await lookAt(each.file, networks)) });
      tick();
    }
  } finally {
    await networks.palmDetection.close();
    await networks.handLandmarks.close();
  }
  return hands;
}

function foundRates(hands: readonly Hand[]): Pick<RoiReport, "foundRate" | "sentRate" | "notFound"> {
  const notFound: RoiReport["notFound"] = {};
  for (const { notFound: reason } of hands) if (reason) notFound[reason] = (notFound[reason] ?? 0) + 1;
  const share = (isSo: (hand: Hand) => boolean) => hands.filter(isSo).length / hands.length;
  return {
    foundRate: share(({ cut }) => cut !== undefined),
    sentRate: share(({ cut }) => cut?.sent === true),
    notFound,
  };
}

/** Every two crops of one palm, laid onto each other. */
function spreadOf(hands: readonly Hand[]): Pick<RoiReport, "cornerSpreadPx" | "cornerSpread"> {
  const pairs = hands.flatMap((a, i) =>
    hands.slice(i + 1).flatMap((b) => (a.palm === b.palm ? [[a, b] as const] : [])),
  );
  const squares: number[] = [];
  const tick = ticker(say, "pairs registered", pairs.length);
  let counted = 0;
  for (const [a, b] of pairs) {
    tick();
    if (!a.cut || !b.cut) continue;
    counted++;
    const place = register(a.cut.context, b.cut.context);
    if (place) squares.push(cornerSquare(place) / 2);
  }
  const mean = squares.reduce((sum, each) => sum + each, 0) / squares.length;
  const ways = Float64Array.from(squares, Math.sqrt).sort();
  return {
    cornerSpreadPx: squares.length > 0 ? Math.sqrt(mean) : null,
    cornerSpread: {
      pairs: counted,
      registered: squares.length,
      medianPx: ways[Math.floor(ways.length / 2)] ?? null,
      p95Px: ways[Math.floor(ways.length * 0.95)] ?? null,
    },
  };
}

/** Only palms of which a template was found can be compared with. */
async function compareAll(
  palms: number,
  hands: readonly Hand[],
  signature: SignatureModel,
): Promise<SimilarityTable> {
  const signed: { hand: Hand; palm: Signature }[] = [];
  const tick = ticker(say, "crops signed", hands.length);
  for (const hand of hands) {
    const palm = hand.cut && (await signature.sign(hand.cut.roi));
    if (palm) signed.push({ hand, palm });
    tick();
  }
  const gallery = signed.filter(({ hand }) => hand.isTemplate);
  const enrolled = new Set(gallery.map(({ hand }) => hand.palm));
  const probes = signed.filter(({ hand }) => !hand.isTemplate && enrolled.has(hand.palm));
  if (enrolled.size < 2 || probes.length === 0) {
    throw new UsageError("--data: too few hands were found to compare any. Look at the images.");
  }
  const signatures = (of: typeof signed) => of.map(({ palm }) => palm);
  const [probing, enrolledAs] = [signatures(probes), signatures(gallery)];
  const table = {
    palms,
    galleryPalms: gallery.map(({ hand }) => hand.palm),
    probePalms: probes.map(({ hand }) => hand.palm),
    similarities: similaritiesOf(probing, enrolledAs, similarities),
  };
  if (!signature.lineMaps) return table;
  const { searched } = searchedOf(table, probing, indexOf(signature, enrolledAs));
  return { ...table, searched };
}

function median(values: readonly number[]): number | null {
  return Float64Array.from(values).sort()[Math.floor(values.length / 2)] ?? null;
}

const say = (text: string) => process.stderr.write(`bench roi: ${text}\n`);
