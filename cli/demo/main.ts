// The demo: a whole site on this machine. nats-server, two gateways, two matchers, a desk, two ledgers, two stores with a lane each; people
// enrol, step up, pay; some are strangers. Top to bottom: prepare, enrol, run the lanes, count, tidy up.
//
// Invariant: whatever happens, no process and no file of the demo outlives it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { helpText, readSettings } from "../../wire/config.js";
import { openLog } from "../../wire/log.js";
import { report, STDERR } from "../../wire/report.js";
import { operatorApi } from "../operator-api.js";
import { type Stack, type StackDevice, startStack, waitReady } from "../stack/stack.js";
import { enrolAll, type Member } from "./enrol.js";
import { HandSource } from "./hands.js";
import { type Passer, runLane } from "./lane.js";
import { demoLinks } from "./passes.js";
import { peopleFromFolder, syntheticPerson } from "./people.js";
import type { Person } from "./person.js";
import { DEMO_SETTINGS, type DemoConfig } from "./settings.js";
import { openTable } from "./table.js";
import { type Presented, type Summary, summarise } from "./tally.js";

const ENTRANCE: StackDevice = { id: "north-gate", site: "north-store", purpose: "ENTRY" };
const LANES: StackDevice[] = [ENTRANCE, { id: "south-till", site: "south-store", purpose: "PAY" }];
/** Two of what must be there; two rows: every matcher has a twin. */
const FLEET = { gateways: 2, ledgers: 2, rows: 2 };
const READY_DEADLINE_MS = 60_000;
/** As a shell tells an end by Ctrl-C. */
const INTERRUPTED_EXIT_CODE = 130;
/** Every so many people is a stranger. */
const STRANGER_EVERY = 6;
/** Of real palms, every so many is left out of the gallery and presented as a stranger. */
const HELD_OUT_EVERY = 5;
/** So many made-up people come to the lanes, with whole hands. */
const CAST_SIZE = 40;
/** Seeds from here on are members whom nobody meets. */
const FILLER_SEED = 1_000;
/** Seeds from here on are people who are never enrolled. */
const STRANGER_SEED = 1_000_000;

const HELP = helpText(
  "npm run demo -- [options]   (or: palmgate demo [options])",
  "Runs a whole Palmgate on this machine with two simulated lanes, and shows it live here and on the page.",
  DEMO_SETTINGS,
);

const say = (text: string) => report(STDERR, `${text}\n`);

export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const config = readSettings(DEMO_SETTINGS, argv);
  const stop = stopSignal();
  const dir = await mkdtemp(join(tmpdir(), "palmgate-demo-"));
  let stack: Stack | undefined;
  let hands: HandSource | undefined;
  try {
    hands = await HandSource.open();
    const guests =
      config.palms === undefined
        ? []
        : await peopleFromFolder(config.palms, config.hands ? hands : undefined);
    stack = await startStack({
      dir,
      ...FLEET,
      devices: LANES,
      port: config.port,
      args: { desk: ["--live-page", "open"] },
      onProgress: say,
    });
    await waitReady(stack, READY_DEADLINE_MS);
    const summary = await run(stack, config, { hands, guests }, stop);
    if (config.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    else say(sentence(summary));
    return 0;
  } catch (error) {
    // Stopped while it prepared: what was under way fails, and that is no news.
    if (!stop.aborted) throw error;
    return INTERRUPTED_EXIT_CODE;
  } finally {
    say("stopping");
    await stack?.close();
    await hands?.close();
    await rm(dir, { recursive: true, force: true });
  }
}

interface Cast {
  hands: HandSource;
  /** From a folder; none: made-up people. */
  guests: readonly Person[];
}

async function run(
  stack: Stack,
  config: DemoConfig,
  { hands, guests }: Cast,
  stop: AbortSignal,
): Promise<Summary> {
  const heldOut = guests.filter((_, index) => index % HELD_OUT_EVERY === HELD_OUT_EVERY - 1);
  // Those who stand at the lanes hold out whole hands; the rest of the gallery is made of crops, which takes less time.
  const cast = Math.min(CAST_SIZE, config.members);
  const actors = Array.from({ length: cast }, (_, seed) => hands.person(seed));
  const enrolled = guests.length > 0 ? guests.filter((guest) => !heldOut.includes(guest)) : actors;
  const fillers = Array.from({ length: config.members - (guests.length > 0 ? 0 : cast) }, (_, i) =>
    syntheticPerson(FILLER_SEED + i),
  );
  const api = operatorApi(stack.deskUrl, stack.operatorToken);
  const members = await enrolAll(api, [...enrolled, ...fillers], stop);
  const regulars = members.filter(({ person }) => enrolled.includes(person));
  const strangerOf = (turn: number) =>
    heldOut.length > 0 ? (heldOut[turn % heldOut.length] as Person) : hands.person(STRANGER_SEED + turn);
  const links = await demoLinks(api, stack, ENTRANCE.site);
  const ends = stopsAfter(config.forMs, stop);

  say(
    `\n  ${members.length} members enrolled. Live page: ${stack.deskUrl}/   metrics: ${stack.opsUrl("gateway-1")}/metrics`,
  );
  say(`  Try it with your own hand. First become a member: ${links.enrol}`);
  say(`  then hold your palm over your own lane:           ${links.lane}`);
  say(
    config.forMs === undefined ? "  Ctrl-C ends it.\n" : `  It ends by itself in ${config.forMs / 1000} s.\n`,
  );
  const table = openTable(
    { isTerminal: isatty(STDERR), write: (text) => report(STDERR, text) },
    LANES.map(({ id }) => id),
  );
  const presented: Presented[] = [];
  const facts = {
    transport: String(stack.child("gateway-1").ready.transport),
    members: members.length,
    gateways: FLEET.gateways,
    matchers: FLEET.rows,
  };
  const log = openLog("demo");
  await Promise.all(
    LANES.map((device, lane) =>
      runLane({
        stack,
        device,
        log,
        pauseMs: config.pauseMs,
        signal: ends,
        passer: (n) => passerOf(n, lane, regulars, strangerOf),
        onPresented: (each, decision) => {
          presented.push(each);
          table.status(sentence(summarise(presented, facts)));
          table.add({ lane: device.id, purpose: device.purpose, decision, roundTripMs: each.roundTripMs });
        },
      }),
    ),
  );
  return summarise(presented, facts);
}

/** Members in an order that visits everybody, a stranger in between now and then. */
function passerOf(
  n: number,
  lane: number,
  regulars: readonly Member[],
  strangerOf: (turn: number) => Person,
): Passer {
  const turn = n * LANES.length + lane;
  if (n % STRANGER_EVERY === STRANGER_EVERY - 1) {
    return { person: strangerOf(turn), pairwiseIds: undefined };
  }
  const member = regulars[turn % regulars.length];
  if (!member) throw new Error("nobody is enrolled");
  return { person: member.person, pairwiseIds: member.enrolment.pairwiseIds };
}

function sentence(s: Summary): string {
  const times =
    s.p50Ms === null ? "" : `; hand to light p50 ${s.p50Ms} ms, p95 ${s.p95Ms} ms, p99 ${s.p99Ms} ms`;
  return `${s.presentations} presentations: ${s.granted} granted, ${s.refused} refused, ${s.noMatch} not known, ${s.tryAgain} to try again, ${s.undecided} undecided; ${s.wrong} wrong, ${s.missed} missed${times}`;
}

/** Fires after that long, or with `stop`. (Node 20 can lose AbortSignal.any over a timeout to the garbage collector.) */
function stopsAfter(forMs: number | undefined, stop: AbortSignal): AbortSignal {
  if (forMs === undefined) return stop;
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), forMs);
  stop.addEventListener("abort", () => {
    clearTimeout(timer);
    controller.abort();
  });
  return controller.signal;
}

/** Fires at the first Ctrl-C or SIGTERM; a second one ends at once, as usual. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
