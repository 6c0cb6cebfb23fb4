// Finding hands in a thread of its own: a look blocks its thread for some ten milliseconds.
//
// Invariants:
// - one look at a time; asking for a second one before the first has ended is a bug of the caller;
// - the image's pixels are transferred, never copied, and zeroed in the thread;
// - every look ends: with what was seen, or with a rejection when the thread fails or is closed;
// - close() leaves no thread behind.
import "../no-telemetry.js";
import { Worker } from "node:worker_threads";
import { threadFile } from "../thread-file.js";
import type { Look } from "./sight.js";
import type { FromSight, ToSight } from "./sight-messages.js";
import type { HandImage } from "./types.js";

interface Waiting {
  resolve(answer: FromSight): void;
  reject(error: Error): void;
}

/** threadFile() looks from palm/, in the sources and in dist/. */
const THREAD_HOME = new URL(
  import.meta.url.endsWith(".ts") ? "../thread-file.ts" : "../thread-file.js",
  import.meta.url,
).href;

export class SightThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #waiting: Waiting | undefined;
  #failure: Error | undefined;

  /** Loads the networks. @throws when they do not load */
  static async open(): Promise<SightThread> {
    const thread = new SightThread();
    await thread.#answer();
    return thread;
  }

  private constructor() {
    this.#worker = new Worker(threadFile("hand/sight-thread", THREAD_HOME));
    this.#worker.on("message", (answer: FromSight) => this.#settle(answer));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#exited = new Promise((resolve) => {
      this.#worker.once("exit", () => {
        this.#fail(new Error("the sight thread has ended"));
        resolve();
      });
    });
  }

  /** One image of a stream, in its order. @param nowMs when it was taken, on one clock for all looks */
  look(image: HandImage, nowMs: number): Promise<Look> {
    return this.#look(image, nowMs);
  }

  /** An image that stands for itself. */
  lookAtStill(image: HandImage): Promise<Look> {
    return this.#look(image, undefined);
  }

  /** Waits for the look under way. */
  async close(): Promise<void> {
    this.#send({ kind: "stop" });
    await this.#exited;
  }

  async #look(image: HandImage, nowMs: number | undefined): Promise<Look> {
    const answer = this.#answer();
    this.#send({ kind: "look", image, nowMs }, transferable(image));
    const said = await answer;
    if (said.kind === "look") return said.look;
    throw new Error(`finding hands failed: ${said.kind === "failed" ? said.why : said.kind}`);
  }

  #answer(): Promise<FromSight> {
    if (this.#waiting) throw new Error("one look at a time");
    return new Promise((resolve, reject) => {
      if (this.#failure) reject(this.#failure);
      else this.#waiting = { resolve, reject };
    });
  }

  #send(message: ToSight, transferred: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transferred);
  }

  #settle(answer: FromSight): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}

/** A view of a shared pool (small Buffers) cannot be given away; it is copied then. */
function transferable({ pixels }: HandImage): ArrayBuffer[] {
  const { buffer } = pixels;
  return buffer instanceof ArrayBuffer && buffer.byteLength === pixels.byteLength ? [buffer] : [];
}
