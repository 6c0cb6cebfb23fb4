// One palm over one reader, from its first frame to its record. Read top to bottom: after the lane has received and
// admitted a frame (lane/lane.ts), this file signs it, searches, decides, acts, answers and records.
//
// Invariants:
// - one end, and one decision at most: MATCH as soon as a frame gives it, any other outcome only when no frame can
//   come any more (used up, `last`, or the deadline); none at all when every frame was refused with an error;
// - one timer, set at the first frame; the decision is out before PRESENTATION_DEADLINE_MS unless an act overruns;
// - every frame taken gives its credit back once, whatever becomes of it;
// - when the lane goes, a presentation that is not acting ends without a decision; one that acts is recorded.
import { type Signature, wipe } from "../../palm/index.js";
import type { LinkCode } from "../../wire/errors.js";
import { MAX_FRAMES_PER_PRESENTATION, PRESENTATION_DEADLINE_MS } from "../../wire/limits.js";
import { toHex } from "../../wire/partition.js";
import type { Charge, EncodingName } from "../lane/admit.js";
import { decide, type Evidence, type Verdict } from "../policy/policy.js";
import type { Member, Stages } from "../seams.js";
import { answer, type Conclusion, isPaid } from "./answer.js";
import type { PresentationDeps, PresentationLane } from "./deps.js";

/** Kept free at the end of the deadline for encoding and sending the answer. */
const ANSWER_RESERVE_MS = 20;
/** How long all partitions together may take for one frame. */
const SEARCH_DEADLINE_MS = 500;
/** An act answers by its deadline. One that does not is a bug; the lane hears so after this. */
const ACT_OVERRUN_MS = 250;

/** A frame that passed every check, with pixels of its own. */
export interface AdmittedFrame {
  sequence: number;
  encoding: EncodingName;
  widthPx: number;
  heightPx: number;
  /** The one copy of the pixels; transferred to the signer, who zeroes it. */
  pixels: ArrayBuffer;
  last: boolean;
  /** Decode and check. */
  receiveMs: number;
}

type Sensed = Evidence | { kind: "refused"; code: LinkCode };

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
  #timer = setTimeout(() => this.#onDeadline(), PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS);

  /** @param id a copy of its own; @param onEnd called once, synchronously */
  constructor(
    readonly id: Uint8Array,
    readonly charge: Charge | undefined,
    readonly lane: PresentationLane,
    readonly deps: PresentationDeps,
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

  /** sense (sign -> search) -> decide -> guide, or conclude (act -> answer -> record) */
  async #see(frame: AdmittedFrame): Promise<void> {
    const sensed = await this.#sense(frame).finally(() => {
      this.#pending -= 1;
      this.lane.frameDone();
    });
    if (this.#phase !== "sensing") return this.#tooLate();
    this.deps.metrics.frame(FRAME_RESULT[sensed.kind]);
    if (sensed.kind === "refused") this.lane.refuse(sensed.code, this.id);
    else this.#evidence.push(sensed);
    const verdict = this.#decide();
    if (verdict?.outcome === "MATCH" || this.#complete()) this.#conclude(verdict);
    else if (sensed.kind !== "refused") this.#guide(sensed);
  }

  /** sign -> quality -> search */
  async #sense(frame: AdmittedFrame): Promise<Sensed> {
    const { encoding, widthPx: width, heightPx: height, pixels } = frame;
    const signed = await this.deps.signers.sign({ encoding, width, height, pixels });
    if (!signed.ok) return refusal(signed.code);
    this.stages.queueMs += signed.queueMs;
    this.stages.signMs += signed.signMs;
    try {
      if (signed.quality.reason !== "OK") return { kind: "poor", reason: signed.quality.reason };
      if (this.#phase !== "sensing") return { kind: "lost" };
      return await this.#search(signed.signature);
    } finally {
      wipe(signed.signature);
    }
  }

  async #search(probe: Signature): Promise<Evidence> {
    const fromMs = performance.now();
    const leftMs = this.#startedAtMs + PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS - fromMs;
    const deadlineMs = Math.max(1, Math.min(SEARCH_DEADLINE_MS, leftMs));
    const found = await this.deps.search(this.lane.device.gallery, probe, deadlineMs);
    this.stages.searchMs += performance.now() - fromMs;
    return { kind: "searched", ...found };
  }

  #decide(): Verdict | undefined {
    if (this.#evidence.length === 0) return undefined;
    const fromMs = performance.now();
    const verdict = decide(this.#evidence, this.deps.rulesFor(this.lane.device));
    this.stages.decideMs += performance.now() - fromMs;
    return verdict;
  }

  #guide(evidence: Evidence): void {
    if (this.#usedUp()) this.lane.tellCredit();
    else this.lane.guide(this.id, evidence.kind === "poor" ? evidence.reason : "HOLD_STILL");
  }

  /** Its frame was still at work when the presentation ended. */
  #tooLate(): void {
    this.deps.metrics.frame("dropped");
    this.lane.tellCredit();
  }

  /** @param verdict `undefined`: every frame was refused, and the refusals were the answer */
  #conclude(verdict: Verdict | undefined): void {
    if (verdict?.outcome !== "MATCH") {
      this.#end(verdict);
      return;
    }
    const member = this.deps.members.get(verdict.member);
    if (member === undefined) throw new Error("the policy matched a member that is not known");
    this.#phase = "acting";
    this.#act(member).catch((error: unknown) => this.#fail(error));
  }

  async #act(member: Member): Promise<void> {
    const { device } = this.lane;
    const fromMs = performance.now();
    const result = await this.deps.actFor(device)(member, {
      presentationId: this.id,
      site: device.site,
      deviceId: device.id,
      ...(this.charge === undefined ? {} : { charge: this.charge }),
      deadlineAtMs: this.#startedAtMs + PRESENTATION_DEADLINE_MS - ANSWER_RESERVE_MS,
    });
    this.stages.actMs += performance.now() - fromMs;
    if (this.#phase === "acting") return this.#end({ outcome: "MATCH", member, result });
    this.deps.log.error(
      { granted: result.granted },
      "an act answered long after its deadline: the lane was refused",
    );
  }

  #onDeadline(): void {
    if (this.#phase === "acting") {
      this.#timer = setTimeout(() => this.#fail(new Error("an act overran its deadline")), ACT_OVERRUN_MS);
    } else {
      this.#conclude(this.#pending > 0 ? OUT_OF_TIME : this.#decide());
    }
  }

  /** answer -> record. Who paid is answered after the record: until then it counts as acting, and a stop waits for it. */
  #end(conclusion: Conclusion | undefined): void {
    clearTimeout(this.#timer);
    if (conclusion === undefined || !isPaid(conclusion)) this.#close();
    this.stages.totalMs = performance.now() - this.#startedAtMs;
    const { id, idHex, lane, stages, frames } = this;
    if (conclusion === undefined) {
      this.deps.spentIds.spend(lane.device.id, idHex, lane.linkNumber);
      return;
    }
    answer({ id, idHex, lane, stages, frames, conclusion }, this.deps)
      .catch((error: unknown) => this.#report(error))
      .finally(() => {
        if (this.#phase !== "over") this.#close();
      });
  }

  #close(): void {
    this.#phase = "over";
    clearTimeout(this.#timer);
    this.onEnd(this);
  }

  /** A bug of ours: operators see it, the lane hears of it, nobody is let in. */
  #fail(error: unknown): void {
    this.#report(error);
    if (this.#phase !== "over") this.#end(undefined);
  }

  #report(error: unknown): void {
    this.deps.log.error({ err: error }, "a presentation failed");
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

/** What a signer's refusal means for the frame: its own fault, or ours. */
function refusal(code: string): Sensed {
  if (code === "BAD_IMAGE") return { kind: "refused", code: "BAD_IMAGE" };
  if (code === "TOO_LARGE") return { kind: "refused", code: "IMAGE_TOO_LARGE" };
  return { kind: "lost" };
}
