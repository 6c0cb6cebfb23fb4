// Flow control of one link, pure: how many frames the agent may send.
//
// The limit is cumulative for the connection (proto Credit): the n-th frame may be sent once limit >= n.
// Invariants:
// - the limit never decreases, so a frame sent within it is never refused for it;
// - frames in flight (received and not done) never exceed CREDIT_WINDOW_FRAMES;
// - every frame's credit comes back once when the frame is done, whatever became of it;
// - under load the window shrinks, but a lane with nothing in flight always holds at least one credit.
import { CREDIT_WINDOW_FRAMES } from "../../wire/limits.js";

/** Frames a lane may have in flight while the signers' queue is filled to `queueFill` (0 empty .. 1 full). */
export function windowUnderLoad(queueFill: number): number {
  const free = 1 - Math.min(1, Math.max(0, queueFill));
  return Math.max(1, Math.ceil(CREDIT_WINDOW_FRAMES * free));
}

export class Credits {
  #limit: number;
  #received = 0;
  #done = 0;

  constructor(queueFill: number) {
    this.#limit = windowUnderLoad(queueFill);
  }

  /** Cumulative limit as last granted. */
  get limit(): number {
    return this.#limit;
  }

  get inFlight(): number {
    return this.#received - this.#done;
  }

  /** Frames the agent may still send. */
  get outstanding(): number {
    return this.#limit - this.#received;
  }

  /** Counts a frame that came in. False: it is beyond the limit (and is not counted). */
  take(): boolean {
    if (this.#received >= this.#limit) return false;
    this.#received += 1;
    return true;
  }

  /** A frame is done: its credit comes back as far as the load allows. @returns the limit from now on */
  giveBack(queueFill: number): number {
    if (this.#done >= this.#received) throw new Error("a credit came back that was never taken");
    this.#done += 1;
    return this.refresh(queueFill);
  }

  /** Grows the limit when the load has gone down since. @returns the limit from now on */
  refresh(queueFill: number): number {
    this.#limit = Math.max(this.#limit, this.#done + windowUnderLoad(queueFill));
    return this.#limit;
  }
}
