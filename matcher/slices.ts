// Long work in a thread that must go on answering: done in slices, with a look at the sockets between them.
import { setImmediate as nextTurn } from "node:timers/promises";

/** How long a search may have to wait behind index work. */
const SLICE_MS = 8;

export class Slices {
  #startedAtMs = performance.now();

  /** Called after each small step: gives way once the slice is used up. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#startedAtMs < SLICE_MS) return;
    await nextTurn();
    this.#startedAtMs = performance.now();
  }
}
