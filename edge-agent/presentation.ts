// One palm's presentation, from its first frame to its end: every frame costs a credit, a Guide asks for the next one,
// a Decision or an Error ends it.
//
// When the link drops on the way, the presentation starts again from its first frame on the next connection:
// - without a charge under a FRESH id. The gateway may have closed the old id already, and a Decision that was lost
//   opened nothing: its token went with it.
// - with a charge under the SAME id. The id is the payment's idempotency key: whatever became of the first try, the log
//   lets this id pay once, and the gateway answers a repetition with what it recorded. Therefore a restarted payment
//   also outwaits BUSY, and never goes on under another id; ends that leave it open whether money moved (`lost`,
//   NO_DECISION) carry the id, with which the same payment can be asked for again.
//
// Invariants:
// - no frame is captured before its credit is there: nothing is buffered and the newest frame is sent;
// - the whole ends within `deadlineMs`, whatever the gateway and the link do.
import { randomBytes } from "node:crypto";
import { edge } from "../wire/codec.js";
import { PRESENTATION_ID_BYTES } from "../wire/limits.js";
import { laneNowMs } from "./clock.js";
import type { Connection, SendResult } from "./connection.js";
import type { ErrorName } from "./conversation.js";
import type { Link } from "./link.js";
import type { CapturedFrame, Palm } from "./source/source.js";

/** A Decision may come this much later than Welcome promises before the lane gives up on it. */
const DECISION_GRACE_MS = 1000;
/** When BUSY names no time. */
const BUSY_RETRY_MS = 250;

export interface Charge {
  /** In the currency's minor unit. */
  amountMinor: number;
  /** ISO 4217, three capitals. */
  currency: string;
  orderRef: string;
}

export interface PresentationRequest {
  palm: Palm;
  /** 16 bytes. */
  presentationId: Uint8Array;
  charge?: Charge | undefined;
  /** From the request to its end, reconnects included. */
  deadlineMs: number;
  onFrame(result: SendResult): void;
}

/** NO_FRAME: the palm yielded no image. NO_DECISION: the gateway answers on the link, but not about this presentation. */
export type PresentationErrorCode = ErrorName | "NO_FRAME" | "NO_DECISION";

export type PresentationEnd =
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
  /** No connection held long enough before the deadline, or the link was closed. */
  | { kind: "lost"; presentationId: Uint8Array };

export const newPresentationId = (): Uint8Array => randomBytes(PRESENTATION_ID_BYTES);

/** Presents one palm and waits for its end. One at a time per link. */
export async function presentPalm(link: Link, request: PresentationRequest): Promise<PresentationEnd> {
  const deadlineAtMs = performance.now() + request.deadlineMs;
  const watch: Stopwatch = { firstFrameAtMs: undefined };
  let { presentationId } = request;
  for (let tries = 0; ; tries++) {
    const connection = await link.connection(deadlineAtMs);
    if (!connection || performance.now() >= deadlineAtMs) return { kind: "lost", presentationId };
    const end = await tryOnce({ ...request, presentationId, connection, deadlineAtMs, watch });
    const isRestartedPayment = tries > 0 && request.charge !== undefined;
    if (end.kind === "error" && end.code === "BUSY" && isRestartedPayment) {
      await link.rest(Math.min(end.retryAfterMs || BUSY_RETRY_MS, deadlineAtMs - performance.now()));
    } else if (end.kind !== "dropped") {
      return end;
    }
    if (!request.charge) presentationId = newPresentationId();
  }
}

interface Stopwatch {
  /** On the clock of performance.now(). */
  firstFrameAtMs: number | undefined;
}

interface Try extends PresentationRequest {
  connection: Connection;
  deadlineAtMs: number;
  watch: Stopwatch;
}

/** The presentation on one connection. */
async function tryOnce(each: Try): Promise<PresentationEnd | { kind: "dropped" }> {
  const conversation = each.connection.converse(each.presentationId);
  try {
    return await converse(each, conversation);
  } finally {
    each.connection.leave(conversation);
  }
}

async function converse(
  each: Try,
  conversation: ReturnType<Connection["converse"]>,
): Promise<PresentationEnd | { kind: "dropped" }> {
  const { connection, presentationId, watch } = each;
  const { maxFramesPerPresentation, presentationDeadlineMs } = connection.terms;
  const failed = (code: PresentationErrorCode, message: string, retryAfterMs = 0): PresentationEnd => ({
    kind: "error",
    presentationId,
    code,
    message,
    retryAfterMs,
  });
  const frames = each.palm.frames();
  let { deadlineAtMs } = each;
  let sequence = 0;
  let wantsFrame = true;
  let hasMore = true;
  for (;;) {
    const event = await conversation.next(deadlineAtMs, wantsFrame);
    if (event.kind === "credit") {
      wantsFrame = false;
      const captured = await frames.next();
      if (!captured && sequence === 0) return failed("NO_FRAME", "the source had no image of this palm");
      hasMore = captured !== undefined && !captured.last && sequence + 1 < maxFramesPerPresentation;
      if (!captured) continue;
      const sent = send(each, captured, sequence, !hasMore);
      if (sent === "too large") return failed("IMAGE_TOO_LARGE", "larger than the gateway's Welcome allows");
      if (sequence === 0) {
        deadlineAtMs = Math.min(deadlineAtMs, performance.now() + presentationDeadlineMs + DECISION_GRACE_MS);
      }
      sequence += 1;
    } else if (event.kind === "guide") {
      wantsFrame = hasMore;
    } else if (event.kind === "decision") {
      const roundTripMs = performance.now() - (watch.firstFrameAtMs ?? performance.now());
      return { kind: "decision", presentationId, decision: event.decision, roundTripMs, connection };
    } else if (event.kind === "error") {
      return failed(event.code, event.message, event.retryAfterMs);
    } else if (event.kind === "deadline") {
      return failed("NO_DECISION", "the gateway answered nothing about this presentation in time");
    } else {
      return event;
    }
  }
}

function send(each: Try, { image }: CapturedFrame, sequence: number, last: boolean): SendResult {
  const { connection, presentationId, charge, watch, onFrame } = each;
  const side = connection.terms.maxImageSidePx;
  const result: SendResult =
    image.widthPx > side || image.heightPx > side
      ? "too large"
      : connection.sendFrame({
          presentationId,
          sequence,
          capturedUnixMs: Math.floor(laneNowMs()),
          encoding: image.encoding,
          widthPx: image.widthPx,
          heightPx: image.heightPx,
          stage: edge.Stage.ROI,
          modality: image.modality,
          image: image.bytes,
          last,
          ...(charge && sequence === 0 ? { charge } : {}),
        });
  if (result === "sent") watch.firstFrameAtMs ??= performance.now();
  onFrame(result);
  return result;
}
