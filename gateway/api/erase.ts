// Erases a member for good and answers with the signed receipt: DELETE /api/members/:id for operators, and
// POST /api/erasures for the member (gateway/passes/forget.ts).
//
// Invariants:
// - a receipt is given only for an erasure that is whole: key destroyed, every holder confirmed (records.eraseMember);
// - what is begun goes on by itself (pending-erasures.ts); asked again, it goes on now; asked after the end, it gives a
//   receipt again, at once while that is at hand;
// - erasures that a crash interrupted are found in the log at start and ended, with growing pauses until they are.
import { setTimeout as wait } from "node:timers/promises";
import {
  type ErasureOutcome,
  eraseMember,
  LogUnavailableError,
  resumeErasures,
  signReceipt,
} from "../../records/index.js";
import type { bus } from "../../wire/codec.js";
import { type Answer, done, refuse } from "./answer.js";
import type { ApiDeps } from "./api.js";
import { findPlace, isMemberId, notAnId } from "./members.js";
import { type Erasure, openPendingErasures, type Requester } from "./pending-erasures.js";
import { openTurnstile } from "./turnstile.js";

const MAX_RUNNING_ERASURES = 4;
const MAX_WAITING_ERASURES = 64;
const FIRST_RESUME_PAUSE_MS = 1000;
const MAX_RESUME_PAUSE_MS = 60_000;
const FIRST_RETRY_PAUSE_MS = 1000;
const MAX_RETRY_PAUSE_MS = 30_000;
/** Matchers that heard of an erasure long ago answer at once, or not yet. */
const RETRY_WAIT_MS = 3000;
/** How long this gateway's own view may take to show what the log and the matchers have. */
const SEEN_DEADLINE_MS = 2000;

export interface Eraser {
  erase(memberHex: string, requestedBy: Requester): Promise<Answer>;
  close(): Promise<void>;
}

export function eraseHandler(deps: ApiDeps): Eraser {
  const turnstile = openTurnstile(MAX_RUNNING_ERASURES, MAX_WAITING_ERASURES);
  const closing = new AbortController();
  const resumed = resume(deps, closing.signal);
  const erasures = openPendingErasures({
    attempt: (memberHex, asked, requestedBy) => attempt(deps, memberHex, asked, requestedBy),
    log: deps.log,
    firstPauseMs: FIRST_RETRY_PAUSE_MS,
    maxPauseMs: MAX_RETRY_PAUSE_MS,
  });
  return {
    erase: async (memberHex, requestedBy) => {
      if (!isMemberId(memberHex)) return notAnId();
      const receipt = erasures.receipt(memberHex);
      if (receipt) return done(receipt);
      if (!(await turnstile.enter())) return refuse("BUSY", "Too many erasures are waiting.");
      try {
        const erasure = await erasures.erase(memberHex, requestedBy);
        return erasure.ok ? done(erasure.receipt) : refuse(erasure.code, erasure.detail);
      } finally {
        turnstile.leave();
      }
    },
    close: async () => {
      closing.abort();
      await Promise.all([resumed, erasures.close()]);
    },
  };
}

async function attempt(
  deps: ApiDeps,
  memberHex: string,
  asked: boolean,
  requestedBy: Requester,
): Promise<Erasure> {
  const outcome = await eraseOnce(deps, memberHex, asked, requestedBy);
  if (!outcome.ok) return outcome;
  // The receipt is true already; whoever asks this gateway next shall hear the same.
  await deps.members.applied(outcome.erasure.erasedSequence, SEEN_DEADLINE_MS);
  return { ok: true, receipt: signReceipt(deps.receiptKey.privateKey, outcome.erasure) };
}

async function eraseOnce(
  deps: ApiDeps,
  memberHex: string,
  asked: boolean,
  requestedBy: Requester,
): Promise<ErasureOutcome> {
  try {
    const place = await findPlace(deps, memberHex);
    if (!place) return { ok: false, code: "NOT_FOUND", detail: "There is no such member." };
    const records = asked ? deps.records : { ...deps.records, appliedWaitMs: RETRY_WAIT_MS };
    const holders = holdersOf(deps.workers(), place.gallery, place.partition);
    return await eraseMember(records, { ...place, requestedBy, holders });
  } catch (error) {
    if (!(error instanceof LogUnavailableError)) throw error;
    return { ok: false, code: "LOG_UNAVAILABLE", detail: "The event log did not answer." };
  }
}

/** Workers that hold the partition now, caught up or not: each may have the member in its store. */
export const holdersOf = (workers: readonly bus.IWorkerState[], gallery: string, partition: number): number =>
  workers.filter((worker) =>
    worker.partitions?.some((each) => each.gallery === gallery && (each.partition ?? 0) === partition),
  ).length;

async function resume(deps: ApiDeps, stopped: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_RESUME_PAUSE_MS; !stopped.aborted; pauseMs *= 2) {
    // First a pause: at start no matcher has said yet what it holds.
    await wait(Math.min(pauseMs, MAX_RESUME_PAUSE_MS), undefined, { signal: stopped }).catch(() => {});
    if (stopped.aborted) return;
    try {
      const { finished, pending } = await resumeErasures(deps.records, (gallery, partition) =>
        holdersOf(deps.workers(), gallery, partition),
      );
      if (finished > 0) deps.log.info({ finished }, "interrupted erasures are finished");
      if (pending === 0) return;
      deps.log.warn({ pending }, "interrupted erasures are still pending");
    } catch (error) {
      deps.log.warn({ error: String(error) }, "interrupted erasures could not be looked for");
    }
  }
}
