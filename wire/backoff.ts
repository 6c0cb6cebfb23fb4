// Waiting between tries: doubling, jittered, bounded, and over at once when the signal aborts.
import { setTimeout as sleep } from "node:timers/promises";

export class Backoff {
  readonly #signal: AbortSignal;
  readonly #firstMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(signal: AbortSignal, { firstMs, maxMs }: { firstMs: number; maxMs: number }) {
    this.#signal = signal;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#nextMs = firstMs;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Resolves after the wait, or at once when the signal aborts. */
  async wait(): Promise<void> {
    const waitMs = this.#nextMs * (0.5 + Math.random() / 2);
    this.#nextMs = Math.min(this.#maxMs, this.#nextMs * 2);
    await sleep(waitMs, undefined, { signal: this.#signal }).catch(() => {});
  }
}
