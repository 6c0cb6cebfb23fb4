// palmgate pass: gives out a pass through the desk's API and prints its link.
import { z } from "zod";
import { helpText, readSettings, type Settings, UsageError } from "../wire/config.js";
import { OPERATOR_SETTINGS, operatorApi, type PassOrder, passLink } from "./operator-api.js";

const USAGE = "palmgate pass --kind lane|enrol --site NAME --gallery NAME [options]";
const WHAT = [
  "Gives out a pass and prints its link, to be opened once in a browser:",
  "  lane    a screen with a camera becomes a lane of that site; --purpose says what it decides about",
  "  enrol   a person enrols themselves; --consent says what they may agree to",
  "Whoever has the link may use it: hand it over as you would a key. A paired lane is revoked with `palmgate devices revoke ID`.",
].join("\n");

const DEFAULT_VALID_MINUTES = 15;

const PURPOSES = { entry: "ENTRY", pay: "PAY" } as const;

const purposeList = z
  .string()
  .default("entry,pay")
  .transform((text) => text.split(","))
  .pipe(z.array(z.enum(["entry", "pay"], { error: "must be entry, pay or entry,pay" })).min(1));

const SETTINGS = {
  ...OPERATOR_SETTINGS,
  kind: {
    option: "kind",
    help: "what the pass is for: lane or enrol",
    schema: z.enum(["lane", "enrol"], { error: "must be lane or enrol" }),
    value: "KIND",
  },
  site: {
    option: "site",
    help: "site of the organisation",
    schema: z.string({ error: "is needed" }).min(1),
    value: "NAME",
  },
  gallery: {
    option: "gallery",
    help: "gallery of the organisation",
    schema: z.string({ error: "is needed" }).min(1),
    value: "NAME",
  },
  purpose: {
    option: "purpose",
    help: "lane: what it decides about, entry or pay",
    schema: z.enum(["entry", "pay"], { error: "must be entry or pay" }).default("entry"),
    value: "PURPOSE",
  },
  consent: {
    option: "consent",
    help: "enrol: what may be agreed to, entry, pay or both",
    schema: purposeList,
    value: "LIST",
  },
  minutes: {
    option: "minutes",
    help: "how long the pass is good, at most 1440",
    schema: z.coerce.number().int().min(1).max(1440).default(DEFAULT_VALID_MINUTES),
    value: "N",
  },
  uses: {
    option: "uses",
    help: "how many devices or people may use it, at most 1000",
    schema: z.coerce.number().int().min(1).max(1000).default(1),
    value: "N",
  },
} satisfies Settings;

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText(USAGE, WHAT, SETTINGS));
    return 0;
  }
  const settings = readSettings(SETTINGS, argv);
  const { desk, operatorToken, organisation, kind, site, gallery } = settings;
  const { purpose, consent, minutes, uses } = settings;
  if (new Set(consent).size !== consent.length) throw new UsageError("--consent names a purpose twice.");
  const common = { site, gallery, validMinutes: minutes, uses };
  const order: PassOrder =
    kind === "lane"
      ? { ...common, kind: "LANE", purpose: PURPOSES[purpose] }
      : { ...common, kind: "ENROL", consents: consent.map((each) => PURPOSES[each]) };
  const answer = await operatorApi(desk, operatorToken, organisation).issuePass(order);
  if (!answer.ok) {
    process.stderr.write(`palmgate pass: ${answer.code}: ${answer.message} ${answer.next}\n`);
    return 1;
  }
  process.stdout.write(`${passLink(answer.body, desk)}\n`);
  return 0;
}
