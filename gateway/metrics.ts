// Every number the gateway shows to operators. Names are those of docs/architecture.md.
//
// Invariants:
// - no label carries a site, device, member or presentation: the number of series is fixed at start;
// - labels of the hot path are bound once, here; only decisions_total, of three labels, is looked up per decision.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { DATA_KEY_REFUSALS, type DataKeyRefusal } from "../records/index.js";
import type { edge } from "../wire/codec.js";
import { LINK_ERRORS, type LinkCode } from "../wire/errors.js";
import { countDroppedLines } from "../wire/report.js";
import type { LanePurpose } from "./sites.js";

/** Seconds; 0.3, 0.5 and 1.0 are the budgets that the alerts ask about. */
const DECISION_BUCKETS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5];
const STAGE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1];

export const STAGES = ["receive", "queue", "sign", "search", "decide", "act"] as const;
export type StageName = (typeof STAGES)[number];

export const FRAME_RESULTS = ["searched", "guided", "refused", "dropped"] as const;
/** searched: went to the matchers; guided: too poor to search; refused: coded error; dropped: its presentation was over. */
export type FrameResult = (typeof FRAME_RESULTS)[number];

export const PASS_RESULTS = ["issued", "taken", "returned", "refused", "throttled"] as const;
/** taken: a use went; returned: given back, as what it was for was refused; throttled: too many wrong codes before it. */
export type PassResult = (typeof PASS_RESULTS)[number];

export type OutcomeName = Exclude<keyof typeof edge.Outcome, "OUTCOME_UNSPECIFIED">;
export type ReasonName = keyof typeof edge.Reason;

/** By their number in the contract, from 1. */
const PASSAGES = ["OPENED", "EXPIRED", "FAILED"] as const satisfies (keyof typeof edge.Passage)[];

const OUTCOMES: readonly OutcomeName[] = ["MATCH", "NO_MATCH", "AMBIGUOUS", "LOW_QUALITY", "UNDECIDED"];

/** Values that are read when Prometheus asks, not kept up to date by the hot path. */
export interface GaugeSources {
  lanes(): number;
  presentationsActive(): number;
  creditsOutstanding(): number;
  signers(): { queued: number; busy: number };
  partitions(): { expected: number; ready: number };
  members(): number;
  memberLag(): number;
  unrecordedEvents(): number;
}

export interface GatewayMetrics {
  readonly registry: Registry;
  stage(stage: StageName, ms: number): void;
  decision(purpose: LanePurpose, outcome: OutcomeName, reason: ReasonName, totalMs: number): void;
  frame(result: FrameResult): void;
  linkError(code: LinkCode): void;
  /** @param route a route's pattern, never a path with an id in it */
  apiRequest(route: string, status: number): void;
  payment(step: string): void;
  pass(result: PassResult): void;
  dataKeyRefused(code: DataKeyRefusal): void;
  /** What a lane's gate did with a granted decision. */
  passage(passage: edge.Passage): void;
  transport(engine: string): void;
  /** Binds the gauges to what they show. Once, when everything is open. */
  observe(sources: GaugeSources): void;
}

/** Makes the gateway's metrics with every hot label bound. */
export function openMetrics(): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  countDroppedLines(registry);
  const stageSeconds = new Histogram({
    name: "palmgate_stage_seconds",
    help: "Time of one stage of one presentation",
    labelNames: ["stage"],
    buckets: STAGE_BUCKETS,
    registers,
  });
  const decisionSeconds = new Histogram({
    name: "palmgate_decision_seconds",
    help: "First frame in to decision out",
    labelNames: ["outcome"],
    buckets: DECISION_BUCKETS,
    registers,
  });
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `palmgate_${name}`, help, labelNames, registers });
  const decisions = counter("decisions_total", "Decisions", ["purpose", "outcome", "reason"]);
  const frames = counter("frames_total", "Frames by what became of them", ["result"]);
  const linkErrors = counter("link_errors_total", "Coded errors sent on edge links", ["code"]);
  const apiRequests = counter("api_requests_total", "Operator API requests", ["route", "status"]);
  const payments = counter("payments_total", "Steps of payments", ["step"]);
  const passes = counter("passes_total", "Passes by what became of them", ["result"]);
  const dataKeysRefused = counter("data_keys_refused_total", "Data keys in the log that are not taken", [
    "reason",
  ]);
  const transportInfo = new Gauge({
    name: "palmgate_transport_info",
    help: "Engine behind the sockets",
    labelNames: ["engine"],
    registers,
  });

  const stageOf = bind(STAGES, (stage) => stageSeconds.labels(stage));
  const secondsOf = bind(OUTCOMES, (outcome) => decisionSeconds.labels(outcome));
  const frameOf = bind(FRAME_RESULTS, (result) => frames.labels(result));
  const passOf = bind(PASS_RESULTS, (result) => passes.labels(result));
  const errorOf = bind(Object.keys(LINK_ERRORS) as LinkCode[], (code) => linkErrors.labels(code));
  const passages = counter("passages_total", "Granted decisions by what the lane's gate did", ["passage"]);
  const passageOf = bind(PASSAGES, (passage) => passages.labels(passage.toLowerCase()));
  const refusedKeyOf = bind(DATA_KEY_REFUSALS, (code) => dataKeysRefused.labels(code.toLowerCase()));
  for (const children of [frameOf, errorOf, passOf, passageOf, refusedKeyOf]) {
    for (const child of Object.values(children)) child.inc(0);
  }

  return {
    registry,
    stage: (stage, ms) => stageOf[stage].observe(ms / 1000),
    decision: (purpose, outcome, reason, totalMs) => {
      secondsOf[outcome].observe(totalMs / 1000);
      decisions.labels(purpose, outcome, reason).inc();
    },
    frame: (result) => frameOf[result].inc(),
    linkError: (code) => errorOf[code].inc(),
    apiRequest: (route, status) => apiRequests.labels(route, String(status)).inc(),
    payment: (step) => payments.labels(step).inc(),
    pass: (result) => passOf[result].inc(),
    passage: (passage) => {
      const name = PASSAGES[passage - 1];
      if (name !== undefined) passageOf[name].inc();
    },
    dataKeyRefused: (code) => refusedKeyOf[code].inc(),
    transport: (engine) => transportInfo.labels(engine).set(1),
    observe: (sources) => registerGauges(registers, sources),
  };
}

function bind<K extends string, C>(keys: readonly K[], child: (key: K) => C): Record<K, C> {
  return Object.fromEntries(keys.map((key) => [key, child(key)])) as Record<K, C>;
}

function registerGauges(registers: Registry[], sources: GaugeSources): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `palmgate_${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge("lanes", "Lanes connected and welcomed", sources.lanes);
  gauge("presentations_active", "Presentations under way", sources.presentationsActive);
  gauge("credits_outstanding", "Frames that lanes may still send", sources.creditsOutstanding);
  gauge("signer_queue", "Frames waiting for a signer thread", () => sources.signers().queued);
  gauge("signer_busy", "Signer threads at work", () => sources.signers().busy);
  gauge("partitions_expected", "Partitions of all galleries", () => sources.partitions().expected);
  gauge("partitions_ready", "Partitions with a matcher that answers", () => sources.partitions().ready);
  gauge("members", "Members in the gateway's view", sources.members);
  gauge("unrecorded_events", "Decisions and passages not in the log yet", sources.unrecordedEvents);
  new Gauge({
    name: "palmgate_event_lag",
    help: "Events in the log and not yet applied here",
    labelNames: ["stream"],
    registers,
    collect() {
      this.labels("MEMBERS").set(sources.memberLag());
    },
  });
}
