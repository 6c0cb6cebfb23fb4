// When an image is worth a look while nobody is there: when something moves, for AWAKE_MS after, and every IDLE_LOOK_MS.
// The same for a lane's agent and for the pages in a browser.
import { MotionDetector, type Scene } from "./motion.js";

const IDLE_LOOK_MS = 3_000;
/** A hand that lies still at once, or upside down, is not found by the first look. */
const AWAKE_MS = 500;

export class Attention {
  readonly #motion = new MotionDetector();
  /** Until then every image is looked at: something moved a moment ago. */
  #awakeUntilMs = Number.NEGATIVE_INFINITY;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  /** Asked of every image while nobody is there. */
  isDrawn(scene: Scene, nowMs: number): boolean {
    if (this.#motion.moved(scene)) this.#awakeUntilMs = nowMs + AWAKE_MS;
    return nowMs < this.#awakeUntilMs || this.restedMs(nowMs) >= IDLE_LOOK_MS;
  }

  /** Since the last look. */
  restedMs(nowMs: number): number {
    return nowMs - this.#lookedAtMs;
  }

  /** A look was taken. @param isVain nobody was there: this is what an empty scene looks like */
  looked(scene: Scene, nowMs: number, isVain: boolean): void {
    this.#lookedAtMs = nowMs;
    if (isVain) this.#motion.settle(scene);
  }
}
