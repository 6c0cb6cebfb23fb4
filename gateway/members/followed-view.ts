// The main thread's side of the view thread: reads the view that the thread writes, and knows how far it has told.
//
// Invariants:
// - reached() and what is read follow the thread's messages: whoever is told of a sequence reads everything up to it;
// - a thread that dies is an error: it is logged, nothing counts as caught up any more, and another one is started,
//   with growing pauses, until one catches up;
// - close() resolves when the thread is gone.
import { Worker } from "node:worker_threads";
import { Backoff, openViewReader, type ViewReader } from "../../records/index.js";
import type { Log } from "../../wire/log.js";
import { STREAMS } from "../../wire/subjects.js";
import { threadFile } from "../../wire/thread.js";
import { type FromViewThread, SOURCES, type Source, STOP, type ViewThreadSettings } from "./view-messages.js";

const RESTART = { firstMs: 250, maxMs: 10_000 };
/** A thread that has not let go of everything by then is ended: what it has not applied, the log still has. */
const STOP_DEADLINE_MS = 5000;

export type StartThread = (settings: ViewThreadSettings) => Worker;

export interface ViewListener {
  /** Before anybody is told that the sequence is reached. */
  onApplied(source: Source, changed: readonly string[]): void;
  /** A thread took over from one that died: what that one applied last may never have been told. */
  onTakenOver(): void;
  /** A sequence is reached. */
  onReached(): void;
}

export interface FollowedView {
  reader: Pick<ViewReader, "table">;
  /** Sequence up to which the view has applied and flushed the source, and told of it. */
  reached(source: Source): number;
  /** Events known to the log and not applied, as last told. */
  lag(source: Source): number;
  /** The thread runs, and has applied what the log held when it started. */
  caughtUp(source: Source): boolean;
  /** There is one listener, from the turn on in which the view was opened. */
  listen(listener: ViewListener): void;
  close(): Promise<void>;
}

export interface FollowedViewOptions {
  settings: ViewThreadSettings;
  log: Log;
  startThread: StartThread;
}

export const startViewThread: StartThread = (settings) =>
  new Worker(threadFile("./view-thread", import.meta.url), { workerData: settings });

/** Resolves when the view can be read. Rejects when its thread ends before that. */
export async function openFollowedView(options: FollowedViewOptions): Promise<FollowedView> {
  const view = new ThreadedView(options);
  await view.opened;
  return view;
}

interface Life {
  thread: Worker;
  /** With the reason. */
  gone: Promise<string>;
}

class ThreadedView implements FollowedView {
  readonly opened: Promise<void>;
  readonly #options: FollowedViewOptions;
  readonly #stopping = new AbortController();
  readonly #backoff = new Backoff(this.#stopping.signal, RESTART);
  readonly #reached = new Map<Source, number>();
  readonly #lags = new Map<Source, number>();
  readonly #caughtUp = new Set<Source>();
  readonly #ended: Promise<void>;
  #listener: ViewListener | undefined;
  #open = () => {};
  #life: Life;
  #reader: ViewReader | undefined;

  constructor(options: FollowedViewOptions) {
    this.#options = options;
    this.#life = this.#start();
    const open = new Promise<void>((resolve) => {
      this.#open = resolve;
    });
    const lost = this.#life.gone.then((why) => {
      if (this.#reader !== undefined) return;
      this.#stopping.abort();
      throw new Error(`the members view does not open: ${why}`);
    });
    this.opened = Promise.race([open, lost]);
    this.#ended = this.#keepAlive();
  }

  get reader(): ViewReader {
    if (this.#reader === undefined) throw new Error("the members view is not open");
    return this.#reader;
  }

  reached = (source: Source): number => this.#reached.get(source) ?? 0;

  lag = (source: Source): number => this.#lags.get(source) ?? 0;

  caughtUp = (source: Source): boolean => this.#caughtUp.has(source);

  listen(listener: ViewListener): void {
    this.#listener = listener;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#life.thread.postMessage(STOP);
    const hard = setTimeout(() => {
      this.#options.log.error("the members view's thread did not end in time");
      void this.#life.thread.terminate();
    }, STOP_DEADLINE_MS);
    await this.#ended;
    clearTimeout(hard);
    await this.#reader?.close();
  }

  async #keepAlive(): Promise<void> {
    for (;;) {
      const why = await this.#life.gone;
      this.#caughtUp.clear();
      if (this.#stopping.signal.aborted) return;
      this.#options.log.error({ error: why }, "the members view's thread died; another one is started");
      await this.#backoff.wait();
      if (this.#stopping.signal.aborted) return;
      this.#life = this.#start();
    }
  }

  #start(): Life {
    const { settings, startThread } = this.#options;
    const thread = startThread(settings);
    thread.on("message", (message: FromViewThread) => this.#take(message));
    const gone = new Promise<string>((resolve) => {
      let why: string | undefined;
      thread.on("error", (error) => {
        why = String(error);
      });
      thread.on("exit", (code) => resolve(why ?? `it ended by itself (${code})`));
    });
    return { thread, gone };
  }

  #take(message: FromViewThread): void {
    if (message.type === "open") this.#takeOpen(message.tables);
    else if (message.type === "applied") this.#takeApplied(message.source, message.sequence, message.changed);
    else if (message.type === "lag") this.#lags.set(message.source, message.events);
    else {
      this.#caughtUp.add(message.source);
      if (message.source === "members") this.#backoff.reset();
    }
  }

  #takeApplied(source: Source, sequence: number, changed: string[]): void {
    this.#reader?.refresh();
    this.#listener?.onApplied(source, changed);
    this.#reached.set(source, sequence);
    this.#listener?.onReached();
  }

  #takeOpen(tables: string[]): void {
    const takenOver = this.#reader !== undefined;
    // The thread opened it first, for writing.
    this.#reader ??= openViewReader({ path: this.#options.settings.path, tables });
    this.#reader.refresh();
    if (takenOver) this.#listener?.onTakenOver();
    for (const source of SOURCES) {
      this.#reached.set(source, this.#reader.sequence(STREAMS[source]));
    }
    this.#open();
    this.#listener?.onReached();
  }
}
