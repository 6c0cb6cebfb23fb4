// A presentation on one connection: frames out, each with a credit; a Guide asks for the next; a Decision or an Error
// ends it.
//
// Invariants:
// - no frame is captured before its credit is there: nothing is buffered and the newest frame is sent;
// - it ends by its deadline, and once its first frame is out by the gateway's own.
import { edge } from "../wire/edge-codec.js";
import { laneNowMs } from "./clock.js";
import type { Connection, SendResult } from "./connection.js";
import type { Conversation, Event, Reply } from "./conversation.js";
import type { PresentationEnd, PresentationErrorCode, PresentationRequest } from "./presentation.js";
import type { Frames, PalmImage } from "./source/source.js";

/** A Decision may come this much later than Welcome promises before the lane gives up on it. */
const DECISION_GRACE_MS = 1000;

/** Runs over all attempts of one presentation. */
export interface Stopwatch {
  /** On the clock of performance.now(). */
  firstFrameAtMs: number | undefined;
}

export interface AttemptOptions extends PresentationRequest {
  connection: Connection;
  /** On the clock of performance.now(). */
  deadlineAtMs: number;
  watch: Stopwatch;
}

export type AttemptEnd = PresentationEnd | { kind: "dropped" };

/** One method per event; each returns the end, or `undefined` while the presentation goes on. */
export class Attempt {
  readonly #options: AttemptOptions;
  readonly #frames: Frames;
  #deadlineAtMs: number;
  /** On the clock of performance.now(); of this attempt. */
  #firstFrameAtMs: number | undefined;
  #sequence = 0;
  /** The next frame is wanted: at the start, and when the gateway asks for another. */
  #wantsFrame = true;
  #hasMore = true;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.#frames = options.palm.frames();
    this.#deadlineAtMs = options.deadlineAtMs;
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
    const answerAtMs = nowMs + connection.terms.presentationDeadlineMs + DECISION_GRACE_MS;
    this.#deadlineAtMs = Math.min(this.#deadlineAtMs, answerAtMs);
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

  /** No answer although Welcome promised one: of a gateway that has said nothing at all, the link is half-open. */
  #unanswered(): AttemptEnd {
    const { connection, deadlineAtMs } = this.#options;
    const hasTime = performance.now() < deadlineAtMs;
    if (hasTime && this.#firstFrameAtMs !== undefined && connection.cutIfSilentSince(this.#firstFrameAtMs)) {
      return { kind: "dropped" };
    }
    return this.#failed("NO_DECISION", "the gateway answered nothing about this presentation in time");
  }

  #failed(code: PresentationErrorCode, message: string, retryAfterMs = 0): AttemptEnd {
    return { kind: "error", presentationId: this.#options.presentationId, code, message, retryAfterMs };
  }
}
