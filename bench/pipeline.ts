// `palmgate bench pipeline`: what a decision costs beyond its bare stages.
//
// Above the line: CPU (user and system, all threads) that the gateway and the matchers use per decision, real processes
// over real sockets, with 16 presentations in flight. Below it: CPU of the bare stages in this process, on the same
// frames, against the same gallery, in the same run (see pipeline-bare.ts). Both sides take turns, round by round.
// Not counted: nats-server (shown beside it) and the lanes' agents, which run in this process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { enrolAll, type Member } from "../cli/demo/enrol.js";
import { syntheticPerson } from "../cli/demo/people.js";
import { openProgress } from "../cli/demo/progress.js";
import { operatorApi } from "../cli/operator-api.js";
import { GALLERY, type Role, type Stack, startStack, waitReady } from "../cli/stack/stack.js";
import { GATEWAY_SETTINGS } from "../gateway/config.js";
import {
  type GreyImage,
  loadCalibration,
  openSignatureModel,
  type Signature,
  thresholdFor,
} from "../palm/index.js";
import { edge, encode } from "../wire/codec.js";
import { helpText, readSettings, type Settings, type Values } from "../wire/config.js";
import { openLog } from "../wire/log.js";
import {
  addMember,
  BARE_STAGES,
  type BareCpu,
  type BareGallery,
  bareGallery,
  runBare,
  signOf,
} from "./pipeline-bare.js";
import { openLoad } from "./pipeline-load.js";
import { pidByArgument, processCpuMs } from "./process-cpu.js";

const READY_DEADLINE_MS = 60_000;
const TARGET_FPIR = 1e-3;
const AMBIGUITY_MARGIN = 0.02;
const TARGET_RATIO = 1.5;
const COUNTED =
  "ratio = CPU of gateways and matchers per decision / CPU of decode + sign (with quality) + search of the gallery " +
  "+ decide + encode, bare, per decision; user and system time; nats-server and the agents are not counted";
const COUNTED_IN_FULL = `ratio = A / B, both CPU milliseconds per decision, user and system time; the median of the rounds.
A: every thread of the gateways and of all matchers, real processes over real sockets, while the lanes present one frame
   each, again and again: decode, admit, quality and signature, both rounds of the search and their replies, policy, the
   grant in the record, answer, passages, metrics, heartbeats, garbage collection and the just-in-time compiler.
B: the same functions in the bench's own process, one after another with nothing between them, on the same frames and
   the same members: decode of the frame, quality and signature, one search (index, then line maps), policy, encode of
   the decision.
In neither: nats-server and the ledger (shown beside them), the lanes' agents, enrolment, warm-up.
The gallery is the demo's unless told otherwise: synthetic palms, three templates a member. Enrolling it comes first.`;

const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);

const SETTINGS = {
  members: { option: "members", value: "N", help: "members of the gallery", schema: count(1000, 100_000) },
  inFlight: { option: "in-flight", value: "N", help: "presentations in flight", schema: count(16, 256) },
  gateways: { option: "gateways", value: "N", help: "gateway processes", schema: count(1, 8) },
  rows: { option: "rows", value: "N", help: "replicas of every shard", schema: count(2, 8) },
  slots: { option: "slots", value: "N", help: "matchers of a row", schema: count(1, 16) },
  decisions: { option: "decisions", value: "N", help: "decisions per round", schema: count(400, 100_000) },
  warmUp: {
    option: "warm-up",
    value: "N",
    help: "decisions before the first round: until the JIT has settled",
    schema: count(4000, 100_000),
  },
  rounds: { option: "rounds", value: "N", help: "rounds; the ratio is their median", schema: count(5, 100) },
  json: { option: "json", help: "print one JSON object", schema: z.boolean().default(false), flag: true },
} as const satisfies Settings;

type Config = Values<typeof SETTINGS>;

const HELP = helpText(
  "palmgate bench pipeline [options]",
  `What a decision costs beyond its bare stages (target <= ${TARGET_RATIO}).\n\n${COUNTED_IN_FULL}`,
  SETTINGS,
);

const progress = (text: string) => process.stderr.write(`bench pipeline: ${text}\n`);

export async function run(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  const config = readSettings(SETTINGS, argv);
  const dir = mkdtempSync(join(tmpdir(), "palmgate-bench-"));
  const lanes = Array.from({ length: config.inFlight }, (_, at) => `lane-${at}`);
  let stack: Stack | undefined;
  try {
    stack = await startStack({
      dir,
      gateways: config.gateways,
      rows: config.rows,
      slots: config.slots,
      devices: lanes.map((id) => ({ id, site: "bench", purpose: "ENTRY" })),
      onProgress: progress,
    });
    await waitReady(stack, READY_DEADLINE_MS);
    const report = await bench(config, stack, lanes, join(dir, "nats"));
    process.stdout.write(config.json ? `${JSON.stringify(report)}\n` : tableOf(report));
    return 0;
  } finally {
    await stack?.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Round {
  gateway: number;
  matchers: number;
  natsServer: number;
  ledger: number;
  /** Payload and headers that nats-server took in and gave out, and their messages. */
  bus: Bus;
  bare: BareCpu;
  ratio: number;
}

async function bench(config: Config, stack: Stack, lanes: readonly string[], natsDir: string) {
  const people = Array.from({ length: config.members }, (_, at) => syntheticPerson(at + 1));
  const members = await enrolAll(operatorApi(stack.deskUrl, stack.operatorToken), people);
  const modelPath = GATEWAY_SETTINGS.model.schema.parse(undefined);
  const model = await openSignatureModel(modelPath);
  const gallery = await sameGallery(members, model);
  const palms = await palmsOf(members, config.decisions);
  const frames = palms.map(frameBytes);
  const calibration = await loadCalibration(
    GATEWAY_SETTINGS.calibration.schema.parse(undefined),
    model.modelId,
  );
  const rules = {
    targetFpir: TARGET_FPIR,
    ambiguityMargin: AMBIGUITY_MARGIN,
    similarityFor: (rate: number) => thresholdFor(calibration, rate),
  };

  const load = await openLoad(stack.linkUrl, lanes, (id) => stack.deviceKeyFile(id), palms, openLog("bench"));
  const natsPid = pidByArgument(natsDir);
  const pids = () => ({
    gateway: pidsOf(stack, "gateway"),
    matchers: pidsOf(stack, "matcher"),
    natsServer: natsPid === undefined ? [] : [natsPid],
    ledger: pidsOf(stack, "ledger"),
  });
  const cpu = () => mapValues(pids(), (each) => each.reduce((sum, pid) => sum + processCpuMs(pid), 0));
  progress("warming up");
  await load.run(config.warmUp);
  await runBare(frames, model, gallery, rules);

  const rounds: Round[] = [];
  const roundTripMs: number[] = [];
  const sums = { matches: 0, undecided: 0, busy: 0, wallMs: 0, bareMatches: 0 };
  for (let round = 1; round <= config.rounds; round++) {
    const busBefore = await busOf(stack);
    const before = cpu();
    const result = await load.run(config.decisions);
    const after = cpu();
    const busAfter = await busOf(stack);
    const bare = await runBare(frames, model, gallery, rules);
    const used = mapValues(after, (total, name) => (total - before[name]) / config.decisions);
    const ratio = (used.gateway + used.matchers) / sum(Object.values(bare.cpuMs));
    const bus = mapValues(busAfter, (total, name) => (total - busBefore[name]) / config.decisions);
    rounds.push({ ...used, bus, bare: bare.cpuMs, ratio });
    roundTripMs.push(...result.roundTripMs);
    sums.matches += result.matches;
    sums.undecided += result.undecided;
    sums.busy += result.busy;
    sums.wallMs += result.wallMs;
    sums.bareMatches += bare.matches;
    progress(`round ${round} of ${config.rounds}: ratio ${ratio.toFixed(2)}`);
  }
  await load.close();
  await model.close();
  const decisions = config.decisions * config.rounds;
  const median = (pick: (round: Round) => number) => quantile(rounds.map(pick), 0.5);
  const bareCpuMs = Object.fromEntries(
    BARE_STAGES.map((stage) => [stage, median(({ bare }) => bare[stage])]),
  ) as BareCpu;
  return {
    ratio: median(({ ratio }) => ratio),
    ratioByRound: rounds.map(({ ratio }) => ratio),
    targetRatio: TARGET_RATIO,
    counted: COUNTED,
    decisions,
    inFlight: config.inFlight,
    members: members.length,
    templates: gallery.templates,
    gateways: config.gateways,
    rows: config.rows,
    slots: config.slots,
    cpuMsPerDecision: {
      gateway: median(({ gateway }) => gateway),
      matchers: median(({ matchers }) => matchers),
      natsServer: median(({ natsServer }) => natsServer),
      ledger: median(({ ledger }) => ledger),
    },
    busPerDecision: {
      bytesIn: median(({ bus }) => bus.bytesIn),
      bytesOut: median(({ bus }) => bus.bytesOut),
      messagesIn: median(({ bus }) => bus.messagesIn),
      messagesOut: median(({ bus }) => bus.messagesOut),
    },
    bareCpuMsPerDecision: { ...bareCpuMs, total: median(({ bare }) => sum(Object.values(bare))) },
    matched: sums.matches / decisions,
    matchedBare: sums.bareMatches / decisions,
    undecided: sums.undecided,
    busy: sums.busy,
    decisionsPerSecond: (decisions * 1000) / sums.wallMs,
    p50Ms: quantile(roundTripMs, 0.5),
    p95Ms: quantile(roundTripMs, 0.95),
  };
}

type Report = Awaited<ReturnType<typeof bench>>;

async function sameGallery(
  members: readonly Member[],
  model: Awaited<ReturnType<typeof openSignatureModel>>,
): Promise<BareGallery> {
  const gallery = bareGallery(model);
  const progress = openProgress("building the same gallery here, for the bare stages", members.length);
  for (const [at, { person, enrolment }] of members.entries()) {
    const signatures: Signature[] = [];
    for (const capture of await person.enrolment(0)) signatures.push(await signOf(model, capture));
    addMember(gallery, enrolment.memberId, signatures);
    progress.step(at + 1);
  }
  return gallery;
}

/** One fresh image per decision, of members in turn. */
async function palmsOf(members: readonly Member[], wanted: number): Promise<GreyImage[]> {
  const palms: GreyImage[] = [];
  for (let n = 0; palms.length < wanted; n++) {
    for (const { person } of members.slice(0, wanted - palms.length)) {
      const { image } = (await (await person.presentation(n)).frames().next()) ?? {};
      if (image) palms.push({ width: image.widthPx, height: image.heightPx, pixels: image.bytes });
    }
  }
  return palms;
}

function frameBytes({ width, height, pixels }: GreyImage): Uint8Array {
  return encode(edge.ClientMessage, {
    frame: {
      presentationId: new Uint8Array(16),
      sequence: 0,
      capturedUnixMs: Date.now(),
      encoding: edge.Encoding.GRAY8,
      widthPx: width,
      heightPx: height,
      stage: edge.Stage.ROI,
      modality: edge.Modality.VISIBLE,
      image: pixels,
      last: true,
    },
  });
}

function tableOf(report: Report): string {
  const { cpuMsPerDecision: cpu, bareCpuMsPerDecision: bare } = report;
  const row = (name: string, ms: number) => `  ${name.padEnd(34)} ${ms.toFixed(3).padStart(8)} ms`;
  return [
    `${report.decisions} decisions, ${report.inFlight} in flight, gallery '${GALLERY}' of ${report.members} members ` +
      `(${report.templates} templates), ${report.gateways} gateways, ${report.rows} rows of ${report.slots} matchers`,
    "CPU per decision, real processes:",
    row("gateway", cpu.gateway),
    row("matchers", cpu.matchers),
    row("(nats-server, not counted)", cpu.natsServer),
    row("(ledger, not counted)", cpu.ledger),
    `on the bus per decision: ${report.busPerDecision.messagesIn.toFixed(1)} messages of ${report.busPerDecision.bytesIn.toFixed(0)} bytes in, ` +
      `${report.busPerDecision.messagesOut.toFixed(1)} of ${report.busPerDecision.bytesOut.toFixed(0)} bytes out (all traffic, heartbeats too)`,
    "CPU per decision, bare stages:",
    ...BARE_STAGES.map((stage) => row(stage, bare[stage])),
    row("sum", bare.total),
    `ratio ${report.ratio.toFixed(2)} (median of ${report.ratioByRound.map((each) => each.toFixed(2)).join(", ")}; target <= ${TARGET_RATIO})`,
    `matched ${(100 * report.matched).toFixed(2)} % (bare ${(100 * report.matchedBare).toFixed(2)} %), undecided ${report.undecided}, BUSY ${report.busy}`,
    `${report.decisionsPerSecond.toFixed(0)} decisions/s, round trip p50 ${report.p50Ms.toFixed(0)} ms, p95 ${report.p95Ms.toFixed(0)} ms`,
    COUNTED,
    "",
  ].join("\n");
}

const pidsOf = (stack: Stack, role: Role): number[] => stack.of(role).map(({ pid }) => pid);

type Bus = Record<"bytesIn" | "bytesOut" | "messagesIn" | "messagesOut", number>;

const varz = z.object({
  in_bytes: z.number(),
  out_bytes: z.number(),
  in_msgs: z.number(),
  out_msgs: z.number(),
});

/** Totals since nats-server started, from its monitoring port. */
async function busOf({ nats }: Stack): Promise<Bus> {
  const answer = await fetch(`${nats.monitorUrl}/varz`);
  const {
    in_bytes: bytesIn,
    out_bytes: bytesOut,
    in_msgs: messagesIn,
    out_msgs: messagesOut,
  } = varz.parse(await answer.json());
  return { bytesIn, bytesOut, messagesIn, messagesOut };
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

function mapValues<K extends string, A, B>(record: Record<K, A>, map: (value: A, key: K) => B): Record<K, B> {
  const entries = (Object.entries(record) as [K, A][]).map(([key, value]) => [key, map(value, key)]);
  return Object.fromEntries(entries) as Record<K, B>;
}
