// For how long each worker's heartbeat has been silent, as this process has heard it.
//
// Invariant: one that was never heard counts as silent since this process began to listen, and no longer.

/** Workers remembered: far more than a fleet has. */
const MAX_REMEMBERED = 10_000;

export class Silence {
  readonly #alive: () => Iterable<string>;
  readonly #nowMs: () => number;
  readonly #beganAtMs: number;
  readonly #silentSinceMs = new Map<string, number>();
  #heard = new Set<string>();

  constructor(alive: () => Iterable<string>, nowMs: () => number = () => performance.now()) {
    this.#alive = alive;
    this.#nowMs = nowMs;
    this.#beganAtMs = nowMs();
    this.note();
  }

  /** To be called whenever somebody is heard anew or falls silent. */
  note(): void {
    const alive = new Set(this.#alive());
    for (const worker of alive) this.#silentSinceMs.delete(worker);
    for (const worker of this.#heard) {
      if (!alive.has(worker)) this.#silentSinceMs.set(worker, this.#nowMs());
    }
    const [oldest] = this.#silentSinceMs.keys();
    if (this.#silentSinceMs.size > MAX_REMEMBERED && oldest !== undefined) this.#silentSinceMs.delete(oldest);
    this.#heard = alive;
  }

  ms(workerId: string): number {
    if (this.#heard.has(workerId)) return 0;
    return this.#nowMs() - (this.#silentSinceMs.get(workerId) ?? this.#beganAtMs);
  }
}
