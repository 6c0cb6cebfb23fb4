// DELETE /api/members/:id: erases a member for good and answers with the signed receipt.
//
// Invariants:
// - a receipt is given only for an erasure that is whole: key destroyed, every holder confirmed (records.eraseMember);
// - asked again, it goes on where it stopped; asked after the end, it gives a receipt again;
// - erasures that a crash interrupted are found in the log at start and ended, with growing pauses until they are.
import { setTimeout as wait } from "node:timers/promises";
import { eraseMember, LogUnavailableError, resumeErasures, signReceipt } from "../../records/index.js";
import type { bus } from "../../wire/codec.js";
import { type Answer, done, refuse } from "./answer.js";
import type { ApiDeps } from "./api.js";
import { findPlace, isMemberId, notAnId } from "./members.js";
import { openTurnstile } from "./turnstile.js";

const MAX_RUNNING_ERASURES = 4;
const MAX_WAITING_ERASURES = 64;
const FIRST_RESUME_PAUSE_MS = 1000;
const MAX_RESUME_PAUSE_MS = 60_000;

export interface Eraser {
  erase(memberHex: string): Promise<Answer>;
  close(): Promise<void>;
}

export function eraseHandler(deps: ApiDeps): Eraser {
  const turnstile = openTurnstile(MAX_RUNNING_ERASURES, MAX_WAITING_ERASURES);
  const closing = new AbortController();
  const resumed = resume(deps, closing.signal);
  return {
    erase: async (memberHex) => {
      if (!isMemberId(memberHex)) return notAnId();
      if (!(await turnstile.enter())) return refuse("BUSY", "Too many erasures are waiting.");
      try {
        return await erase(deps, memberHex);
      } catch (error) {
        if (error instanceof LogUnavailableError) {
          return refuse("LOG_UNAVAILABLE", "The event log did not answer.");
        }
        throw error;
      } finally {
        turnstile.leave();
      }
    },
    close: async () => {
      closing.abort();
      await resumed;
    },
  };
}

async function erase(deps: ApiDeps, memberHex: string): Promise<Answer> {
  const place = await findPlace(deps, memberHex);
  if (!place) return refuse("NOT_FOUND", "There is no such member.");
  const outcome = await eraseMember(deps.records, {
    ...place,
    requestedBy: "operator",
    holders: holdersOf(deps.workers(), place.gallery, place.partition),
  });
  if (!outcome.ok) return refuse(outcome.code, outcome.detail);
  return done(signReceipt(deps.receiptKey.privateKey, outcome.erasure));
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
