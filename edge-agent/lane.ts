// The lane's day: palm after palm until the source has no more, the count is reached, or somebody stops it.
import { setTimeout as sleep } from "node:timers/promises";
import { mayTryAgain } from "./again.js";
import type { Agent, PresentationEnd, PresentOptions } from "./agent.js";
import type { Charge } from "./attempt.js";
import type { Palm, PalmSource } from "./source/source.js";

/** Refusals name a time to wait; this bounds what the other side can make the lane wait. */
const MAX_RETRY_AFTER_MS = 10_000;

export interface LaneOptions {
  agent: Agent;
  source: PalmSource;
  /** What the n-th presentation (from 0) pays; undefined: nothing. */
  chargeFor: (presentation: number) => Charge | undefined;
  /** Rest between two presentations. */
  intervalMs: number;
  /** 0: without end. */
  count: number;
  /** The person is known, the money is awaited. */
  onProgress?: PresentOptions["onProgress"];
  onEnd: (palm: Palm, end: PresentationEnd) => void;
  signal: AbortSignal;
}

export async function runLane({
  agent,
  source,
  chargeFor,
  intervalMs,
  count,
  onProgress,
  onEnd,
  signal,
}: LaneOptions): Promise<void> {
  for (let presented = 0; !signal.aborted && (count === 0 || presented < count); presented++) {
    if (presented > 0) await rest(intervalMs, signal);
    const palm = await source.next();
    if (!palm || signal.aborted) return;
    const charge = chargeFor(presented);
    const end = await agent.present(palm, { charge, onProgress });
    source.ended?.(mayTryAgain(end, charge));
    onEnd(palm, end);
    if (end.kind === "error") await rest(Math.min(end.retryAfterMs, MAX_RETRY_AFTER_MS), signal);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
