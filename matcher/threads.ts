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

export function openSearchThreads(options: SearchThreadsOptions): SearchThreads {
  const shards = new Map<number, { thread: number; state: "resting" | "open" | "closing" }>();
  let stopping = false;
  let died = false;
  const onDied = (error: Error) => {
    if (!died) options.onDied(error);
    died = true;
  };
  const started: Promise<void>[] = [];
  const threads: Thread[] = Array.from({ length: options.count }, (_, number) => {
    const identity = { ...options.settings.identity, thread: number };
    const workerData: ThreadSettings = { ...options.settings, identity, threads: options.count };
    const worker = new Worker(threadFile("./search-thread", import.meta.url), { workerData });
    let hasStarted = () => {};
    started.push(
      new Promise((resolve) => {
        hasStarted = resolve;
      }),
    );
    worker.on("message", (message: FromThread) => {
      if (message.type === "started") {
        for (const shard of message.held) shards.set(shard, { thread: number, state: "resting" });
        return hasStarted();
      }
      if (message.type === "report") return take(number, message.report);
      for (const shard of message.shards) shards.delete(shard);
      options.onChanged();
    });
    worker.on("error", onDied);
    const gone = new Promise<void>((resolve) => {
      worker.on("exit", (code) => {
        if (!stopping) onDied(new Error(`a search thread ended by itself (${code})`));
        resolve();
      });
    });
    return { worker, gone, report: undefined };
  });

  const take = (number: number, report: ThreadReport) => {
    const thread = threads[number];
    if (thread === undefined) return;
    const before = thread.report;
    thread.report = report;
    options.onReport(report);
    if (before?.storeFull !== report.storeFull || !sameBytes(before.ready, report.ready)) options.onChanged();
  };
  const say = (number: number, message: ToThread) => threads[number]?.worker.postMessage(message);
  const sayAll = (message: ToThread) => {
    for (const { worker } of threads) worker.postMessage(message);
  };
  const order = (orders: readonly ShardOrder[], type: "open" | "close") => {
    for (const number of threads.keys()) {
      const own = orders.filter(({ thread }) => thread === number).map(({ shard }) => shard);
      if (own.length === 0) continue;
      const state = type === "open" ? "open" : "closing";
      for (const shard of own) shards.set(shard, { thread: number, state });
      say(number, { type, shards: own });
    }
  };
  const isReady = (shard: number, thread: number) =>
    ShardSet.from(threads[thread]?.report?.ready)?.has(shard) ?? false;

  return {
    started: Promise.all(started).then(() => {}),
    setDirectory: (organisations, galleries) => sayAll({ type: "directory", organisations, galleries }),
    setRow: (row) => sayAll({ type: "row", row }),
    open: (orders) => order(orders, "open"),
    close: (orders) => order(orders, "close"),
    held: () =>
      [...shards].map(([shard, { thread, state }]) => ({
        shard,
        thread,
        state: state === "open" && isReady(shard, thread) ? "ready" : state,
      })),
    state: () => stateOf(threads, shards),
    async stop() {
      stopping = true;
      await Promise.all(
        threads.map(async ({ worker, gone }) => {
          worker.postMessage({ type: "stop" } satisfies ToThread);
          const hard = setTimeout(() => void worker.terminate(), STOP_DEADLINE_MS);
          await gone;
          clearTimeout(hard);
        }),
      );
    },
  };
}

function stateOf(
  threads: readonly Thread[],
  shards: ReadonlyMap<number, { thread: number; state: "resting" | "open" | "closing" }>,
): ThreadsState {
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

const sameBytes = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
  a !== undefined && Buffer.compare(a, b) === 0;
