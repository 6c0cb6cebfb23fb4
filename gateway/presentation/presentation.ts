// One palm over one reader, from its first frame to its record. Read top to bottom: after the lane has received and
// admitted a frame (lane/lane.ts), this file has it signed and searched with (sensor.ts), decides (identify/policy.ts),
// acts (purposes/) and has it answered and recorded (answer.ts).
//
// Invariants:
// - one end, and one decision at most: MATCH as soon as the frames give it, any other outcome only when no frame can
//   come any more (used up, `last`, or the deadline); none at all when every frame was refused with an error;
// - identity is answered inside PRESENTATION_DEADLINE_MS. Where the act has a deadline of its own, the lane is told so
//   inside it at the latest, and answered inside that one;
// - every frame taken gives its credit back once, whatever becomes of it;
// - when the lane goes, a presentation that is not acting ends without a decision; one that acts is acted to its end.
import { decide, type Evidence, type PolicyRules, type Verdict } from "../../identify/index.js";
import type { bus } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import { toHex } from "../../wire/hex.js";
import { MAX_FRAMES_PER_PRESENTATION, PRESENTATION_DEADLINE_MS } from "../../wire/limits.js";
import type { Stages } from "../../wire/live.js";
import type { Log } from "../../wire/log.js";
import { laneUnixMs } from "../lane/lane-time.js";
import type { GatewayMetrics } from "../metrics.js";
import type { Purposes } from "../purposes/index.js";
import type { Charge } from "../purposes/purpose.js";
import type { Answers, Conclusion } from "./answer.js";
import type { PresentationLane } from "./presentation-lane.js";
import type { AdmittedFrame, Sensor } from "./sensor.js";

/** Kept free at the end of the deadline for encoding and sending the answer. */
const ANSWER_RESERVE_MS = 20;
/** Kept free before that for bringing a grant into the log. */
const RECORD_RESERVE_MS = 80;
/** An act that takes longer is announced to the lane: "known, one moment". */
const PROGRESS_AFTER_MS = 150;
/** An act answers by its deadline. One that does not is a bug; the lane hears so after this. */
const ACT_OVERRUN_MS = 250;

/** What presentations are made of, in the order in which a frame meets them. */
export interface PresentationParts {
  sensor: Pick<Sensor, "sense">;
  rulesFor(device: Device): PolicyRules;
  purposes: Purposes;
  answers: Pick<Answers, "answer">;
  metrics: Pick<GatewayMetrics, "frame">;
  log: Log;
}

export class Presentation {
  readonly idHex: string;
  readonly stages: Stages = {
    receiveMs: 0,
    queueMs: 0,
    signMs: 0,
    searchMs: 0,
    decideMs: 0,
    actMs: 0,
    totalMs: 0,
  };
  readonly #startedAtMs = performance.now();
  readonly #evidence: Evidence[] = [];
  #phase: "sensing" | "acting" | "over" = "sensing";
  #frames = 0;
  #pending = 0;
  #lastSequence = -1;
  #lastSeen = false;
  #endsAtMs = this.#startedAtMs + PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS;
  #timer = setTimeout(() => this.#onDeadline(), PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS);
  #progressTimer: NodeJS.Timeout | undefined;

  /** @param id a copy of its own; @param onEnd called once, synchronously */
  constructor(
    readonly id: Uint8Array,
    readonly charge: Charge | undefined,
    readonly lane: PresentationLane,
    readonly parts: PresentationParts,
    readonly onEnd: (presentation: Presentation) => void,
  ) {
    this.idHex = toHex(id);
  }

  get frames(): number {
    return this.#frames;
  }

  /** Somebody was recognised and is being let in or charged: not to be given up for another presentation. */
  get acting(): boolean {
    return this.#phase === "acting";
  }

  /** Whether a frame with this sequence may still come. */
  accepts(sequence: number): boolean {
    return this.#phase === "sensing" && !this.#usedUp() && sequence > this.#lastSequence;
  }

  /** Takes one frame all the way. Only after accepts(). */
  take(frame: AdmittedFrame): void {
    this.#frames += 1;
    this.#pending += 1;
    this.#lastSequence = frame.sequence;
    this.#lastSeen = frame.last;
    this.stages.receiveMs += frame.receiveMs;
    this.#see(frame).catch((error: unknown) => this.#fail(error));
  }

  /** The next palm is over the reader already: this one has had its time. */
  replace(): void {
    if (this.#phase === "sensing") this.#conclude(this.#heardOf() ? OUT_OF_TIME : undefined);
  }

  /** An error was the answer: no decision follows, and the id is spent. */
  drop(): void {
    if (this.#phase === "sensing") this.#end(undefined);
  }

  /** The lane is gone: nobody hears a decision, so none is made. An act under way goes on to its record. */
  abandon(): void {
    if (this.#phase === "sensing") this.#close();
  }

  /** sense (sign -> search) -> decide -> guide, or conclude (act -> record -> answer) */
  async #see(frame: AdmittedFrame): Promise<void> {
    const sensing = {
      device: this.lane.device,
      stages: this.stages,
      endsAtMs: this.#startedAtMs + PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS - RECORD_RESERVE_MS,
      wanted: () => this.#phase === "sensing",
    };
    const sensed = await this.parts.sensor.sense(frame, sensing).finally(() => {
      this.#pending -= 1;
      this.lane.frameDone();
    });
    if (this.#phase !== "sensing") return this.#tooLate();
    this.parts.metrics.frame(FRAME_RESULT[sensed.kind]);
    if (sensed.kind === "refused") this.lane.refuse(sensed.code, this.id);
    else this.#evidence.push(sensed);
    const verdict = this.#decide();
    if (verdict?.outcome === "MATCH" || this.#complete()) this.#conclude(verdict);
    else if (sensed.kind !== "refused") this.#guide(sensed);
  }

  #decide(): Verdict | undefined {
    if (this.#evidence.length === 0) return undefined;
    const fromMs = performance.now();
    const verdict = decide(this.#evidence, this.parts.rulesFor(this.lane.device));
    this.stages.decideMs += performance.now() - fromMs;
    return verdict;
  }

  #guide(evidence: Evidence): void {
    if (this.#usedUp()) this.lane.tellCredit();
    else this.lane.guide(this.id, evidence.kind === "poor" ? evidence.reason : "HOLD_STILL");
  }

  /** Its frame was still at work when the presentation ended. */
  #tooLate(): void {
    this.parts.metrics.frame("dropped");
    this.lane.tellCredit();
  }

  /** @param verdict `undefined`: every frame was refused, and the refusals were the answer */
  #conclude(verdict: Verdict | undefined): void {
    if (verdict?.outcome !== "MATCH") {
      this.#end(verdict);
      return;
    }
    const member = newestFacts(this.#evidence, verdict.member);
    if (member === undefined) throw new Error("the policy matched a member whose facts did not come");
    this.#phase = "acting";
    this.#act(member).catch((error: unknown) => this.#fail(error));
  }

  async #act(member: bus.MemberFacts): Promise<void> {
    const { device } = this.lane;
    const purpose = this.parts.purposes[device.purpose];
    const fromMs = performance.now();
    if (purpose.actBudgetMs !== undefined) this.#takeLonger(fromMs, purpose.actBudgetMs);
    const result = await purpose.act(member, {
      presentationId: this.id,
      presentationHex: this.idHex,
      organisation: device.organisation,
      site: device.site,
      deviceId: device.id,
      charge: this.charge,
      deadlineAtMs: this.#endsAtMs - RECORD_RESERVE_MS,
    });
    this.stages.actMs += performance.now() - fromMs;
    if (this.#phase === "acting") return this.#end({ outcome: "MATCH", member, result });
    this.parts.log.error(
      { granted: result.granted },
      "an act answered long after its deadline: the lane was refused",
    );
  }

  /** The act has a deadline of its own: the lane hears of it when it is not done at once. */
  #takeLonger(fromMs: number, budgetMs: number): void {
    const tellAtMs = Math.min(fromMs + PROGRESS_AFTER_MS, this.#endsAtMs);
    this.#endsAtMs = fromMs + budgetMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onDeadline(), budgetMs);
    this.#progressTimer = setTimeout(
      () => {
        const leftMs = this.#endsAtMs + ACT_OVERRUN_MS - performance.now();
        this.lane.progress(this.id, laneUnixMs() + Math.ceil(leftMs));
      },
      Math.max(0, tellAtMs - fromMs),
    );
  }

  #onDeadline(): void {
    if (this.#phase === "acting") {
      this.#timer = setTimeout(() => this.#fail(new Error("an act overran its deadline")), ACT_OVERRUN_MS);
    } else {
      this.#conclude(this.#pending > 0 ? OUT_OF_TIME : this.#decide());
    }
  }

  /** answer and record. Until both are done somebody is being let in: it counts as acting, and a stop waits for it. */
  #end(conclusion: Conclusion | undefined): void {
    clearTimeout(this.#timer);
    const isGrant = conclusion?.outcome === "MATCH" && conclusion.result.granted;
    if (!isGrant) this.#close();
    this.stages.totalMs = performance.now() - this.#startedAtMs;
    if (conclusion === undefined) return;
    const { id, idHex, lane, frames } = this;
    // Of its own: a frame that is signed after the end still adds to the presentation's.
    const stages = { ...this.stages };
    this.parts.answers
      .answer({ id, idHex, lane, stages, frames, conclusion, endsAtMs: this.#endsAtMs })
      .catch((error: unknown) => this.#report(error))
      .finally(() => {
        if (this.#phase !== "over") this.#close();
      });
  }

  #close(): void {
    this.#phase = "over";
    clearTimeout(this.#timer);
    clearTimeout(this.#progressTimer);
    this.onEnd(this);
  }

  /** A bug of ours: operators see it, the lane hears of it, nobody is let in. */
  #fail(error: unknown): void {
    this.#report(error);
    if (this.#phase !== "over") this.#end(undefined);
  }

  #report(error: unknown): void {
    this.parts.log.error({ err: error }, "a presentation failed");
    this.lane.refuse("INTERNAL", this.id);
  }

  /** No frame can change the outcome any more. */
  #complete(): boolean {
    return this.#pending === 0 && this.#usedUp();
  }

  #usedUp(): boolean {
    return this.#lastSeen || this.#frames >= MAX_FRAMES_PER_PRESENTATION;
  }

  /** At least one frame was not refused. */
  #heardOf(): boolean {
    return this.#pending > 0 || this.#evidence.length > 0;
  }
}

const OUT_OF_TIME = { outcome: "UNDECIDED", reason: "DEADLINE_PASSED" } as const;

const FRAME_RESULT = { searched: "searched", poor: "guided", lost: "dropped", refused: "refused" } as const;

/** The member as the newest of the frames that found them tells it. */
function newestFacts(evidence: readonly Evidence[], member: string): bus.MemberFacts | undefined {
  let newest: bus.MemberFacts | undefined;
  for (const each of evidence) {
    if (each.kind !== "searched") continue;
    const facts = each.candidates.find((candidate) => candidate.member === member)?.facts;
    if (facts !== undefined && facts.revision >= (newest?.revision ?? 0)) newest = facts;
  }
  return newest;
}
