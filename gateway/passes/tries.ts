// Bounds how often wrong codes may be tried, over everybody who tries: whoever guesses comes from many addresses.
//
// Invariants: after `maxWrong` wrong codes within a window, every try is turned away until the window is over, right
// codes too; right codes count for nothing, so that many lanes may be paired in a minute.

export class Tries {
  readonly #maxWrong: number;
  readonly #windowMs: number;
  readonly #nowMs: () => number;
  #windowEndsAtMs = 0;
  #wrong = 0;

  /** @param nowMs a clock that only grows */
  constructor(maxWrong: number, windowMs: number, nowMs: () => number = () => performance.now()) {
    this.#maxWrong = maxWrong;
    this.#windowMs = windowMs;
    this.#nowMs = nowMs;
  }

  get allowed(): boolean {
    return this.#nowMs() >= this.#windowEndsAtMs || this.#wrong < this.#maxWrong;
  }

  wrong(): void {
    const nowMs = this.#nowMs();
    if (nowMs >= this.#windowEndsAtMs) {
      this.#windowEndsAtMs = nowMs + this.#windowMs;
      this.#wrong = 0;
    }
    this.#wrong += 1;
  }
}
