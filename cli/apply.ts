// palmgate apply: brings a declarative file into the directory. It shows what it will change before it does, and changes
// nothing the second time.
//
// Invariants (test/cli/apply.test.ts):
// - nothing is changed before it was shown and agreed to (--yes, or "yes" at the prompt);
// - every change is one line on standard output; applied twice, the second time says that nothing changes;
// - an organisation whose key was made under another master key is refused: its members would open nowhere.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { modelInfo } from "../palm/index.js";
import {
  decodeMemberEvent,
  type EventLog,
  hasEnded,
  isPaymentEnd,
  openEventLog,
  readPayment,
  readSaga,
} from "../records/index.js";
import { applyPlan, type Change, type DirectoryFile, parseDirectoryFile, planOf } from "../wire/apply.js";
import { helpText, readSettings, type Settings, UsageError, type Values } from "../wire/config.js";
import { type Directory, openDirectory } from "../wire/directory.js";
import { opened } from "../wire/disposer.js";
import { MASTER_KEY_SETTING, masterKeyIdOf, newOrganisationKey } from "../wire/keyring.js";
import { openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { STREAMS } from "../wire/subjects.js";

const USAGE = "palmgate apply FILE [--yes] [--prune] [options]";
const WHAT = [
  "Brings organisations, galleries, sites, devices and policies of a JSON file into the fleet's directory, and the shape of",
  "the fleet (rows, slots; without a word one of each). Running processes follow at once. Shows what it will change first.",
  "A device that the file names no more is revoked; one that paired itself with a pass stays. A gallery that has members is",
  "never removed, and never changes its model.",
].join("\n");

const ours = (path: string) =>
  fileURLToPath(new URL(`${import.meta.url.endsWith(".ts") ? ".." : "../.."}/${path}`, import.meta.url));

const SETTINGS = {
  natsUrl: {
    option: "nats-url",
    value: "URL",
    help: "nats-server with JetStream",
    schema: z.string().default("nats://127.0.0.1:4222"),
  },
  masterKey: MASTER_KEY_SETTING,
  model: {
    option: "model",
    value: "FILE",
    help: "signature network of galleries that are made",
    schema: z.string().min(1).default(ours("model/signature.onnx")),
  },
  yes: {
    option: "yes",
    flag: true,
    help: "do not ask",
    schema: z.boolean().default(false),
  },
  prune: {
    option: "prune",
    flag: true,
    help: "remove organisations, galleries and sites that the file names no more",
    schema: z.boolean().default(false),
  },
} as const satisfies Settings;

const DISAGREED_EXIT_CODE = 1;
const SIGNS: Record<Change["action"], string> = { create: "+", change: "~", remove: "-" };

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText(USAGE, WHAT, SETTINGS));
    return 0;
  }
  const [path, ...others] = argv.filter((word, at) => !word.startsWith("--") && !takesValue(argv[at - 1]));
  if (path === undefined || others.length > 0) throw new UsageError("one FILE is needed. See --help.");
  const settings = readSettings(
    SETTINGS,
    argv.filter((word) => word !== path),
  );
  return apply(await readDirectoryFile(path), settings);
}

/** Whether the word after this one is its value. */
const takesValue = (word: string | undefined): boolean =>
  Object.values(SETTINGS).some((setting) => word === `--${setting.option}` && !("flag" in setting));

async function readDirectoryFile(path: string): Promise<DirectoryFile> {
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new UsageError(`${path} cannot be read: ${error.message}`);
  });
  const read = parseDirectoryFile(text);
  if (read.ok) return read.file;
  throw new UsageError(
    `${path} cannot be used:\n${read.problems.map((problem) => `  ${problem}`).join("\n")}`,
  );
}

function apply(file: DirectoryFile, settings: Values<typeof SETTINGS>): Promise<number> {
  return opened(async (disposer) => {
    const log = openLog("apply");
    const nats = await connectNats({ url: settings.natsUrl, name: "palmgate-apply", log });
    disposer.defer(() => nats.close());
    const directory = await openDirectory(nats, log);
    disposer.defer(() => directory.close());
    // The streams too: every process finds them there, whichever starts first.
    const eventLog = await openEventLog(nats);
    try {
      return await applyFile(directory, eventLog, file, settings);
    } finally {
      await disposer.close();
    }
  });
}

async function applyFile(
  directory: Directory,
  eventLog: EventLog,
  file: DirectoryFile,
  { masterKey, model, yes, prune }: Values<typeof SETTINGS>,
): Promise<number> {
  demandMasterKey(directory, file, masterKey);
  const { modelId, dimension, lineMaps } = await modelInfo(model);
  const inhabited = prune ? await inhabitedGalleries(directory, eventLog) : new Set<string>();
  const unfinished = prune ? await unfinishedWork(eventLog) : new Map<string, string>();
  const plan = planOf(directory, file, {
    galleryFacts: { modelId, dimension, lineMaps },
    newKey: (organisation) => newOrganisationKey(masterKey, organisation),
    prune,
    hasMembers: (organisation, gallery) => inhabited.has(`${organisation}/${gallery}`),
    unfinished: (organisation, site) =>
      unfinished.get(site === undefined ? organisation : placeOf(organisation, site)),
  });
  if (!plan.ok)
    throw new UsageError(`nothing was changed:\n${plan.problems.map((each) => `  ${each}`).join("\n")}`);
  if (plan.changes.length === 0) {
    process.stdout.write("nothing to change\n");
    return 0;
  }
  for (const { action, what } of plan.changes) process.stdout.write(`${SIGNS[action]} ${what}\n`);
  if (!yes && !(await isAgreed(plan.changes.length))) {
    process.stderr.write("palmgate apply: nothing was changed.\n");
    return DISAGREED_EXIT_CODE;
  }
  const applied = await applyPlan(directory, plan.changes);
  if (applied.ok) {
    process.stdout.write(`${applied.changes} ${applied.changes === 1 ? "change" : "changes"} done\n`);
    return 0;
  }
  const why =
    applied.code === "CONFLICT"
      ? "somebody else changed it meanwhile"
      : "the directory did not answer in time";
  process.stderr.write(
    `palmgate apply: stopped after ${applied.done} of ${plan.changes.length} changes, at ${applied.at.what}: ${why}. ` +
      "Run the command again: it goes on from there.\n",
  );
  return DISAGREED_EXIT_CODE;
}

function demandMasterKey(directory: Directory, file: DirectoryFile, masterKey: Uint8Array): void {
  const own = masterKeyIdOf(masterKey);
  for (const { name } of file.organisations) {
    const key = directory.organisation(name)?.keys.at(-1);
    if (key !== undefined && key.masterKeyId !== own) {
      throw new UsageError(
        `organisation ${name} was made under another master key (${key.masterKeyId}, and this is ${own}). ` +
          "Give the one that this fleet's processes have.",
      );
    }
  }
}

/** "organisation/gallery" of those with a member who is not erased. */
async function inhabitedGalleries(directory: Directory, eventLog: EventLog): Promise<ReadonlySet<string>> {
  const inhabited = new Set<string>();
  for (const { organisation, name } of directory.galleries()) {
    await eventLog.lastPerSubject(STREAMS.members, `members.*.${organisation}.${name}.*`, (events) => {
      const isMember = events.some(({ body }) => isLiving(body));
      if (isMember) inhabited.add(`${organisation}/${name}`);
    });
  }
  return inhabited;
}

const placeOf = (organisation: string, site: string) => `${organisation}/${site}`;

/** What is under way, in words, by organisation and by site of it. */
async function unfinishedWork(eventLog: EventLog): Promise<ReadonlyMap<string, string>> {
  const work = new Map<string, string>();
  await eventLog.lastPerSubject(STREAMS.sagas, "sagas.erase.>", (events) => {
    for (const event of events) {
      const saga = readSaga(event);
      if (saga !== undefined && !hasEnded(saga)) work.set(saga.organisation, "pending erasures");
    }
  });
  await eventLog.lastPerSubject(STREAMS.payments, "payments.>", (events) => {
    for (const event of events) {
      const payment = readPayment(event);
      if (payment === undefined || isPaymentEnd(payment.at.event.step)) continue;
      const { organisation } = payment.place;
      for (const place of [organisation, placeOf(organisation, payment.at.event.site)])
        work.set(place, "open payments");
    }
  });
  return work;
}

async function isAgreed(changes: number): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError("nobody is here to ask: say --yes to carry these changes out.");
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question(
    `${changes} ${changes === 1 ? "change" : "changes"}. Carry on? (yes/no) `,
  );
  prompt.close();
  return ["y", "yes"].includes(answer.trim().toLowerCase());
}

function isLiving(body: Uint8Array): boolean {
  const event = decodeMemberEvent(body);
  return event !== undefined && !event.erased;
}
