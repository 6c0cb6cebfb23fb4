// The end of a presentation: one Decision to the lane, one event for the record, one line for whoever watches.
// No similarity and, but for the record, no member id goes out from here.
import { bus, edge, encode } from "../../wire/codec.js";
import { DECISION_VALID_MS } from "../../wire/limits.js";
import { fromHex } from "../../wire/partition.js";
import { decisionSubject } from "../../wire/subjects.js";
import { type OutcomeName, STAGES } from "../metrics.js";
import type { ActResult, Member, Stages } from "../seams.js";
import type { PresentationDeps, PresentationLane } from "./deps.js";
import { DECISION_KEYS, type DecisionReason, isDecisionReason } from "./display.js";

/** How long a paid answer waits for its place in the log. */
const PAID_RECORD_MS = 100;

export type Conclusion =
  | { outcome: "MATCH"; member: Member; result: ActResult }
  | { outcome: Exclude<OutcomeName, "MATCH">; reason: DecisionReason };

export interface Concluded {
  id: Uint8Array;
  idHex: string;
  lane: PresentationLane;
  stages: Stages;
  frames: number;
  conclusion: Conclusion;
}

/**
 * answer -> record -> show. Where money was taken, the record comes first: the capture follows the recorded grant, and
 * goods must not leave on one that a crash could lose. A log that is away delays that answer by PAID_RECORD_MS at most.
 */
export async function answer(reached: Concluded, deps: PresentationDeps): Promise<void> {
  const atUnixMs = Date.now();
  const { lane, idHex, stages } = reached;
  const concluded = lane.open ? reached : { ...reached, conclusion: unheard(reached.conclusion) };
  deps.spentIds.spend(lane.device.id, idHex, lane.linkNumber);
  const event = () => ({
    subject: decisionSubject(lane.device.site, lane.device.id),
    body: encode(bus.DecisionEvent, decisionEvent(concluded, atUnixMs)),
  });
  if (isPaid(concluded.conclusion)) {
    const fromMs = performance.now();
    await withinMs(deps.recorder.add(event(), { urgent: true }), PAID_RECORD_MS);
    const waitedMs = performance.now() - fromMs;
    stages.actMs += waitedMs;
    stages.totalMs += waitedMs;
    lane.answer(decisionMessage(concluded, atUnixMs, deps));
  } else {
    lane.answer(decisionMessage(concluded, atUnixMs, deps));
    void deps.recorder.add(event());
  }
  show(concluded, atUnixMs, deps);
}

/** Whether money was taken for it. */
export const isPaid = (conclusion: Conclusion): boolean =>
  conclusion.outcome === "MATCH" && conclusion.result.granted && conclusion.result.payment !== undefined;

/** Waits for the promise, but not longer. */
async function withinMs(promise: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([promise, tooLate]);
  clearTimeout(timer);
}

/** A grant that nobody hears is none: the record says so, and a payment is not captured on it. */
function unheard(conclusion: Conclusion): Conclusion {
  if (conclusion.outcome !== "MATCH" || !conclusion.result.granted) return conclusion;
  const paid = conclusion.result.payment !== undefined;
  const reason = paid ? edge.Reason.PAYMENT_UNKNOWN : edge.Reason.DEADLINE_PASSED;
  return { ...conclusion, result: { granted: false, reason } };
}

function decisionMessage(concluded: Concluded, atUnixMs: number, deps: PresentationDeps): edge.IDecision {
  const { id, idHex, lane, stages, conclusion } = concluded;
  const common = {
    presentationId: id,
    outcome: edge.Outcome[conclusion.outcome],
    validUntilUnixMs: atUnixMs + DECISION_VALID_MS,
    stages,
  };
  if (conclusion.outcome !== "MATCH") {
    const { reason } = conclusion;
    return { ...common, granted: false, reason: edge.Reason[reason], displayKey: DECISION_KEYS[reason] };
  }
  const { member, result } = conclusion;
  return {
    ...common,
    granted: result.granted,
    reason: result.reason,
    displayKey: displayKeyOf(result.reason),
    pairwiseId: member.pairwiseId(lane.device.site),
    ...(result.granted ? { passageToken: deps.passages.issue(lane.device.id, idHex) } : {}),
    ...(result.payment === undefined ? {} : { payment: result.payment }),
  };
}

function decisionEvent(
  { id, lane, stages, frames, conclusion }: Concluded,
  atUnixMs: number,
): bus.IDecisionEvent {
  const matched = conclusion.outcome === "MATCH";
  return {
    atUnixMs,
    presentationId: id,
    site: lane.device.site,
    deviceId: lane.device.id,
    purpose: edge.Purpose[lane.device.purpose],
    outcome: edge.Outcome[conclusion.outcome],
    reason: matched ? conclusion.result.reason : edge.Reason[conclusion.reason],
    granted: matched && conclusion.result.granted,
    totalMs: stages.totalMs,
    frames,
    ...(matched ? { memberId: fromHex(conclusion.member.id) } : {}),
  };
}

function show(
  { lane, stages, frames, conclusion }: Concluded,
  atUnixMs: number,
  deps: PresentationDeps,
): void {
  const { site, id: deviceId, purpose } = lane.device;
  const matched = conclusion.outcome === "MATCH";
  const reason = matched ? decisionReason(conclusion.result.reason) : conclusion.reason;
  for (const stage of STAGES) deps.metrics.stage(stage, stages[`${stage}Ms`]);
  deps.metrics.decision(purpose, conclusion.outcome, reason, stages.totalMs);
  deps.liveFeed.publish({
    atUnixMs,
    site,
    deviceId,
    purpose,
    outcome: conclusion.outcome,
    granted: matched && conclusion.result.granted,
    reason,
    displayKey: DECISION_KEYS[reason],
    pairwiseId: matched ? conclusion.member.pairwiseId(site) : "",
    // Of its own: a frame that is signed after the end still adds to the presentation's.
    stages: { ...stages },
    frames,
  });
}

const displayKeyOf = (reason: edge.Reason): string => DECISION_KEYS[decisionReason(reason)];

function decisionReason(reason: edge.Reason): DecisionReason {
  const name = edge.Reason[reason];
  if (name === undefined || !isDecisionReason(name))
    throw new Error(`an act gave no reason of a decision: ${reason}`);
  return name;
}
