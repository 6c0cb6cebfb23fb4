// One camera: an ffmpeg child process, started again whenever it ends or goes silent, and its newest image.
//
// Invariants:
// - images live in the reader's two buffers only, and are overwritten when the child ends;
// - no child without a deadline: silent for startDeadlineMs at first, for imageDeadlineMs later, it is killed;
// - a child is asked to end (SIGTERM) and after killAfterMs made to (SIGKILL); `close` resolves when it is gone;
// - what ffmpeg says is kept to its last maxStderrBytes, and logged without credentials.
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { childEnv } from "../../wire/child-env.js";
import type { Log } from "../../wire/log.js";
import { type BackoffBounds, backoffMs } from "../backoff.js";
import { type CameraAddress, withoutCredentials } from "./address.js";
import { type CaptureSize, captureOf } from "./ffmpeg.js";
import { type CameraImage, Y4mReader } from "./y4m.js";

export interface CameraTimings {
  /** From the start to the first image: an RTSP camera waits for its next key frame. */
  startDeadlineMs: number;
  /** From image to image. */
  imageDeadlineMs: number;
  killAfterMs: number;
  restart: BackoffBounds;
}

export const CAMERA_TIMINGS: CameraTimings = {
  startDeadlineMs: 15_000,
  imageDeadlineMs: 3_000,
  killAfterMs: 1_000,
  restart: { leastMs: 100, firstCeilingMs: 1_000, mostMs: 10_000 },
};

const MAX_STDERR_BYTES = 2048;
const MAX_LOGGED_LINES = 5;

export interface CameraOptions {
  address: CameraAddress;
  /** Path of the program. */
  ffmpeg: string;
  size: CaptureSize;
  maxFps: number;
  log: Log;
  onImage?: (result: "read" | "overwritten") => void;
  onRestart?: () => void;
  timings?: Partial<CameraTimings>;
}

export class Camera {
  readonly #options: CameraOptions;
  readonly #timings: CameraTimings;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #reader: Y4mReader | undefined;
  #child: ChildProcess | undefined;
  #wake: () => void = () => {};

  constructor(options: CameraOptions) {
    this.#options = options;
    this.#timings = { ...CAMERA_TIMINGS, ...options.timings };
    this.#done = this.#run();
  }

  /**
   * The newest image that was not read yet, or else the next to come; `undefined` once the camera is closed.
   * One call at a time; the image is to be read before anything is awaited.
   */
  async next(): Promise<CameraImage | undefined> {
    while (!this.#stop.signal.aborted) {
      const image = this.#reader?.take();
      if (image) {
        this.#options.onImage?.("read");
        return image;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  /** Of the child, for tests and for operators' eyes; `undefined` between two of them. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#done;
  }

  /** Child after child until the camera is closed. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      const { hadImages, why, said } = await this.#capture();
      if (signal.aborted) return;
      if (hadImages) failures = 0;
      const { log, address, onRestart } = this.#options;
      log.warn(
        { camera: address.shown, why, ffmpeg: said },
        "the camera's ffmpeg ended; it is started again",
      );
      const waitMs = backoffMs(failures, Math.random(), this.#timings.restart);
      await sleep(waitMs, undefined, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
      if (!signal.aborted) onRestart?.();
    }
  }

  /** One child, from its start to its end. */
  #capture(): Promise<CaptureEnd> {
    const { ffmpeg, address, size, maxFps, onImage } = this.#options;
    const { imageDeadlineMs } = this.#timings;
    const { args, stdin } = captureOf(address, { size, maxFps, silenceMs: imageDeadlineMs });
    const child = spawn(ffmpeg, args, {
      env: childEnv(),
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own: a wrapper's children go with it, and a Ctrl-C meant for the agent is the agent's to handle.
      detached: true,
    });
    const life = new ChildLife(child, this.#timings, this.#stop.signal);
    let hadImages = false;
    const reader = new Y4mReader({
      onImage: (overwrote) => {
        hadImages = true;
        life.seen();
        if (overwrote) onImage?.("overwritten");
        this.#wake();
      },
    });
    this.#child = child;
    this.#reader = reader;
    // One that ends before it has read is no failure of its own: its end says why.
    child.stdin.on("error", () => {}).end(stdin);
    child.stdout.on("data", (chunk: Buffer) => {
      const fault = reader.push(chunk);
      chunk.fill(0);
      if (fault === undefined) return;
      child.stdout.destroy();
      life.end(fault);
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-MAX_STDERR_BYTES);
    });
    return life.ended.then((why) => {
      this.#child = undefined;
      this.#reader = undefined;
      reader.wipe();
      return { hadImages, why: withoutCredentials(why, address), said: lastLines(said, address) };
    });
  }
}

interface CaptureEnd {
  hadImages: boolean;
  why: string;
  /** ffmpeg's last lines. */
  said: string[];
}

const lastLines = (text: string, address: CameraAddress): string[] =>
  withoutCredentials(text, address).split("\n").filter(Boolean).slice(-MAX_LOGGED_LINES);

/** A child's deadlines and its end. */
class ChildLife {
  /** Why it ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #timings: CameraTimings;
  #silence: NodeJS.Timeout;
  #kill: NodeJS.Timeout | undefined;
  #why: string | undefined;
  #hasSeen = false;

  constructor(child: ChildProcess, timings: CameraTimings, signal: AbortSignal) {
    this.#child = child;
    this.#timings = timings;
    this.#silence = this.#silenceAfter(timings.startDeadlineMs);
    const stop = () => this.end("the camera is closed");
    signal.addEventListener("abort", stop, { once: true });
    this.ended = new Promise<string>((resolve) => {
      const settle = (why: string) => {
        signal.removeEventListener("abort", stop);
        clearTimeout(this.#silence);
        clearTimeout(this.#kill);
        resolve(this.#why ?? why);
      };
      child.once("error", (error) => settle(`it did not start: ${error.message}`));
      // `close`, not `exit`: what it has written is read to the end before.
      child.once("close", (code, by) => settle(`it ended with ${by ?? code}`));
    });
    if (signal.aborted) stop();
  }

  /** An image came. */
  seen(): void {
    if (this.#why !== undefined) return;
    if (this.#hasSeen) {
      this.#silence.refresh();
      return;
    }
    this.#hasSeen = true;
    clearTimeout(this.#silence);
    this.#silence = this.#silenceAfter(this.#timings.imageDeadlineMs);
  }

  end(why: string): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    clearTimeout(this.#silence);
    signalGroup(this.#child, "SIGTERM");
    this.#kill = setTimeout(() => signalGroup(this.#child, "SIGKILL"), this.#timings.killAfterMs);
  }

  #silenceAfter(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.end(`no image for ${ms} ms`), ms);
  }
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // ESRCH: it ended in this very moment, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
