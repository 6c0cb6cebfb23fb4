// One palm's presentation, from its first frame to its end, over as many connections as it takes (attempt.ts is one).
//
// When the link drops on the way, the presentation starts again from its first frame on the next connection, at whichever
// gateway that is, under the SAME id and with the same charge and order. Whatever became of the first try, the log lets
// one id be granted and paid once, and the gateway answers a repetition with what is recorded. Therefore a presentation
// that was started again also outwaits BUSY, and never goes on under another id; ends that leave it open whether money
// moved (`lost`, NO_DECISION) carry the id, with which the same payment can be asked for again.
//
// Invariants:
// - one presentation has one id and one charge, over all connections;
// - the whole ends within `deadlineMs`, and once the gateway has told that only the money is awaited (Progress) within
//   the money's deadline after that, whatever gateways and links do.
import { PRESENTATION_ID_BYTES } from "../wire/limits.js";
import { Attempt, type AttemptEnd, type AttemptOptions, type AttemptRequest, Stopwatch } from "./attempt.js";
import type { Link } from "./link.js";

/** When BUSY names no time. */
const BUSY_RETRY_MS = 250;

export interface PresentationRequest extends AttemptRequest {
  /** From the request to its end, reconnects included; a Progress extends it. */
  deadlineMs: number;
}

export type PresentationEnd =
  | Exclude<AttemptEnd, { kind: "dropped" }>
  /** No connection held long enough before the deadline, or the link was closed. */
  | { kind: "lost"; presentationId: Uint8Array };

export const newPresentationId = (): Uint8Array =>
  crypto.getRandomValues(new Uint8Array(PRESENTATION_ID_BYTES));

/** Presents one palm and waits for its end. One at a time per link. */
export async function presentPalm(link: Link, request: PresentationRequest): Promise<PresentationEnd> {
  const { presentationId } = request;
  const watch = new Stopwatch(request.deadlineMs);
  for (let attempts = 0; ; attempts++) {
    const connection = await link.connection(watch.deadlineAtMs);
    if (!connection || watch.leftMs <= 0) return { kind: "lost", presentationId };
    const end = await attempt({ ...request, connection, watch });
    if (end.kind === "error" && end.code === "BUSY" && attempts > 0) {
      await link.rest(Math.min(end.retryAfterMs || BUSY_RETRY_MS, watch.leftMs));
    } else if (end.kind !== "dropped") {
      return end;
    }
  }
}

/** The presentation on one connection. */
async function attempt(options: AttemptOptions): Promise<AttemptEnd> {
  const { connection, presentationId } = options;
  const conversation = connection.converse(presentationId);
  try {
    return await new Attempt(options).run(conversation);
  } finally {
    connection.leave(conversation);
  }
}
