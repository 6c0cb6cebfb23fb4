// Counts kept inside a search thread between two reports.
//
// Invariant: everything is counted once: taking the counts starts new ones.
import { DATA_KEY_REFUSALS, type DataKeyRefusal } from "../records/index.js";
import { SKIP_REASONS, type SkipReason } from "./member-changes.js";
import type { MemberStatusName } from "./member-request.js";
import type { SearchStatusName } from "./search-request.js";

/** Durations kept until the next report; when they are this many, the report goes out early. */
const MAX_DURATIONS = 8192;

export const SEARCH_STATUSES = [
  "SEARCHED",
  "MODEL_MISMATCH",
  "PROBE_INVALID",
  "NOT_READY",
  "NOT_CURRENT",
  "PAST_DEADLINE",
  "STALE_HANDLES",
] as const satisfies readonly SearchStatusName[];
export const MEMBER_STATUSES = [
  "FOUND",
  "ERASED",
  "UNKNOWN",
  "UNREADY",
] as const satisfies readonly MemberStatusName[];

/** Everything since the last report. */
export interface Counts {
  /** Round one. */
  searches: Record<SearchStatusName, number>;
  /** How long each of them took. */
  searchMs: Float32Array;
  /** Round two. */
  compares: Record<SearchStatusName, number>;
  reads: Record<MemberStatusName, number>;
  eventsApplied: number;
  skipped: Record<SkipReason, number>;
  refusedKeys: Record<DataKeyRefusal, number>;
}

export class Tally {
  readonly #durations = new Float32Array(MAX_DURATIONS);
  #timed = 0;
  #counts = fresh();

  /** @returns true when a report is due */
  search(status: SearchStatusName, ms: number): boolean {
    this.#counts.searches[status] += 1;
    if (this.#timed < MAX_DURATIONS) this.#durations[this.#timed++] = ms;
    return this.#timed === MAX_DURATIONS;
  }

  compare(status: SearchStatusName): void {
    this.#counts.compares[status] += 1;
  }

  read(status: MemberStatusName): void {
    this.#counts.reads[status] += 1;
  }

  skipped(reason: SkipReason): void {
    this.#counts.skipped[reason] += 1;
  }

  keyRefused(code: DataKeyRefusal): void {
    this.#counts.refusedKeys[code] += 1;
  }

  applied(events: number): void {
    this.#counts.eventsApplied += events;
  }

  take(): Counts {
    const taken = { ...this.#counts, searchMs: this.#durations.slice(0, this.#timed) };
    this.#counts = fresh();
    this.#timed = 0;
    return taken;
  }
}

const zeros = <Name extends string>(names: readonly Name[]) =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;

const fresh = (): Omit<Counts, "searchMs"> => ({
  searches: zeros<SearchStatusName>(SEARCH_STATUSES),
  compares: zeros<SearchStatusName>(SEARCH_STATUSES),
  reads: zeros<MemberStatusName>(MEMBER_STATUSES),
  eventsApplied: 0,
  skipped: zeros<SkipReason>(SKIP_REASONS),
  refusedKeys: zeros<DataKeyRefusal>(DATA_KEY_REFUSALS),
});
