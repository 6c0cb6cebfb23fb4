// `palmgate drill gateways`: kills each process at random moments of a run with entries, payments, enrolments and
// erasures, and judges by the books what became of everybody.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { seeded } from "../../bench/seeded.js";
import { helpText, readSettings, type Settings, type Values } from "../../wire/config.js";
import { openLog } from "../../wire/log.js";
import { operatorApi } from "../operator-api.js";
import { type Stack, startStack, waitReady } from "../stack/stack.js";
import { readBooks } from "./books.js";
import { Crowd, LANES, rest } from "./crowd.js";
import { isClean, judge, type Verdict } from "./verdict.js";

const READY_DEADLINE_MS = 90_000;
const CALM_DEADLINE_MS = 90_000;
/** Before a kill, and between a kill and the new start; each drawn. */
const MOST_WAIT_MS = 3000;
const REPORT_WITHIN_MS = 5000;
/** So low that chance has no part in what is counted as wrong. */
const TARGET_FPIR = 1e-6;

const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);

const SETTINGS = {
  rounds: { option: "rounds", value: "N", help: "kills, one process each", schema: count(10, 10_000) },
  people: { option: "people", value: "N", help: "people with synthetic palms", schema: count(24, 500) },
  seed: {
    option: "seed",
    value: "N",
    help: "of who dies when, and who does what; the same again repeats it",
    schema: count(1, 2 ** 31),
  },
  json: { option: "json", flag: true, help: "one JSON object on stdout", schema: z.boolean().default(false) },
} as const satisfies Settings;

const HELP = helpText(
  "palmgate drill gateways [options]",
  "Two of everything on this machine; in each round one process, drawn by the seed, is killed with SIGKILL and started again\n" +
    "while people enter, pay, enrol and are erased. In the end the record is held against what everybody was told.\n" +
    "Exit code 0: nothing wrong, missed, lost, doubled, resurrected, paid twice, paid and not served, served and not paid.",
  SETTINGS,
);

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const config = readSettings(SETTINGS, argv);
  const say = (text: string) => process.stderr.write(`drill: ${text}\n`);
  const dir = await mkdtemp(join(tmpdir(), "palmgate-drill-"));
  let stack: Stack | undefined;
  try {
    stack = await startStack({
      dir,
      devices: LANES,
      gateways: 2,
      desks: 2,
      ledgers: 2,
      rows: 2,
      siteSettings: { reportWithinMs: REPORT_WITHIN_MS },
      targetFpir: TARGET_FPIR,
      onProgress: say,
    });
    await waitReady(stack, READY_DEADLINE_MS);
    const verdict = await drill(stack, config, say);
    process.stdout.write(config.json ? `${JSON.stringify(verdict)}\n` : tableOf(verdict));
    return isClean(verdict) ? 0 : 1;
  } finally {
    await stack?.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function drill(
  stack: Stack,
  config: Values<typeof SETTINGS>,
  say: (text: string) => void,
): Promise<Verdict> {
  const random = seeded(config.seed);
  const log = openLog("drill");
  const desks = stack
    .of("desk")
    .map(({ ready }) => operatorApi(`http://127.0.0.1:${Number(ready.port)}`, stack.operatorToken));
  const crowd = new Crowd({ stack, desks, people: config.people, random: seeded(config.seed + 1), log });
  try {
    await crowd.prepare(say);
    const stop = new AbortController();
    crowd.run(stop.signal);
    for (let round = 1; round <= config.rounds; round++) {
      await rest(random() * MOST_WAIT_MS);
      const victim = await killOne(stack, random);
      say(`round ${round} of ${config.rounds}: ${victim} killed`);
      await rest(random() * MOST_WAIT_MS);
      await startAgain(stack, victim);
      await waitReady(stack, READY_DEADLINE_MS);
    }
    stop.abort();
    await crowd.ended();
    const done = crowd.operations();
    const [api] = desks;
    if (api === undefined) throw new Error("a drill needs a desk");
    const found = await readBooks({
      natsUrl: stack.nats.url,
      api,
      done,
      log,
      calmDeadlineMs: CALM_DEADLINE_MS,
    });
    return judge(config.rounds, done, found);
  } finally {
    await crowd.close();
  }
}

const NATS = "nats-server";

async function killOne(stack: Stack, random: () => number): Promise<string> {
  const names = [...stack.processes.keys(), NATS];
  const victim = names[Math.floor(random() * names.length)] ?? NATS;
  await (victim === NATS ? stack.nats.kill() : stack.child(victim).kill());
  return victim;
}

async function startAgain(stack: Stack, victim: string): Promise<void> {
  if (victim === NATS) await stack.nats.restart();
  else await stack.start(victim);
}

const tableOf = (verdict: Verdict): string =>
  `${Object.entries(verdict)
    .map(([name, n]) => `${name.padEnd(16)} ${n}`)
    .join("\n")}\n`;
