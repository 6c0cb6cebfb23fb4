// Every number the gateway shows to operators. Names are those of docs/architecture.md.
//
// Invariants:
// - no label carries a site, device, member or presentation: the number of series is fixed at start;
// - labels of the hot path are bound once, here; only decisions_total, of three labels, is looked up per decision.
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { SearchCounts } from "../identify/index.js";
import type { edge } from "../wire/codec.js";
import type { LanePurpose } from "../wire/directory.js";
import { LINK_ERRORS, type LinkCode } from "../wire/errors.js";
import type { ReportAnswer } from "./record/passages.js";

/** Seconds; 0.3, 0.5 and 1.0 are the budgets that the alerts ask about. */
const DECISION_BUCKETS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5];
const STAGE_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1];

export const STAGES = ["receive", "queue", "sign", "search", "decide", "act"] as const;
export type StageName = (typeof STAGES)[number];

export const FRAME_RESULTS = ["searched", "guided", "refused", "dropped"] as const;
/** searched: went to the matchers; guided: too poor to search; refused: coded error; dropped: its presentation was over. */
export type FrameResult = (typeof FRAME_RESULTS)[number];

export const GRANT_RESULTS = ["recorded", "again", "closed", "unavailable", "unheard"] as const;
/** again: asked for anew after a lost link; closed: had its end; unavailable: the log did not take it; unheard: its lane was gone. */
export type GrantResult = (typeof GRANT_RESULTS)[number];

const REPORT_ANSWERS = [
  "RECORDED",
  "KNOWN",
  "TOKEN_INVALID",
  "NOT_NOW",
] as const satisfies readonly ReportAnswer[];
const PASSAGES = ["OPENED", "EXPIRED", "FAILED"] as const satisfies (keyof typeof edge.Passage)[];

export type OutcomeName = Exclude<keyof typeof edge.Outcome, "OUTCOME_UNSPECIFIED">;
export type ReasonName = keyof typeof edge.Reason;

const OUTCOMES: readonly OutcomeName[] = ["MATCH", "NO_MATCH", "AMBIGUOUS", "LOW_QUALITY", "UNDECIDED"];

/** Values that are read when Prometheus asks, not kept up to date by the hot path. */
export interface GaugeSources {
  lanes(): number;
  presentationsActive(): number;
  creditsOutstanding(): number;
  signers(): { queued: number; busy: number };
  shards(): { expected: number; served: number; missingReplicas: number };
  unrecordedEvents(): number;
  searches(): SearchCounts;
}

export interface GatewayMetrics {
  readonly registry: Registry;
  stage(stage: StageName, ms: number): void;
  decision(purpose: LanePurpose, outcome: OutcomeName, reason: ReasonName, totalMs: number): void;
  frame(result: FrameResult): void;
  linkError(code: LinkCode): void;
  grant(result: GrantResult): void;
  /** What a lane's gate did with a granted decision, and what was answered. */
  passage(passage: edge.Passage, answer: ReportAnswer): void;
  payment(step: string): void;
  transport(engine: string): void;
  /** Binds the gauges to what they show. Once, when everything is open. */
  observe(sources: GaugeSources): void;
}

/** Makes the gateway's metrics with every hot label bound. */
export function openMetrics(): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
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
  const payments = counter("payments_total", "Steps of payments", ["step"]);
  const grants = counter("grants_total", "Grants by what became of them", ["result"]);
  const passages = counter("passages_total", "Granted decisions by what the lane's gate did", ["passage"]);
  const reports = counter("passage_reports_total", "Reports of gates by what was answered", ["answer"]);
  const transportInfo = new Gauge({
    name: "palmgate_transport_info",
    help: "Engine behind the sockets",
    labelNames: ["engine"],
    registers,
  });

  const stageOf = bind(STAGES, (stage) => stageSeconds.labels(stage));
  const secondsOf = bind(OUTCOMES, (outcome) => decisionSeconds.labels(outcome));
  const frameOf = bind(FRAME_RESULTS, (result) => frames.labels(result));
  const grantOf = bind(GRANT_RESULTS, (result) => grants.labels(result));
  const passageOf = bind(PASSAGES, (passage) => passages.labels(passage.toLowerCase()));
  const reportOf = bind(REPORT_ANSWERS, (answer) => reports.labels(answer.toLowerCase()));
  const errorOf = bind(Object.keys(LINK_ERRORS) as LinkCode[], (code) => linkErrors.labels(code));
  for (const children of [frameOf, errorOf, grantOf, passageOf, reportOf]) {
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
    grant: (result) => grantOf[result].inc(),
    passage: (passage, answer) => {
      reportOf[answer].inc();
      const name = PASSAGES[passage - 1];
      if (answer === "RECORDED" && name !== undefined) passageOf[name].inc();
    },
    payment: (step) => payments.labels(step).inc(),
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
  gauge("shards_expected", "Shards of the fleet", () => sources.shards().expected);
  gauge("shards_served", "Shards that a matcher answers for", () => sources.shards().served);
  gauge("shard_replicas_missing", "Copies of shards that rows should have and nobody answers for", () => {
    return sources.shards().missingReplicas;
  });
  gauge("unrecorded_events", "Decisions not in the log yet", sources.unrecordedEvents);
  const total = (name: string, help: string, read: (counts: SearchCounts) => number) => {
    let told = 0;
    new Counter({
      name: `palmgate_${name}_total`,
      help,
      registers,
      collect() {
        const now = read(sources.searches());
        this.inc(now - told);
        told = now;
      },
    });
  };
  total("searches", "Searches of a whole gallery", ({ searches }) => searches);
  total("second_asks", "Workers asked in the place of others", ({ secondAsks }) => secondAsks);
  total("second_asks_refused", "Second asks beyond the budget", ({ secondAsksRefused }) => secondAsksRefused);
  total("answers_dropped", "Answers of workers that were none", ({ answersDropped }) => answersDropped);
}
