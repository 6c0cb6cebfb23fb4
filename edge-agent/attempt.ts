// A presentation on one connection: frames out, each with a credit; a Guide asks for the next; a Progress says that only
// the money is awaited; a Decision or an Error ends it.
//
// Invariants:
// - no frame is captured before its credit is there: nothing is buffered and the newest frame is sent;
// - it ends by its deadline, and once its first frame is out by the gateway's own: when the identity is due, and after a
//   Progress when the money is;
// - a gateway that owes a Decision and says nothing at all is left for the next connection.
import { edge } from "../wire/edge-codec.js";
import { laneNowMs } from "./clock.js";
import type { Connection, SendResult } from "./connection.js";
import type { Conversation, ErrorName, Event, Reply } from "./conversation.js";
import type { Frames, Palm, PalmImage } from "./source/source.js";

/** A Decision may come this much later than Welcome promises before the lane gives up on it. */
const DECISION_GRACE_MS = 1000;

export interface Charge {
  /** In the currency's minor unit. */
  amountMinor: number;
  /** ISO 4217, three capitals. */
  currency: string;
  orderRef: string;
}

export interface AttemptRequest {
  palm: Palm;
  /** 16 bytes. */
  presentationId: Uint8Array;
  charge?: Charge | undefined;
  onFrame(result: SendResult): void;
  /** The person is known, the money is awaited. */
  onProgress?: ((progress: edge.Progress.$Properties) => void) | undefined;
}

/** NO_FRAME: the palm yielded no image. NO_DECISION: the gateway answers on the link, but not about this presentation. */
export type PresentationErrorCode = ErrorName | "NO_FRAME" | "NO_DECISION";

/** Of one presentation, over all its attempts. Times are on the clock of performance.now(). */
export class Stopwatch {
  firstFrameAtMs: number | undefined;
  #deadlineAtMs: number;
  /** The deadline as it was asked for. */
  readonly #askedAtMs: number;

  constructor(deadlineMs: number) {
    this.#askedAtMs = performance.now() + deadlineMs;
    this.#deadlineAtMs = this.#askedAtMs;
  }

  get deadlineAtMs(): number {
    return this.#deadlineAtMs;
  }

  get leftMs(): number {
    return this.#deadlineAtMs - performance.now();
  }

  /** Never by more than `mostMs` in all, however often it is asked for. */
  extendTo(atMs: number, mostMs: number): void {
    this.#deadlineAtMs = Math.max(this.#deadlineAtMs, Math.min(atMs, this.#askedAtMs + mostMs));
  }
}

export interface AttemptOptions extends AttemptRequest {
  connection: Connection;
  watch: Stopwatch;
}

export type AttemptEnd =
  | {
      kind: "decision";
      presentationId: Uint8Array;
      decision: edge.Decision.$Properties;
      /** First frame out -> Decision in, restarts included. */
      roundTripMs: number;
      /** The connection it came on. */
      connection: Connection;
    }
  | {
      kind: "error";
      presentationId: Uint8Array;
      code: PresentationErrorCode;
      message: string;
      retryAfterMs: number;
    }
  /** With the connection. */
  | { kind: "dropped" };

/** One method per event; each returns the end, or `undefined` while the presentation goes on. */
export class Attempt {
  readonly #options: AttemptOptions;
  readonly #frames: Frames;
  /** When the gateway's answer is due; undefined: nothing was asked yet. */
  #dueAtMs: number | undefined;
  /** On the clock of performance.now(); of this attempt. */
  #firstFrameAtMs: number | undefined;
  #sequence = 0;
  /** The next frame is wanted: at the start, and when the gateway asks for another. */
  #wantsFrame = true;
  #hasMore = true;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#frames = options.palm.frames();
  }

  get #deadlineAtMs(): number {
    const { deadlineAtMs } = this.#options.watch;
    return this.#dueAtMs === undefined ? deadlineAtMs : Math.min(this.#dueAtMs, deadlineAtMs);
  }

  async run(conversation: Conversation): Promise<AttemptEnd> {
    for (;;) {
      const event = await conversation.next(this.#deadlineAtMs, this.#wantsFrame);
      const end = await this.#take(event);
      if (end) return end;
    }
  }

  #take(event: Event): AttemptEnd | undefined | Promise<AttemptEnd | undefined> {
    switch (event.kind) {
      case "credit":
        return this.#sendNext();
      case "guide":
        this.#wantsFrame = this.#hasMore;
        return undefined;
      case "progress":
        return this.#awaitMoney(event.progress);
      case "decision":
        return this.#decided(event.decision);
      case "error":
        return this.#refused(event);
      case "deadline":
        return this.#unanswered();
      case "dropped":
        return event;
    }
  }

  async #sendNext(): Promise<AttemptEnd | undefined> {
    this.#wantsFrame = false;
    const captured = await this.#frames.next();
    const { maxFramesPerPresentation } = this.#options.connection.terms;
    this.#hasMore = captured?.last === false && this.#sequence + 1 < maxFramesPerPresentation;
    if (!captured) {
      return this.#sequence === 0
        ? this.#failed("NO_FRAME", "the source had no image of this palm")
        : undefined;
    }
    const result = this.#send(captured.image);
    this.#options.onFrame(result);
    if (result === "too large") {
      return this.#failed("IMAGE_TOO_LARGE", "larger than the gateway's Welcome allows");
    }
    if (result === "sent") this.#countFrame();
    return undefined;
  }

  #send(image: PalmImage): SendResult {
    const { connection, presentationId, charge } = this.#options;
    const side = connection.terms.maxImageSidePx;
    if (image.widthPx > side || image.heightPx > side) return "too large";
    return connection.sendFrame({
      presentationId,
      sequence: this.#sequence,
      capturedUnixMs: Math.floor(laneNowMs()),
      encoding: image.encoding,
      widthPx: image.widthPx,
      heightPx: image.heightPx,
      stage: edge.Stage.ROI,
      modality: image.modality,
      image: image.bytes,
      last: !this.#hasMore,
      ...(charge && this.#sequence === 0 ? { charge } : {}),
    });
  }

  #countFrame(): void {
    this.#sequence += 1;
    if (this.#firstFrameAtMs !== undefined) return;
    const nowMs = performance.now();
    this.#firstFrameAtMs = nowMs;
    const { watch, connection } = this.#options;
    watch.firstFrameAtMs ??= nowMs;
    this.#dueAtMs = nowMs + connection.terms.presentationDeadlineMs + DECISION_GRACE_MS;
  }

  /** The wait goes on until the gateway's own moment, within the bound that its Welcome set. No frame is wanted any more. */
  #awaitMoney(progress: edge.Progress.$Properties): undefined {
    const { connection, watch, charge, onProgress } = this.#options;
    if (!charge || this.#dueAtMs === undefined) return;
    this.#wantsFrame = false;
    const { moneyDeadlineMs } = connection.terms;
    const leftMs = (progress.decisionByUnixMs ?? 0) - connection.clock.earliestMs(laneNowMs());
    const boundedMs = Math.max(0, Math.min(leftMs, moneyDeadlineMs));
    this.#dueAtMs = Math.max(this.#dueAtMs, performance.now() + boundedMs + DECISION_GRACE_MS);
    watch.extendTo(this.#dueAtMs, moneyDeadlineMs + DECISION_GRACE_MS);
    onProgress?.(progress);
  }

  #decided(decision: edge.Decision.$Properties): AttemptEnd {
    const { presentationId, connection, watch } = this.#options;
    const nowMs = performance.now();
    const roundTripMs = nowMs - (watch.firstFrameAtMs ?? nowMs);
    return { kind: "decision", presentationId, decision, roundTripMs, connection };
  }

  /** An image that did not decode costs the frame, not the presentation. */
  #refused({ code, message, retryAfterMs }: Reply & { kind: "error" }): AttemptEnd | undefined {
    if (code !== "BAD_IMAGE" || !this.#hasMore) return this.#failed(code, message, retryAfterMs);
    this.#wantsFrame = true;
    return undefined;
  }

  /** No answer although one is due: of a gateway that has said nothing at all for a while, the link is half-open. */
  #unanswered(): AttemptEnd {
    const { connection, watch } = this.#options;
    const isOwed = this.#dueAtMs !== undefined && watch.leftMs > 0;
    if (isOwed && connection.cutIfSilentSince(performance.now() - DECISION_GRACE_MS))
      return { kind: "dropped" };
    return this.#failed("NO_DECISION", "the gateway answered nothing about this presentation in time");
  }

  #failed(code: PresentationErrorCode, message: string, retryAfterMs = 0): AttemptEnd {
    return { kind: "error", presentationId: this.#options.presentationId, code, message, retryAfterMs };
  }
}
