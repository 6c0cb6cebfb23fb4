// `palmgate edge`: the agent of one lane.
//
// Follow one palm from here to the gate relay:
//   source/source.ts   a palm is held over the reader and yields frames; from a camera:
//     camera/camera.ts   ffmpeg's newest image
//     camera/source.ts   something moves: look (sight.ts finds, cuts and judges, in a thread of its own)
//     camera/visit.ts    somebody is there: when to present, when the next may begin
//     best-crops.ts      which crops are sent, best first
//   lane.ts            the lane presents palm after palm
//   presentation.ts    one presentation, also when the link drops on the way; it pays once
//   attempt.ts         each frame goes out with a credit, until the Decision comes
//   connection.ts      frames and Decisions on one welcomed WebSocket (link.ts keeps one open for ever)
//   (the gateway decides: start at its presentation.ts)
//   gate.ts            may the gate open? only granted, in time, once per token and presentation
//   gates/command.ts   the relay moves
//   passages.ts        what it did is kept (journal.ts) and reported until a gateway has it on record
import { randomBytes } from "node:crypto";
import type { Guidance } from "../palm/hand/judge.js";
import { edge } from "../wire/codec.js";
import { helpText } from "../wire/config.js";
import { type Log, openLog } from "../wire/log.js";
import { type OpsServer, openOpsServer } from "../wire/ops-server.js";
import { report, STDOUT } from "../wire/report.js";
import { type Agent, startAgent } from "./agent.js";
import type { Charge } from "./attempt.js";
import { captureSize } from "./camera/ffmpeg.js";
import { loadDeviceKey, writeNewDeviceKey } from "./device-key.js";
import { type Gate, noGate } from "./gate.js";
import { commandGate } from "./gates/command.js";
import { consoleGate } from "./gates/console.js";
import { openJournal } from "./journal.js";
import { runLane } from "./lane.js";
import type { LinkState } from "./link.js";
import { type AgentMetrics, openAgentMetrics } from "./metrics.js";
import type { PassageStore } from "./passage-store.js";
import { describeEnd, lineOf } from "./report.js";
import {
  EDGE_SETTINGS,
  type EdgeSettings,
  keyFileToMake,
  readAuthorities,
  readEdgeSettings,
} from "./settings.js";
import { isCamera, openSource } from "./source/open.js";
import type { PalmSource } from "./source/source.js";

const WHAT =
  "Presents palms to a gateway and opens a gate on its decisions. Nothing of a palm is ever written to disk.";

/** @returns the exit code */
export async function main(argv: string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(helpText("palmgate edge [options]", WHAT, EDGE_SETTINGS));
    return 0;
  }
  const newKeyFile = keyFileToMake(argv);
  if (newKeyFile !== undefined) {
    process.stdout.write(`${writeNewDeviceKey(newKeyFile)}\n`);
    return 0;
  }
  await runEdge(readEdgeSettings(argv), stopSignal());
  return 0;
}

/** One lane, from its settings to its end. */
async function runEdge(settings: EdgeSettings, signal: AbortSignal): Promise<void> {
  const log = openLog("edge", { device: settings.deviceId });
  const metrics = openAgentMetrics();
  for (const gateway of settings.gateways) warnOfCleartext(new URL(gateway), log);
  let state: LinkState = { phase: "connecting" };
  const ops = await openOps(settings, metrics, () => state);
  const gate = await openGate(settings, metrics, log);
  signal.addEventListener("abort", () => void gate.shut?.());
  try {
    const source = await openLaneSource(settings, metrics, log);
    const onState = (next: LinkState) => {
      state = next;
    };
    try {
      const agent = await welcomedAgent(settings, { log, metrics, signal, onState, gate });
      if (!agent) return;
      announceReady(settings, agent, ops, log);
      await presentAll(settings, agent, source, signal);
      await agent.close();
    } finally {
      await source.close?.();
    }
  } finally {
    await ops.close();
  }
}

async function presentAll(
  settings: EdgeSettings,
  agent: Agent,
  source: PalmSource,
  signal: AbortSignal,
): Promise<void> {
  const { count, json } = settings;
  // A camera waits for hands: only its own end ends the wait.
  signal.addEventListener("abort", () => source.stop?.());
  await runLane({
    agent,
    source,
    chargeFor: chargesOf(settings),
    intervalMs: settings.intervalMs ?? (isCamera(settings.source) ? 0 : REST_MS),
    count,
    signal,
    onProgress: ({ displayKey }) => print(json ? JSON.stringify({ progress: displayKey }) : "one moment"),
    onEnd: (palm, end) => print(json ? JSON.stringify(describeEnd(palm, end)) : lineOf(palm, end)),
  });
}

/** Rest between two presentations of a source that always has a palm. */
const REST_MS = 1000;

function openLaneSource(settings: EdgeSettings, { camera }: AgentMetrics, log: Log): Promise<PalmSource> {
  const { source, session, send, hands, cameraSize, cameraFps, cameraLight, json } = settings;
  const modality = cameraLight === "nir" ? edge.Modality.NIR : edge.Modality.VISIBLE;
  const options = {
    source,
    session,
    send,
    hands,
    camera: { size: captureSize(cameraSize), maxFps: cameraFps, modality },
  };
  const onGuide = (reason: Guidance) => print(json ? JSON.stringify({ guide: reason }) : `guide: ${reason}`);
  return openSource(options, log, { counters: camera, onGuide });
}

interface AgentParts {
  log: Log;
  metrics: AgentMetrics;
  signal: AbortSignal;
  onState: (state: LinkState) => void;
  gate: Gate;
}

/** @returns undefined when it was stopped before the gateway welcomed it */
async function welcomedAgent(settings: EdgeSettings, parts: AgentParts): Promise<Agent | undefined> {
  const { gateways, deviceId, deviceKey, ca } = settings;
  try {
    return await startAgent({
      gateway: gateways,
      deviceId,
      key: loadDeviceKey(deviceKey),
      ca: readAuthorities(ca),
      passageStore: passageStoreOf(settings, parts.log),
      ...parts,
    });
  } catch (error) {
    if (parts.signal.aborted) return undefined;
    throw error;
  }
}

function passageStoreOf({ journalDir, deviceId }: EdgeSettings, log: Log): PassageStore | undefined {
  if (journalDir !== undefined) return openJournal({ dir: journalDir, deviceId, log });
  log.warn(
    "no --journal-dir: passages that are not acknowledged when this agent ends are not reported, and what they paid is not captured",
  );
  return undefined;
}

async function openGate(settings: EdgeSettings, metrics: AgentMetrics, log: Log): Promise<Gate> {
  const { onOpen, onClose, holdMs, deviceId, json } = settings;
  // With --json the line of the presentation says that the gate has opened.
  if (onOpen === undefined) return json ? noGate : consoleGate(print);
  const gate = commandGate({ onOpen, onClose, holdMs, deviceId });
  const recovered = await gate.recover();
  if (!recovered.ok) {
    metrics.gate(edge.Passage.FAILED);
    log.error({ why: recovered.why }, "the gate failed");
    print(json ? JSON.stringify({ gate: "FAILED" }) : "THE GATE FAILED: the log says why");
  }
  return gate;
}

/** Each presentation is an order of its own. */
function chargesOf({
  chargeMinor,
  chargeCurrency,
}: EdgeSettings): (presentation: number) => Charge | undefined {
  if (chargeMinor === undefined) return () => undefined;
  const run = randomBytes(6).toString("hex");
  return (presentation) => ({
    amountMinor: chargeMinor,
    currency: chargeCurrency,
    orderRef: `${run}-${presentation}`,
  });
}

function openOps(settings: EdgeSettings, metrics: AgentMetrics, state: () => LinkState): Promise<OpsServer> {
  const { host, opsPort } = settings;
  const notReady = () => (state().phase === "open" ? [] : [`the link to the gateway is ${state().phase}`]);
  return openOpsServer({ host, port: opsPort, registry: metrics.registry, notReady });
}

function announceReady({ json }: EdgeSettings, agent: Agent, ops: OpsServer, log: Log): void {
  const { site, gallery, transport } = agent.terms();
  log.info({ site, gallery, transport, opsPort: ops.port }, "welcomed by the gateway");
  if (json) print(JSON.stringify({ ready: true, opsPort: ops.port }));
}

const LOOPBACK = /^(localhost|127\..+|\[::1\])$/;

function warnOfCleartext({ protocol, hostname }: URL, log: Log): void {
  if (protocol === "wss:" || protocol === "https:" || LOOPBACK.test(hostname)) return;
  log.warn(
    "palms would cross the network unencrypted: use a wss:// gateway, with --ca for an authority of your own",
  );
}

function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // For good: a second one must not end us before the gate is shut.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stop.abort());
  return stop.signal;
}

const print = (line: string): void => report(STDOUT, `${line}\n`);
