// What the live page counts: decisions since this desk started, and how long those of the last minute took. Bounded memory.
import type { LiveDecision } from "../../wire/live.js";

const WINDOW_MS = 60_000;
/** Latest decisions of the window that the percentiles look at: more would change nothing that is shown. */
const MAX_WINDOW_DECISIONS = 2000;

export interface LiveStatsNow {
  decisions: number;
  granted: number;
  /** Of the last minute; null when there was no decision. */
  p50Ms: number | null;
  p95Ms: number | null;
}

export class LiveStats {
  #decisions = 0;
  #granted = 0;
  #window: { atUnixMs: number; totalMs: number }[] = [];

  add({ atUnixMs, granted, stages }: LiveDecision): void {
    this.#decisions++;
    if (granted) this.#granted++;
    this.#window.push({ atUnixMs, totalMs: stages.totalMs });
    // Cut in halves, so that a busy fleet does not move the whole list at every decision.
    if (this.#window.length > 2 * MAX_WINDOW_DECISIONS)
      this.#window = this.#window.slice(-MAX_WINDOW_DECISIONS);
  }

  now(nowUnixMs = Date.now()): LiveStatsNow {
    const times = this.#window
      .slice(-MAX_WINDOW_DECISIONS)
      .filter(({ atUnixMs }) => atUnixMs > nowUnixMs - WINDOW_MS)
      .map(({ totalMs }) => totalMs)
      .sort((a, b) => a - b);
    return {
      decisions: this.#decisions,
      granted: this.#granted,
      p50Ms: nearestRank(times, 0.5),
      p95Ms: nearestRank(times, 0.95),
    };
  }
}

const nearestRank = (sorted: readonly number[], share: number): number | null =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
