// A lane that was welcomed: it admits frames into presentations, takes reports of passages, answers heartbeats.
//
// Invariants:
// - every frame costs one credit and gives it back once; a frame beyond the limit closes the link;
// - at most one presentation is open. A new id takes its place (one person steps away, the next one steps up), unless
//   somebody was recognised already and is being let in or charged: then the new one hears BUSY;
// - a coded error about a frame of the open presentation ends it, but for BAD_IMAGE: there the next frame may be better;
// - of a frame its 16-byte id and its pixels are copied, once each, and nothing else.
import { bus, edge, encode } from "../../wire/codec.js";
import type { LinkCode } from "../../wire/errors.js";
import { PRESENTATION_ID_BYTES } from "../../wire/limits.js";
import { toHex } from "../../wire/partition.js";
import { passageSubject } from "../../wire/subjects.js";
import type { PresentationLane } from "../presentation/deps.js";
import { GUIDE_KEYS, type GuideReason } from "../presentation/display.js";
import type { Presentation } from "../presentation/presentation.js";
import type { Device } from "../sites.js";
import { admitCharge, encodingName, refuseFrame } from "./admit.js";
import { Credits } from "./credits.js";
import type { LaneDeps } from "./deps.js";
import type { Link } from "./link.js";

/** BUSY: come again after this, spread out so that refused lanes do not come back as one. */
const RETRY_AFTER_MIN_MS = 150;
const RETRY_AFTER_SPREAD_MS = 300;

type Admitted = { ok: true; presentation: Presentation } | { ok: false; code: LinkCode };

export class Lane implements PresentationLane {
  readonly device: Device;
  readonly linkNumber: number;
  readonly #link: Link;
  readonly #deps: LaneDeps;
  readonly #credits: Credits;
  #toldLimit: number;
  #current: Presentation | undefined;

  constructor(device: Device, link: Link, linkNumber: number, deps: LaneDeps) {
    this.device = device;
    this.linkNumber = linkNumber;
    this.#link = link;
    this.#deps = deps;
    this.#credits = new Credits(deps.presentations.queueFill());
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

  /** What the gate did with a granted decision. */
  gateReport({ presentationId, passageToken, passage }: edge.GateReport): void {
    const known = edge.Passage[passage] !== undefined && passage !== edge.Passage.PASSAGE_UNSPECIFIED;
    if (!known) {
      this.#link.refuse("MALFORMED");
      return;
    }
    const idHex = toHex(presentationId);
    if (!this.#deps.passages.redeem(this.device.id, idHex, passageToken)) {
      this.#link.refuse("TOKEN_INVALID", aboutPresentation(presentationId));
      return;
    }
    this.#deps.metrics.passage(passage);
    void this.#deps.recorder.add({
      subject: passageSubject(this.device.site, this.device.id),
      body: encode(bus.PassageEvent, { atUnixMs: Date.now(), presentationId, passage }),
    });
  }

  heartbeat({ sentUnixMs }: edge.Heartbeat): void {
    this.#credits.refresh(this.#deps.presentations.queueFill());
    this.#link.send({ heartbeat: { sentUnixMs: Date.now(), echoSentUnixMs: sentUnixMs } });
    this.tellCredit();
  }

  guide(presentationId: Uint8Array, reason: GuideReason): void {
    const guide = { presentationId, reason: edge.Reason[reason], displayKey: GUIDE_KEYS[reason] };
    this.#link.sendAll([{ credit: { creditLimit: this.#limitToTell() } }, { guide }]);
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
    this.#credits.giveBack(this.#deps.presentations.queueFill());
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
    const admitted = admitCharge(frame.charge, this.device.purpose, current);
    return admitted.ok ? { ok: true, presentation: current } : { ok: false, code: "CHARGE_INVALID" };
  }

  #begin(idHex: string, frame: edge.Frame): Admitted {
    const { spentIds, presentations } = this.#deps;
    if (!spentIds.usable(this.device.id, idHex, this.device.purpose, this.linkNumber)) {
      return { ok: false, code: "PRESENTATION_CLOSED" };
    }
    const admitted = admitCharge(frame.charge, this.device.purpose, undefined);
    if (!admitted.ok) return { ok: false, code: "CHARGE_INVALID" };
    if (this.#current?.acting) return { ok: false, code: "BUSY" };
    this.#current?.replace();
    this.#current = presentations.open(new Uint8Array(frame.presentationId), admitted.charge, this, () => {
      this.#current = undefined;
    });
    return this.#current === undefined
      ? { ok: false, code: "BUSY" }
      : { ok: true, presentation: this.#current };
  }

  #refuseFrame(code: LinkCode, presentationId: Uint8Array): void {
    this.#deps.metrics.frame("refused");
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
