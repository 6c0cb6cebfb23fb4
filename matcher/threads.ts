// The main thread's side of the search threads: who has which shard, orders out, reports in.
//
// Invariants:
// - a shard belongs to one thread from the moment it is found on its disk, or ordered to be opened, until that thread says
//   that it is closed;
// - a thread that dies is a bug: `onDied` is called once, and the process must end.
import { Worker } from "node:worker_threads";
import type { Gallery, Organisation } from "../wire/directory.js";
import { ShardSet } from "../wire/shard.js";
import { threadFile } from "../wire/thread.js";
import type { HeldShard, ShardOrder } from "./plan.js";
import type { Identity } from "./serving.js";
import type { FromThread, ThreadReport, ThreadSettings, ToThread } from "./thread-messages.js";

/** A thread that has not let go of everything by then is ended: its store is safe, its questions are lost. */
const STOP_DEADLINE_MS = 3000;

/** Of all threads, as last reported. */
export interface ThreadsState {
  /** Caught up and current, and not on its way out. */
  ready: ShardSet;
  /** Of which anything is in memory or on disk. */
  held: ShardSet;
  /** The same by thread. */
  threadShards: ShardSet[];
  templates: number;
  members: number;
  /** Least of all ready shards; 0 where there are none. */
  appliedSequence: number;
  lag: number;
  storeFull: boolean;
  /** The oldest; 0 where no shard is open. */
  beatAgeMs: number;
}

export interface SearchThreads {
  /** Resolves when every thread has its store open and knows what its disk holds. */
  started: Promise<void>;
  setDirectory(organisations: Organisation[], galleries: Gallery[]): void;
  setRow(row: number | undefined): void;
  open(orders: readonly ShardOrder[]): void;
  close(orders: readonly ShardOrder[]): void;
  /** Every shard that any thread has, in whatever state. */
  held(): HeldShard[];
  state(): ThreadsState;
  /** Lets go of everything and ends the threads. */
  stop(): Promise<void>;
}

export interface SearchThreadsOptions {
  count: number;
  settings: Omit<ThreadSettings, "identity" | "threads"> & { identity: Omit<Identity, "thread"> };
  onReport(report: ThreadReport): void;
  /** Shards became ready, or are so no more, or were closed. */
  onChanged(): void;
  onDied(error: Error): void;
}

interface Thread {
  worker: Worker;
  gone: Promise<void>;
  report: ThreadReport | undefined;
}

/** As ordered; whether it is ready is for the thread to say. */
interface Owned {
  thread: number;
  state: "resting" | "open" | "closing";
}

export const openSearchThreads = (options: SearchThreadsOptions): SearchThreads => new Threads(options);

class Threads implements SearchThreads {
  readonly started: Promise<void>;
  readonly #options: SearchThreadsOptions;
  readonly #threads: Thread[];
  readonly #shards = new Map<number, Owned>();
  #stopping = false;
  #died = false;

  constructor(options: SearchThreadsOptions) {
    this.#options = options;
    const started: Promise<void>[] = [];
    this.#threads = Array.from({ length: options.count }, (_, number) => {
      const { thread, hasStarted } = this.#start(number);
      started.push(hasStarted);
      return thread;
    });
    this.started = Promise.all(started).then(() => {});
  }

  setDirectory(organisations: Organisation[], galleries: Gallery[]): void {
    this.#sayAll({ type: "directory", organisations, galleries });
  }

  setRow(row: number | undefined): void {
    this.#sayAll({ type: "row", row });
  }

  open(orders: readonly ShardOrder[]): void {
    this.#order("open", orders);
  }

  close(orders: readonly ShardOrder[]): void {
    this.#order("close", orders);
  }

  held(): HeldShard[] {
    const ready = this.#threads.map(({ report }) => ShardSet.from(report?.ready));
    return [...this.#shards].map(([shard, { thread, state }]) => {
      const isReady = state === "open" && ready[thread]?.has(shard) === true;
      return { shard, thread, state: isReady ? "ready" : state };
    });
  }

  state(): ThreadsState {
    return stateOf(this.#threads, this.#shards);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#threads.map(async ({ worker, gone }) => {
        worker.postMessage({ type: "stop" } satisfies ToThread);
        const hard = setTimeout(() => void worker.terminate(), STOP_DEADLINE_MS);
        await gone;
        clearTimeout(hard);
      }),
    );
  }

  #start(number: number): { thread: Thread; hasStarted: Promise<void> } {
    const { settings, count } = this.#options;
    const identity = { ...settings.identity, thread: number };
    const workerData: ThreadSettings = { ...settings, identity, threads: count };
    const worker = new Worker(threadFile("./search-thread", import.meta.url), { workerData });
    const hasStarted = new Promise<void>((resolve) => {
      worker.on("message", (message: FromThread) => {
        if (message.type === "started") resolve();
        this.#hear(number, message);
      });
    });
    worker.on("error", (error) => this.#onDied(error));
    const gone = new Promise<void>((resolve) => {
      worker.on("exit", (code) => {
        if (!this.#stopping) this.#onDied(new Error(`a search thread ended by itself (${code})`));
        resolve();
      });
    });
    return { thread: { worker, gone, report: undefined }, hasStarted };
  }

  #hear(number: number, message: FromThread): void {
    switch (message.type) {
      case "started":
        for (const shard of message.held) this.#shards.set(shard, { thread: number, state: "resting" });
        break;
      case "closed":
        for (const shard of message.shards) this.#shards.delete(shard);
        this.#options.onChanged();
        break;
      case "report":
        this.#takeReport(number, message.report);
    }
  }

  #takeReport(number: number, report: ThreadReport): void {
    const thread = this.#threads[number];
    if (thread === undefined) return;
    const before = thread.report;
    thread.report = report;
    this.#options.onReport(report);
    const isSame = before?.storeFull === report.storeFull && Buffer.compare(before.ready, report.ready) === 0;
    if (!isSame) this.#options.onChanged();
  }

  #order(type: "open" | "close", orders: readonly ShardOrder[]): void {
    for (const [number, { worker }] of this.#threads.entries()) {
      const shards = orders.filter(({ thread }) => thread === number).map(({ shard }) => shard);
      if (shards.length === 0) continue;
      const state = type === "open" ? "open" : "closing";
      for (const shard of shards) this.#shards.set(shard, { thread: number, state });
      worker.postMessage({ type, shards } satisfies ToThread);
    }
  }

  #sayAll(message: ToThread): void {
    for (const { worker } of this.#threads) worker.postMessage(message);
  }

  #onDied(error: Error): void {
    if (!this.#died) this.#options.onDied(error);
    this.#died = true;
  }
}

function stateOf(threads: readonly Thread[], shards: ReadonlyMap<number, Owned>): ThreadsState {
  const reports = threads.flatMap(({ report }) => report ?? []);
  const ready = new ShardSet();
  for (const report of reports) {
    for (const shard of ShardSet.from(report.ready) ?? [])
      if (shards.get(shard)?.state === "open") ready.add(shard);
  }
  const sum = (value: (report: ThreadReport) => number) =>
    reports.reduce((all, each) => all + value(each), 0);
  const serving = reports.filter(({ appliedSequence }) => appliedSequence > 0);
  const isOpen = [...shards.values()].some(({ state }) => state === "open");
  return {
    ready,
    held: new ShardSet(shards.keys()),
    threadShards: threads.map(
      (_, number) =>
        new ShardSet([...shards].flatMap(([shard, { thread }]) => (thread === number ? shard : []))),
    ),
    templates: sum(({ templates }) => templates),
    members: sum(({ members }) => members),
    appliedSequence: serving.length === 0 ? 0 : Math.min(...serving.map((each) => each.appliedSequence)),
    lag: sum(({ lag }) => lag),
    storeFull: reports.some(({ storeFull }) => storeFull),
    beatAgeMs: isOpen ? Math.max(0, ...reports.map((each) => each.beatAgeMs)) : 0,
  };
}
