// Bounds how often wrong codes may be tried, over everybody who tries: whoever guesses comes from many addresses.
//
// Invariants:
// - after `maxWrong` wrong codes within a window, every try is turned away until the window is over, right codes too;
// - a try that is under way counts as wrong until it is known, so that many at once try no more than one after another;
// - right codes count for nothing, so that many lanes may be paired in a minute.

export class Tries {
  readonly #maxWrong: number;
  readonly #windowMs: number;
  readonly #nowMs: () => number;
  #windowEndsAtMs = 0;
  #wrong = 0;
  #underWay = 0;

  /** @param nowMs a clock that only grows */
  constructor(maxWrong: number, windowMs: number, nowMs: () => number = () => performance.now()) {
    this.#maxWrong = maxWrong;
    this.#windowMs = windowMs;
    this.#nowMs = nowMs;
  }

  /** Whether a code may be tried; if so, `leave` must follow. */
  enter(): boolean {
    const wrong = this.#nowMs() >= this.#windowEndsAtMs ? 0 : this.#wrong;
    if (wrong + this.#underWay >= this.#maxWrong) return false;
    this.#underWay += 1;
    return true;
  }

  leave(isWrong: boolean): void {
    this.#underWay -= 1;
    if (!isWrong) return;
    const nowMs = this.#nowMs();
    if (nowMs >= this.#windowEndsAtMs) {
      this.#windowEndsAtMs = nowMs + this.#windowMs;
      this.#wrong = 0;
    }
    this.#wrong += 1;
  }
}
