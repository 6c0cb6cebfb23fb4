// All presentations under way in this gateway: at most so many, the rest hear BUSY at once.
//
// Invariants:
// - a new presentation is taken only while there is a place, a signer for its frames within the deadline and room for
//   its record; one that was taken keeps all of these to its end;
// - whenIdle() resolves once none is left.
import type { Charge } from "../purposes/purpose.js";
import type { Recorder } from "../record/recorder.js";
import { Presentation, type PresentationParts } from "./presentation.js";
import type { PresentationLane } from "./presentation-lane.js";

export interface PresentationLimits {
  maxPresentations: number;
  /** Frames waiting for a signer from which on no new presentation is taken. */
  maxQueuedFrames: number;
  /** Frames waiting for a signer now. */
  queuedFrames(): number;
  /** No room for the records of so many. */
  recordFull: Recorder["full"];
}

export class Presentations {
  readonly #parts: PresentationParts;
  readonly #limits: PresentationLimits;
  readonly #active = new Set<Presentation>();
  #onIdle: (() => void) | undefined;
  #stopped = false;

  constructor(parts: PresentationParts, limits: PresentationLimits) {
    this.#parts = parts;
    this.#limits = limits;
  }

  get active(): number {
    return this.#active.size;
  }

  /** 0 empty .. 1 full: by this the lanes' credit windows shrink. */
  queueFill(): number {
    return this.#limits.queuedFrames() / this.#limits.maxQueuedFrames;
  }

  /** Starts one, or `undefined` when the gateway is at a limit. @param id a copy of its own */
  open(
    id: Uint8Array,
    charge: Charge | undefined,
    lane: PresentationLane,
    onEnd: () => void,
  ): Presentation | undefined {
    if (this.#stopped || this.#atLimit()) return undefined;
    const presentation = new Presentation(id, charge, lane, this.#parts, (ended) => {
      this.#active.delete(ended);
      onEnd();
      if (this.#active.size === 0) this.#onIdle?.();
    });
    this.#active.add(presentation);
    return presentation;
  }

  /** Takes no new ones; resolves when those under way have ended (each has a deadline). */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#active.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
  }

  #atLimit(): boolean {
    return (
      this.#active.size >= this.#limits.maxPresentations ||
      this.#limits.queuedFrames() >= this.#limits.maxQueuedFrames ||
      this.#limits.recordFull(this.#active.size)
    );
  }
}
