// The budget of second asks: a share of all searches may ask a second worker, so that a fleet which is merely slow is
// not buried under the same work twice (gRPC A6 calls it retry throttling).
//
// Invariant: over any time, second asks <= SHARE_OF_SEARCHES of the searches + BURST.

const SHARE_OF_SEARCHES = 0.05;
const BURST = 32;

export class SecondAsks {
  #left = BURST;

  /** A search begins. */
  earn(): void {
    this.#left = Math.min(BURST, this.#left + SHARE_OF_SEARCHES);
  }

  /** @returns whether a second ask may go out now */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
