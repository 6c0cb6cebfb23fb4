// palmgate enrol: enrols a member from image files through the desk's API.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import sharp from "sharp";
import { z } from "zod";
import { openSight } from "../edge-agent/node-sight.js";
import { readPalmOfHand } from "../edge-agent/source/hand-file.js";
import { valueHoldsCardNumber } from "../wire/card-number.js";
import { type bus, edge } from "../wire/codec.js";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { MAX_EDGE_MESSAGE_BYTES, MAX_TEMPLATES_PER_MEMBER } from "../wire/limits.js";
import {
  type ApiAnswer,
  type Enrolment,
  OPERATOR_SETTINGS,
  type OperatorApi,
  operatorApi,
} from "./operator-api.js";

const USAGE = "palmgate enrol --gallery NAME --consent entry[,pay] [options] FILES...";
const WHAT = [
  "Enrols one member from 1 to 8 images (PNG or JPEG) of the palm's region of interest, or with --hands of the whole",
  "hand, whose palm is found and cut here. Prints the member's id and pseudonyms as JSON. Several captures of one hand",
  "make recognition more certain.",
  "Never give a card number: a payment instrument is the processor's token, the brand and the last four digits.",
].join("\n");

const CONSENTS = { entry: edge.Purpose.ENTRY, pay: edge.Purpose.PAY };
const POSITIONS = { unknown: 0, right: 1, left: 2 };
const MODALITIES = { visible: edge.Modality.VISIBLE, nir: edge.Modality.NIR };
const ENCODINGS: Record<string, edge.Encoding> = { png: edge.Encoding.PNG, jpeg: edge.Encoding.JPEG };

const consentList = z
  .string({ error: "is needed" })
  .transform((text) => text.split(","))
  .pipe(z.array(z.enum(["entry", "pay"], { error: "must be entry, pay or entry,pay" })).min(1));

const SETTINGS = {
  ...OPERATOR_SETTINGS,
  gallery: {
    option: "gallery",
    help: "gallery of the organisation",
    schema: z.string({ error: "is needed" }).min(1),
    value: "NAME",
  },
  consent: {
    option: "consent",
    help: "what the member consents to: entry, pay or both",
    schema: consentList,
    value: "LIST",
  },
  instrument: {
    option: "instrument",
    help: "the processor's token of the payment instrument",
    schema: z.string().optional(),
    value: "TOKEN",
  },
  processor: {
    option: "processor",
    help: "who made the token",
    schema: z.string().default("sandbox"),
    value: "NAME",
  },
  brand: { option: "brand", help: "e.g. visa", schema: z.string().default(""), value: "NAME" },
  last4: {
    option: "last4",
    help: "last four digits of the card",
    schema: z.string().default(""),
    value: "DIGITS",
  },
  hands: {
    option: "hands",
    flag: true,
    help: "the images show whole hands; only the cut palms are sent",
    schema: z.boolean().default(false),
  },
  position: {
    option: "position",
    help: "which hand: right, left or unknown",
    schema: z.enum(["right", "left", "unknown"]).default("unknown"),
    value: "HAND",
  },
  modality: {
    option: "modality",
    help: "light of the images: visible or nir",
    schema: z.enum(["visible", "nir"]).default("visible"),
    value: "LIGHT",
  },
} satisfies Settings;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText(USAGE, WHAT, SETTINGS));
    return 0;
  }
  const { options, files } = splitFiles(argv);
  const settings = readSettings(SETTINGS, options);
  const { instrument: token, processor, brand, last4 } = settings;
  // Before anything is sent anywhere.
  if (valueHoldsCardNumber({ ...settings, operatorToken: "" })) {
    process.stderr.write(
      "palmgate enrol: CARD_NUMBER_REFUSED: something given looks like a card number. Give the processor's token.\n",
    );
    return 1;
  }
  const captures = settings.hands
    ? await cutCaptures(files, settings)
    : await Promise.all(files.map((file) => readCapture(file, settings)));
  const api = operatorApi(settings.desk, settings.operatorToken, settings.organisation);
  const answer = await enrolled(api, {
    gallery: settings.gallery,
    captures,
    consents: settings.consent.map((each) => CONSENTS[each]),
    ...(token === undefined ? {} : { instrument: { processor, token, brand, last4 } }),
  });
  if (!answer.ok) {
    process.stderr.write(`palmgate enrol: ${answer.code}: ${answer.message} ${answer.next}\n`);
    return 1;
  }
  process.stdout.write(`${JSON.stringify(answer.body, null, 2)}\n`);
  return 0;
}

/** What passes by itself. */
const ASK_AGAIN: ReadonlySet<string> = new Set(["NO_ANSWER", "NOT_YET_DURABLE", "LOG_UNAVAILABLE"]);
const MAX_ASKS = 5;
const ASK_AGAIN_MS = 1000;

/** Asked again under one key, it is one member: also when only the answer was lost. */
async function enrolled(
  api: OperatorApi,
  request: bus.EnrolRequest.$Properties,
): Promise<ApiAnswer<Enrolment>> {
  const idempotencyKey = randomUUID();
  for (let asks = 1; ; asks++) {
    const answer = await api.enrol(request, { idempotencyKey });
    if (answer.ok || asks === MAX_ASKS || !ASK_AGAIN.has(answer.code)) return answer;
    await pause(ASK_AGAIN_MS);
  }
}

const FLAGS = new Set([`--${SETTINGS.hands.option}`]);

/** Options that are no flag take a value; what follows no such option is a file. */
function splitFiles(argv: readonly string[]): { options: string[]; files: string[] } {
  const options: string[] = [];
  const files: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (!word.startsWith("--")) files.push(word);
    else {
      options.push(word);
      const value = argv[index + 1];
      if (!FLAGS.has(word) && !word.includes("=") && value !== undefined) {
        options.push(value);
        index++;
      }
    }
  }
  if (files.length < 1 || files.length > MAX_TEMPLATES_PER_MEMBER) {
    throw new UsageError(`1 to ${MAX_TEMPLATES_PER_MEMBER} image files are needed. See --help.`);
  }
  return { options, files };
}

interface Told {
  position: keyof typeof POSITIONS;
  modality: keyof typeof MODALITIES;
}

/** @throws UsageError naming the first file without a good palm, and why */
async function cutCaptures(
  files: readonly string[],
  { position, modality }: Told,
): Promise<bus.Capture.$Properties[]> {
  const sight = await openSight();
  try {
    const captures = [];
    for (const file of files) {
      const palm = await readPalmOfHand(file, sight);
      if (!palm.ok)
        throw new UsageError(`${palm.why}. Take another picture: the open palm, sharp and well lit.`);
      const { encoding, widthPx, heightPx, bytes } = palm.image;
      captures.push({
        encoding,
        widthPx,
        heightPx,
        modality: MODALITIES[modality],
        position: POSITIONS[position],
        image: bytes,
      });
    }
    return captures;
  } finally {
    await sight.close();
  }
}

async function readCapture(file: string, { position, modality }: Told): Promise<bus.ICapture> {
  const bytes = await readFile(file).catch((error: Error) => {
    throw new UsageError(`an image cannot be read: ${error.message}`);
  });
  const { format, width, height } = await sharp(bytes)
    .metadata()
    .catch(() => ({ format: "unknown", width: 0, height: 0 }));
  const encoding = ENCODINGS[format ?? ""];
  if (encoding === undefined) throw new UsageError(`${file} is neither a PNG nor a JPEG image.`);
  if (bytes.length > MAX_EDGE_MESSAGE_BYTES) {
    throw new UsageError(`${file} is larger than ${MAX_EDGE_MESSAGE_BYTES} bytes: cut it to the palm.`);
  }
  return {
    encoding,
    widthPx: width ?? 0,
    heightPx: height ?? 0,
    modality: MODALITIES[modality],
    position: POSITIONS[position],
    image: bytes,
  };
}
