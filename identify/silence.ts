// Who has gone quiet between two heartbeats: a worker that hangs, or a link that is cut. Told by what it does not
// answer, so that searches stop waiting for it within a quarter of a second and not only when its heartbeats run out.
//
// Invariants:
// - slow is not silent: whoever has answered anything since its first miss is not silent;
// - nobody is silent for longer than SILENT_FOR_MS without having been asked again.

/** Unanswered asks in a row, and how long nothing at all has come since the first of them. */
const MISSES = 2;
const QUIET_MS = 250;
/** Then it is waited for once more. */
const SILENT_FOR_MS = 1000;
/** More workers than a fleet has slots. */
const MAX_WORKERS = 4096;

interface Missed {
  sinceMs: number;
  count: number;
  lastMs: number;
}

/** Times are of one monotonic clock, in milliseconds. */
export class Silence {
  readonly #missed = new Map<string, Missed>();

  /** An ask of this worker was not answered in good time. */
  missed(workerId: string, nowMs: number): void {
    const known = this.#missed.get(workerId);
    if (known === undefined) {
      if (this.#missed.size < MAX_WORKERS)
        this.#missed.set(workerId, { sinceMs: nowMs, count: 1, lastMs: nowMs });
      return;
    }
    known.count += 1;
    known.lastMs = nowMs;
  }

  /** It has answered, whatever and however late. */
  heard(workerId: string): void {
    if (this.#missed.size > 0) this.#missed.delete(workerId);
  }

  silent(workerId: string, nowMs: number): boolean {
    const missed = this.#missed.get(workerId);
    if (missed === undefined || missed.count < MISSES) return false;
    return missed.lastMs - missed.sinceMs >= QUIET_MS && nowMs - missed.lastMs < SILENT_FOR_MS;
  }
}
