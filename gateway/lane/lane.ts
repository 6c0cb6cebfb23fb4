// A lane that was welcomed: it admits frames into presentations, takes reports of passages, answers heartbeats.
//
// Invariants:
// - every frame costs one credit and gives it back once; a frame beyond the limit closes the link;
// - at most one presentation is open. A new id takes its place (one person steps away, the next one steps up), unless
//   somebody was recognised already and is being let in or charged: then the new one hears BUSY;
// - a coded error about a frame of the open presentation ends it, but for BAD_IMAGE: there the next frame may be better;
// - an id is decided once on a link. After a lost link it may be asked again: what it may be granted then, the record
//   decides (record/grants.ts);
// - of a frame its 16-byte id and its pixels are copied, once each, and nothing else.
import { edge } from "../../wire/codec.js";
import type { Device } from "../../wire/directory.js";
import type { LinkCode } from "../../wire/errors.js";
import { toHex } from "../../wire/hex.js";
import { PRESENTATION_ID_BYTES } from "../../wire/limits.js";
import type { GatewayMetrics } from "../metrics.js";
import { GUIDE_KEYS, type GuideReason, PROGRESS_KEY } from "../presentation/display.js";
import type { Presentation } from "../presentation/presentation.js";
import type { PresentationLane } from "../presentation/presentation-lane.js";
import type { Presentations } from "../presentation/presentations.js";
import type { Passages } from "../record/passages.js";
import { admitCharge, encodingName, refuseFrame } from "./admit.js";
import { Credits } from "./credits.js";
import { laneUnixMs } from "./lane-time.js";
import type { Link } from "./link.js";

/** BUSY: come again after this, spread out so that refused lanes do not come back as one. */
const RETRY_AFTER_MIN_MS = 150;
const RETRY_AFTER_SPREAD_MS = 300;
/** Ended presentations of a link that are remembered; an agent makes fresh random ids. */
const MAX_SPENT_IDS = 64;

export interface LaneParts {
  presentations: Pick<Presentations, "open" | "queueFill">;
  passages: Pick<Passages, "report">;
  metrics: Pick<GatewayMetrics, "frame" | "passage">;
  /** Whether the lane's purpose charges anybody. */
  charges: boolean;
}

type Admitted = { ok: true; presentation: Presentation } | { ok: false; code: LinkCode };

export class Lane implements PresentationLane {
  readonly device: Device;
  readonly #link: Link;
  readonly #parts: LaneParts;
  readonly #credits: Credits;
  readonly #spent = new Set<string>();
  #toldLimit: number;
  #current: Presentation | undefined;

  constructor(device: Device, link: Link, parts: LaneParts) {
    this.device = device;
    this.#link = link;
    this.#parts = parts;
    this.#credits = new Credits(parts.presentations.queueFill());
    this.#toldLimit = this.#credits.limit;
  }

  get creditLimit(): number {
    return this.#credits.limit;
  }

  get creditsOutstanding(): number {
    return this.#credits.outstanding;
  }

  get open(): boolean {
    return this.#link.open;
  }

  get presenting(): boolean {
    return this.#current !== undefined;
  }

  /** receive -> admit; from here on the presentation has it. */
  frame(frame: edge.Frame, fromMs: number): void {
    if (!this.#credits.take()) {
      this.#link.refuse("CREDIT_EXCEEDED");
      return;
    }
    const code = refuseFrame(frame);
    const admitted: Admitted = code === undefined ? this.#admit(frame) : { ok: false, code };
    if (!admitted.ok) {
      this.#refuseFrame(admitted.code, frame.presentationId);
      return;
    }
    const { sequence, widthPx, heightPx, last, image } = frame;
    const encoding = encodingName(frame.encoding);
    if (encoding === undefined) throw new Error("a frame was admitted without an encoding");
    const pixels = copyOf(image);
    const receiveMs = performance.now() - fromMs;
    admitted.presentation.take({ sequence, encoding, widthPx, heightPx, pixels, last, receiveMs });
  }

  /** What the gate did with a granted decision. @param report its bytes are dead when this returns */
  gateReport({ presentationId, passageToken, passage }: edge.GateReport): void {
    const isKnown = edge.Passage[passage] !== undefined && passage !== edge.Passage.PASSAGE_UNSPECIFIED;
    if (!isKnown) {
      this.#link.refuse("MALFORMED");
      return;
    }
    const report = edge.GateReport.create({
      presentationId: presentationId.slice(),
      passageToken: passageToken.slice(),
      passage,
    });
    this.#report(report).catch(() => this.refuse("INTERNAL", report.presentationId));
  }

  async #report(report: edge.GateReport): Promise<void> {
    const { presentationId } = report;
    const answer = await this.#parts.passages.report(this.device, report);
    this.#parts.metrics.passage(report.passage, answer);
    if (answer === "RECORDED" || answer === "KNOWN") this.#link.send({ passageAck: { presentationId } });
    if (answer === "TOKEN_INVALID") this.#link.refuse("TOKEN_INVALID", aboutPresentation(presentationId));
  }

  heartbeat({ sentUnixMs }: edge.Heartbeat): void {
    this.#credits.refresh(this.#parts.presentations.queueFill());
    this.#link.send({ heartbeat: { sentUnixMs: laneUnixMs(), echoSentUnixMs: sentUnixMs } });
    this.tellCredit();
  }

  guide(presentationId: Uint8Array, reason: GuideReason): void {
    const guide = { presentationId, reason: edge.Reason[reason], displayKey: GUIDE_KEYS[reason] };
    this.#link.sendAll([{ credit: { creditLimit: this.#limitToTell() } }, { guide }]);
  }

  progress(presentationId: Uint8Array, decisionByUnixMs: number): void {
    this.#link.send({ progress: { presentationId, displayKey: PROGRESS_KEY, decisionByUnixMs } });
  }

  answer(decision: edge.IDecision): void {
    this.#link.send({ decision: { ...decision, creditLimit: this.#limitToTell() } });
  }

  refuse(code: LinkCode, presentationId: Uint8Array): void {
    const busy = code === "BUSY" ? { retryAfterMs: retryAfterMs() } : {};
    this.#link.refuse(code, {
      ...aboutPresentation(presentationId),
      ...busy,
      creditLimit: this.#limitToTell(),
    });
  }

  frameDone(): void {
    this.#credits.giveBack(this.#parts.presentations.queueFill());
  }

  tellCredit(): void {
    if (this.#credits.limit > this.#toldLimit)
      this.#link.send({ credit: { creditLimit: this.#limitToTell() } });
  }

  /** Another connection of this device, a changed registry, or our own end: says why and closes the link. */
  dismiss(code: "DUPLICATE_DEVICE" | "UNAUTHENTICATED" | "SHUTTING_DOWN"): void {
    this.#link.refuse(code);
  }

  /** The link is gone. */
  closed(): void {
    this.#current?.abandon();
    this.#current = undefined;
  }

  #admit(frame: edge.Frame): Admitted {
    const current = this.#current;
    const idHex = toHex(frame.presentationId);
    return current?.idHex === idHex ? this.#goOn(current, frame) : this.#begin(idHex, frame);
  }

  #goOn(current: Presentation, frame: edge.Frame): Admitted {
    if (current.acting) return { ok: false, code: "PRESENTATION_CLOSED" };
    if (!current.accepts(frame.sequence)) return { ok: false, code: "BAD_PRESENTATION" };
    const admitted = admitCharge(frame.charge, this.#parts.charges, current);
    return admitted.ok ? { ok: true, presentation: current } : { ok: false, code: "CHARGE_INVALID" };
  }

  #begin(idHex: string, frame: edge.Frame): Admitted {
    if (this.#spent.has(idHex)) return { ok: false, code: "PRESENTATION_CLOSED" };
    const admitted = admitCharge(frame.charge, this.#parts.charges, undefined);
    if (!admitted.ok) return { ok: false, code: "CHARGE_INVALID" };
    if (this.#current?.acting) return { ok: false, code: "BUSY" };
    this.#current?.replace();
    const id = new Uint8Array(frame.presentationId);
    this.#current = this.#parts.presentations.open(id, admitted.charge, this, () => this.#ended(idHex));
    return this.#current === undefined
      ? { ok: false, code: "BUSY" }
      : { ok: true, presentation: this.#current };
  }

  #ended(idHex: string): void {
    this.#current = undefined;
    this.#spent.add(idHex);
    const [oldest] = this.#spent;
    if (this.#spent.size > MAX_SPENT_IDS && oldest !== undefined) this.#spent.delete(oldest);
  }

  #refuseFrame(code: LinkCode, presentationId: Uint8Array): void {
    this.#parts.metrics.frame("refused");
    this.frameDone();
    this.refuse(code, presentationId);
    if (code !== "BAD_IMAGE" && this.#current?.idHex === toHex(presentationId)) this.#current.drop();
  }

  #limitToTell(): number {
    this.#toldLimit = this.#credits.limit;
    return this.#toldLimit;
  }
}

/** Only an id of the right size is said back. */
const aboutPresentation = (presentationId: Uint8Array) =>
  presentationId.length === PRESENTATION_ID_BYTES ? { presentationId } : {};

const retryAfterMs = () => Math.round(RETRY_AFTER_MIN_MS + Math.random() * RETRY_AFTER_SPREAD_MS);

/** A buffer of the pixels alone, fit to be transferred to another thread. */
function copyOf(image: Uint8Array): ArrayBuffer {
  const pixels = new ArrayBuffer(image.byteLength);
  new Uint8Array(pixels).set(image);
  return pixels;
}
