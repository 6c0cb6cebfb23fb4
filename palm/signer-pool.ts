// A pool of signer threads behind one queue.
//
// Invariants:
// - the caller's pixels are transferred, never copied; once handed over they are zeroed by the thread that got them,
//   or here when no thread ever did;
// - the queue is bounded: sign() answers POOL_FULL at once instead of waiting behind it;
// - every sign() is answered once; a thread that dies answers its job with SIGNER_FAILED and is replaced;
// - close() leaves no thread behind, not even one that was still starting.
import "./no-telemetry.js";
import { Worker } from "node:worker_threads";
import type { Encoding } from "./decode-image.js";
import type { Quality } from "./quality.js";
import type { Signature } from "./signature.js";
import type { FromSigner, ToSigner } from "./signer-messages.js";
import { threadFile } from "./thread-file.js";

export interface SignerPoolOptions {
  modelPath: string;
  threads: number;
  /** Jobs that may wait for a thread. */
  maxQueued: number;
}

export interface SignJob {
  encoding: Encoding;
  width: number;
  height: number;
  /** Gone from the caller after sign(). */
  pixels: ArrayBuffer;
}

export type SignResult =
  | {
      ok: true;
      /** A probe; empty when quality.reason is not OK: then nothing was signed. */
      signature: Signature;
      quality: Quality;
      queueMs: number;
      signMs: number;
    }
  | {
      ok: false;
      code: "BAD_IMAGE" | "TOO_LARGE" | "POOL_FULL" | "POOL_CLOSED" | "SIGNER_FAILED";
      detail: string;
    };

interface Pending {
  job: SignJob;
  queuedAtMs: number;
  queueMs: number;
  resolve(result: SignResult): void;
}

interface Signer {
  worker: Worker;
  busyWith: Pending | undefined;
  exited: Promise<void>;
}

/** Wait before a dead thread is replaced, so that a broken model file does not burn a core. */
const REPLACE_AFTER_MS = 1000;

export class SignerPool {
  readonly #options: SignerPoolOptions;
  readonly #signers = new Set<Signer>();
  readonly #queue: Pending[] = [];
  #closed = false;
  #closing: Promise<void> | undefined;
  readonly #replacements = new Set<NodeJS.Timeout>();
  readonly #starting = new Set<Promise<void>>();
  #onIdle: (() => void) | undefined;

  private constructor(options: SignerPoolOptions) {
    this.#options = options;
  }

  /** Starts the threads and waits until each has loaded and warmed up its session. @throws when a thread cannot start */
  static async open(options: SignerPoolOptions): Promise<SignerPool> {
    const pool = new SignerPool(options);
    try {
      await Promise.all(Array.from({ length: options.threads }, () => pool.#start()));
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Signs one region of interest. Never rejects. */
  sign(job: SignJob): Promise<SignResult> {
    if (this.#closed) return Promise.resolve(refusal(job, "POOL_CLOSED", "the pool is closing"));
    return new Promise((resolve) => {
      const pending: Pending = { job, queuedAtMs: performance.now(), queueMs: 0, resolve };
      const idle = this.#idleSigner();
      if (idle) return this.#give(idle, pending);
      if (this.#queue.length >= this.#options.maxQueued) {
        return resolve(refusal(job, "POOL_FULL", `${this.#queue.length} jobs wait already`));
      }
      this.#queue.push(pending);
    });
  }

  /** For gauges: jobs waiting, threads at work, threads alive. */
  stats(): { queued: number; busy: number; threads: number } {
    const busy = [...this.#signers].filter(({ busyWith }) => busyWith).length;
    return { queued: this.#queue.length, busy, threads: this.#signers.size };
  }

  /** Takes nothing new, finishes what was taken, ends the threads. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#replacements) clearTimeout(timer);
    await Promise.allSettled(this.#starting);
    if (this.#signers.size === 0) this.#refuseQueue("no signer thread is left");
    if (this.#queue.length > 0 || this.stats().busy > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    const ends = [...this.#signers].map(({ worker, exited }) => {
      worker.postMessage({ kind: "stop" } satisfies ToSigner);
      return exited;
    });
    await Promise.all(ends);
  }

  #idleSigner(): Signer | undefined {
    for (const signer of this.#signers) if (!signer.busyWith) return signer;
    return undefined;
  }

  #give(signer: Signer, pending: Pending): void {
    pending.queueMs = performance.now() - pending.queuedAtMs;
    const { encoding, width, height, pixels } = pending.job;
    try {
      signer.worker.postMessage({ kind: "sign", encoding, width, height, pixels } satisfies ToSigner, [
        pixels,
      ]);
      signer.busyWith = pending;
    } catch (error) {
      // Transferred elsewhere already, or shared with others (a slice of Node's buffer pool): the thread never saw it.
      pending.resolve({ ok: false, code: "BAD_IMAGE", detail: (error as Error).message });
      this.#next(signer);
    }
  }

  #start(): Promise<void> {
    const started = this.#startThread();
    this.#starting.add(started);
    const forget = () => this.#starting.delete(started);
    started.then(forget, forget);
    return started;
  }

  async #startThread(): Promise<void> {
    const worker = new Worker(threadFile("signer-thread", import.meta.url), {
      workerData: { modelPath: this.#options.modelPath },
    });
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    const signer: Signer = { worker, busyWith: undefined, exited };
    let failure = "the signer thread ended";
    await new Promise<void>((resolve, reject) => {
      worker.on("error", (error) => {
        failure = (error as Error).message;
      });
      worker.once("exit", () => reject(new Error(failure)));
      worker.once("message", () => resolve());
    });
    this.#signers.add(signer);
    worker.on("message", (message: FromSigner) => this.#onMessage(signer, message));
    worker.once("exit", () => this.#onExit(signer, failure));
    this.#next(signer);
  }

  #onMessage(signer: Signer, message: FromSigner): void {
    const pending = signer.busyWith;
    signer.busyWith = undefined;
    if (pending && message.kind !== "ready") pending.resolve(toResult(message, pending.queueMs));
    this.#next(signer);
  }

  #next(signer: Signer): void {
    const next = this.#queue.shift();
    if (next) this.#give(signer, next);
    else if (this.stats().busy === 0) this.#onIdle?.();
  }

  #onExit(signer: Signer, failure: string): void {
    this.#signers.delete(signer);
    signer.busyWith?.resolve({ ok: false, code: "SIGNER_FAILED", detail: failure });
    signer.busyWith = undefined;
    if (this.#closed) {
      if (this.#signers.size === 0) this.#refuseQueue("no signer thread is left");
      if (this.stats().busy === 0 && this.#queue.length === 0) this.#onIdle?.();
      return;
    }
    this.#replaceLater();
  }

  #replaceLater(): void {
    const timer = setTimeout(() => {
      this.#replacements.delete(timer);
      this.#start().catch(() => {
        if (!this.#closed) this.#replaceLater();
      });
    }, REPLACE_AFTER_MS);
    this.#replacements.add(timer);
  }

  #refuseQueue(detail: string): void {
    for (const { job, resolve } of this.#queue.splice(0)) resolve(refusal(job, "POOL_CLOSED", detail));
  }
}

/** A job that no thread gets: its pixels are zeroed here. */
function refusal(job: SignJob, code: "POOL_FULL" | "POOL_CLOSED", detail: string): SignResult {
  new Uint8Array(job.pixels).fill(0);
  return { ok: false, code, detail };
}

function toResult(message: Exclude<FromSigner, { kind: "ready" }>, queueMs: number): SignResult {
  if (message.kind === "refused") return { ok: false, code: message.code, detail: message.detail };
  const { signature, quality, signMs } = message;
  return { ok: true, signature, quality, queueMs, signMs };
}
