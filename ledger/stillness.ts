// Whether who has events to take takes any: a full disk, or a consumer that hangs, is seen by nothing else.
const STILL_AFTER_MS = 10_000;

export interface Reading {
  /** Events that wait to be taken. */
  lag: number;
  /** Changes whenever some were taken. */
  position: number;
}

/** One reader's. Looked at every second or so. */
export class Stillness {
  readonly #afterMs: number;
  #position = -1;
  #movedAtMs = 0;

  constructor(afterMs = STILL_AFTER_MS) {
    this.#afterMs = afterMs;
  }

  /** @returns whether events have waited for long and none was taken meanwhile */
  look({ lag, position }: Reading): boolean {
    const nowMs = performance.now();
    if (lag === 0 || position !== this.#position) this.#movedAtMs = nowMs;
    this.#position = position;
    return nowMs - this.#movedAtMs >= this.#afterMs;
  }
}
