// Counts kept inside a partition thread between two reports.
//
// Invariant: every search is counted once: taking the counts starts new ones.
import type { DataKeyRefusal } from "../records/index.js";
import { SKIP_REASONS, type SkipReason } from "./member-changes.js";
import type { SearchStatusName } from "./search-request.js";
import type { ThreadReport } from "./thread-messages.js";

/** Durations kept until the next report; when they are this many, the report goes out early. */
const MAX_DURATIONS = 8192;

type Counts = Omit<ThreadReport, "partitions">;

export class Tally {
  #durations = new Float32Array(MAX_DURATIONS);
  #searched = 0;
  #searches = noSearches();
  #skipped = noSkips();
  #refusedKeys = noRefusals();
  #eventsApplied = 0;

  /** @returns true when a report is due */
  search(status: SearchStatusName, ms: number): boolean {
    this.#searches[status] += 1;
    if (this.#searched < MAX_DURATIONS) this.#durations[this.#searched++] = ms;
    return this.#searched === MAX_DURATIONS;
  }

  skipped(reason: SkipReason): void {
    this.#skipped[reason] += 1;
  }

  keyRefused(code: DataKeyRefusal): void {
    this.#refusedKeys[code] += 1;
  }

  applied(events: number): void {
    this.#eventsApplied += events;
  }

  take(): Counts {
    const counts: Counts = {
      searches: this.#searches,
      searchMs: this.#durations.slice(0, this.#searched),
      eventsApplied: this.#eventsApplied,
      skipped: this.#skipped,
      refusedKeys: this.#refusedKeys,
    };
    this.#searches = noSearches();
    this.#skipped = noSkips();
    this.#refusedKeys = noRefusals();
    this.#searched = 0;
    this.#eventsApplied = 0;
    return counts;
  }
}

const noSearches = (): Record<SearchStatusName, number> => ({
  SEARCHED: 0,
  MODEL_MISMATCH: 0,
  PROBE_INVALID: 0,
  NOT_READY: 0,
});
const noSkips = (): Record<SkipReason, number> => ({
  ...(Object.fromEntries(SKIP_REASONS.map((reason) => [reason, 0])) as Record<SkipReason, number>),
});
const noRefusals = (): Record<DataKeyRefusal, number> => ({ MALFORMED: 0, UNWRAPPED: 0, UNOPENED: 0 });
