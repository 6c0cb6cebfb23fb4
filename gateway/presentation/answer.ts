// The end of a presentation: what lets somebody in goes into the record, then to the lane; anything else to the lane,
// then into the record. No similarity goes out from here, and of a member only what the books know them by.
//
// Invariants:
// - granted is answered only after the log has the grant, within RECORD_MS; else the answer is UNDECIDED;
// - a grant that nobody would hear is neither recorded nor answered: the lane comes back and asks again;
// - no decision that is answered is left out of the record.
import { bus, edge, encode } from "../../wire/codec.js";
import { DECISION_VALID_MS } from "../../wire/limits.js";
import type { LiveDecision, Stages } from "../../wire/live.js";
import { pairwiseId } from "../../wire/pairwise.js";
import { decisionSubject } from "../../wire/subjects.js";
import { laneUnixMs } from "../lane/lane-time.js";
import { type GatewayMetrics, type OutcomeName, STAGES } from "../metrics.js";
import type { ActResult } from "../purposes/purpose.js";
import type { Grants } from "../record/grants.js";
import type { Recorder } from "../record/recorder.js";
import { DECISION_KEYS, type DecisionReason, isDecisionReason } from "./display.js";
import type { PresentationLane } from "./presentation-lane.js";

/** How long a grant may take into the log; with everything else inside the presentation's deadline. */
const RECORD_MS = 250;

type Matched = { outcome: "MATCH"; member: bus.MemberFacts; result: ActResult };

export type Conclusion = Matched | { outcome: Exclude<OutcomeName, "MATCH">; reason: DecisionReason };

export interface Concluded {
  id: Uint8Array;
  idHex: string;
  lane: PresentationLane;
  stages: Stages;
  frames: number;
  conclusion: Conclusion;
  /** On the clock of performance.now(): the answer must be out by then. */
  endsAtMs: number;
}

export interface AnswersParts {
  grants: Pick<Grants, "record">;
  recorder: Pick<Recorder, "add">;
  metrics: Pick<GatewayMetrics, "stage" | "decision" | "grant">;
  /** Publishes to whoever watches. */
  show(decision: LiveDecision): void;
  gatewayId: string;
  /** The log's clock. */
  nowUnixMs(): number;
}

const RECORD_UNAVAILABLE = { outcome: "UNDECIDED", reason: "RECORD_UNAVAILABLE" } as const;

export class Answers {
  readonly #parts: AnswersParts;

  constructor(parts: AnswersParts) {
    this.#parts = parts;
  }

  /** record -> answer -> show, or answer -> record -> show. */
  async answer(reached: Concluded): Promise<void> {
    const { conclusion, lane } = reached;
    if (conclusion.outcome === "MATCH" && conclusion.result.granted) {
      await this.#grant(reached, conclusion);
      return;
    }
    lane.answer(messageOf(reached));
    const { gatewayId, nowUnixMs, recorder } = this.#parts;
    recorder.add({
      subject: subjectOf(reached),
      body: encode(bus.DecisionEvent, { ...eventOf(reached), atUnixMs: nowUnixMs(), gatewayId }),
    });
    this.#show(reached);
  }

  async #grant(reached: Concluded, { member, result }: Matched): Promise<void> {
    const { lane, id, stages, endsAtMs } = reached;
    const { grants, metrics, gatewayId, nowUnixMs } = this.#parts;
    if (!lane.open) return metrics.grant("unheard");
    const fromMs = performance.now();
    const refused = { ...reached, conclusion: RECORD_UNAVAILABLE };
    const recorded = await grants.record(
      { ...eventOf(reached), booksRef: member.booksRef },
      {
        withinMs: Math.min(RECORD_MS, endsAtMs - fromMs),
        money: result.payment !== undefined,
        refusal: () => encode(bus.DecisionEvent, { ...eventOf(refused), atUnixMs: nowUnixMs(), gatewayId }),
      },
    );
    const waitedMs = performance.now() - fromMs;
    stages.actMs += waitedMs;
    stages.totalMs += waitedMs;
    switch (recorded.kind) {
      case "GRANTED":
        metrics.grant(recorded.again ? "again" : "recorded");
        lane.answer(messageOf(reached, recorded.token));
        return this.#show(reached);
      case "CLOSED":
        metrics.grant("closed");
        return lane.refuse("PRESENTATION_CLOSED", id);
      case "UNAVAILABLE":
        metrics.grant("unavailable");
        lane.answer(messageOf(refused));
        return this.#show(refused);
    }
  }

  #show({ lane, stages, frames, conclusion }: Concluded): void {
    const { metrics, show, gatewayId, nowUnixMs } = this.#parts;
    const { organisation, site, id: deviceId, purpose } = lane.device;
    const { granted, reason } = saidOf(conclusion);
    for (const stage of STAGES) metrics.stage(stage, stages[`${stage}Ms`]);
    metrics.decision(purpose, conclusion.outcome, reason, stages.totalMs);
    show({
      organisation,
      atUnixMs: nowUnixMs(),
      gateway: gatewayId,
      site,
      deviceId,
      purpose,
      outcome: conclusion.outcome,
      granted,
      reason,
      displayKey: DECISION_KEYS[reason],
      pairwiseId: pseudonymOf(conclusion, site),
      stages,
      frames,
    });
  }
}

/** What a conclusion says, without who it is about. */
function saidOf(conclusion: Conclusion): { granted: boolean; reason: DecisionReason } {
  if (conclusion.outcome !== "MATCH") return { granted: false, reason: conclusion.reason };
  const { granted, reason } = conclusion.result;
  const name = edge.Reason[reason];
  if (name === undefined || !isDecisionReason(name))
    throw new Error(`an act gave no reason of a decision: ${reason}`);
  return { granted, reason: name };
}

const pseudonymOf = (conclusion: Conclusion, site: string): string =>
  conclusion.outcome === "MATCH" ? pairwiseId(conclusion.member.pairwiseRoot, site) : "";

/** @param passageToken of a grant */
function messageOf({ id, lane, stages, conclusion }: Concluded, passageToken?: Uint8Array): edge.IDecision {
  const { granted, reason } = saidOf(conclusion);
  const payment = conclusion.outcome === "MATCH" ? conclusion.result.payment : undefined;
  return {
    presentationId: id,
    outcome: edge.Outcome[conclusion.outcome],
    granted,
    reason: edge.Reason[reason],
    displayKey: DECISION_KEYS[reason],
    pairwiseId: pseudonymOf(conclusion, lane.device.site),
    validUntilUnixMs: laneUnixMs() + DECISION_VALID_MS,
    stages,
    ...(passageToken === undefined ? {} : { passageToken }),
    ...(payment === undefined ? {} : { payment }),
  };
}

const subjectOf = ({ lane: { device }, idHex }: Concluded): string =>
  decisionSubject(device.organisation, device.site, device.id, idHex);

function eventOf({ id, lane: { device }, stages, frames, conclusion }: Concluded) {
  const { granted, reason } = saidOf(conclusion);
  return {
    presentationId: id,
    organisation: device.organisation,
    site: device.site,
    deviceId: device.id,
    purpose: edge.Purpose[device.purpose],
    outcome: edge.Outcome[conclusion.outcome],
    reason: edge.Reason[reason],
    granted,
    totalMs: stages.totalMs,
    frames,
    ...(conclusion.outcome === "MATCH" ? { booksRef: conclusion.member.booksRef } : {}),
  };
}
