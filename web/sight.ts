// What the camera sees, found and judged in a worker of its own, so that the screen never stutters.
//
// Invariants:
// - one frame at a time: a look that is asked for while another is under way is a bug of the caller;
// - a frame's pixels are transferred to the worker and zeroed there; the page keeps none;
// - every look ends: with what was seen, or with the worker's failure as a rejection.
import type { HandImage, Look } from "../palm/hand/index.js";
import { ASSETS } from "./assets.js";
import type { SightAnswer, SightQuestion } from "./sight-messages.js";

export interface Sight {
  /** @param image its pixels are taken: they are empty afterwards */
  look(image: HandImage, nowMs: number): Promise<Look>;
  /** Starts anew: nothing of the hand seen before is used any more. */
  forget(): void;
  close(): void;
}

interface Waiting {
  resolve(answer: SightAnswer): void;
  reject(error: Error): void;
}

/** Loads the networks (some megabytes the first time). Rejects when that fails. */
export async function openSight(): Promise<Sight> {
  const sight = new WorkerSight(new Worker(ASSETS.sightWorker, { type: "module", name: "palmgate-sight" }));
  try {
    await sight.open();
  } catch (error) {
    sight.close();
    throw error;
  }
  return sight;
}

class WorkerSight implements Sight {
  readonly #worker: Worker;
  #waiting: Waiting | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<SightAnswer>) => this.#answered(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#failed(event.message || "the worker did not start");
    };
  }

  async open(): Promise<void> {
    await this.#ask({ kind: "open" }, []);
  }

  async look(image: HandImage, nowMs: number): Promise<Look> {
    const answer = await this.#ask({ kind: "look", image, nowMs }, [image.pixels.buffer]);
    if (answer.kind !== "look") throw new Error(`the sight worker answered ${answer.kind} to a look`);
    return answer.look;
  }

  forget(): void {
    const question: SightQuestion = { kind: "forget" };
    this.#worker.postMessage(question);
  }

  close(): void {
    this.#worker.terminate();
    this.#failed("closed");
  }

  #ask(question: SightQuestion, transferred: Transferable[]): Promise<SightAnswer> {
    if (this.#waiting) throw new Error("one look at a time");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(question, transferred);
    });
  }

  #answered(answer: SightAnswer): void {
    if (answer.kind === "failed") {
      this.#failed(answer.why);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #failed(why: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new Error(`finding hands failed: ${why}`));
  }
}
