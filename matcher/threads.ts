// The main thread's side of the partition threads: who owns what, orders out, reports in.
//
// Invariants:
// - a partition belongs to one thread from open() until that thread says that it is closed;
// - a new partition goes to the thread with the fewest;
// - a thread that dies is a bug: `onDied` is called once, and the process must end.
import { Worker } from "node:worker_threads";
import type { Gallery } from "../wire/galleries.js";
import { threadFile } from "../wire/thread.js";
import { type PartitionRef, refKey } from "./plan.js";
import type {
  FromThread,
  PartitionReport,
  ThreadReport,
  ThreadSettings,
  ToThread,
} from "./thread-messages.js";

/** A thread that has not let go of everything by then is ended: its views are safe, its questions are lost. */
const STOP_DEADLINE_MS = 5000;

export interface HeldHere extends PartitionReport {
  closing: boolean;
}

export interface PartitionThreads {
  open(gallery: Gallery, partition: number): void;
  /** @returns false when it is being closed already, or is not here */
  close(ref: PartitionRef): boolean;
  /** Everything open here, as last reported. */
  held(): HeldHere[];
  /** Lets go of everything and ends the threads. */
  stop(): Promise<void>;
}

export interface PartitionThreadsOptions {
  count: number;
  settings: Omit<ThreadSettings, "name">;
  onReport(report: ThreadReport): void;
  /** A partition became ready, or was closed. */
  onChanged(): void;
  onDied(error: Error): void;
}

interface Owned extends HeldHere {
  thread: Worker;
}

export function openPartitionThreads(options: PartitionThreadsOptions): PartitionThreads {
  const owned = new Map<string, Owned>();
  let stopping = false;
  let died = false;
  const onDied = (error: Error) => {
    if (!died) options.onDied(error);
    died = true;
  };

  const take = (report: ThreadReport) => {
    let changed = false;
    for (const each of report.partitions) {
      const known = owned.get(refKey(each));
      if (known === undefined) continue;
      changed ||= known.ready !== each.ready && !known.closing;
      owned.set(refKey(each), { ...known, ...each, ready: each.ready && !known.closing });
    }
    options.onReport(report);
    if (changed) options.onChanged();
  };

  const threads = Array.from({ length: options.count }, (_, i) => {
    const workerData: ThreadSettings = { ...options.settings, name: `partitions-${i + 1}` };
    const thread = new Worker(threadFile("./partition-thread", import.meta.url), { workerData });
    thread.on("message", (message: FromThread) => {
      if (message.type === "report") return take(message.report);
      owned.delete(refKey(message.ref));
      options.onChanged();
    });
    thread.on("error", onDied);
    const gone = new Promise<void>((resolve) => {
      thread.on("exit", (code) => {
        if (!stopping) onDied(new Error(`a partition thread ended by itself (${code})`));
        resolve();
      });
    });
    return { thread, gone };
  });
  const order = (thread: Worker, message: ToThread) => thread.postMessage(message);
  const load = (thread: Worker) => [...owned.values()].filter((each) => each.thread === thread).length;

  return {
    open(gallery, partition) {
      const ref = { gallery: gallery.name, partition };
      const [least] = [...threads].sort((a, b) => load(a.thread) - load(b.thread));
      if (least === undefined || owned.has(refKey(ref))) return;
      const { thread } = least;
      const none = { ready: false, templates: 0, members: 0, appliedSequence: 0, lag: 0, storeFull: false };
      owned.set(refKey(ref), { ...ref, ...none, closing: false, thread });
      order(thread, { type: "open", gallery, partition });
    },
    close(ref) {
      const known = owned.get(refKey(ref));
      if (known === undefined || known.closing) return false;
      known.closing = true;
      known.ready = false;
      order(known.thread, { type: "close", ref });
      return true;
    },
    held: () => [...owned.values()].map(({ thread: _, ...held }) => held),
    async stop() {
      stopping = true;
      await Promise.all(
        threads.map(async ({ thread, gone }) => {
          order(thread, { type: "stop" });
          const hard = setTimeout(() => void thread.terminate(), STOP_DEADLINE_MS);
          await gone;
          clearTimeout(hard);
        }),
      );
    },
  };
}
