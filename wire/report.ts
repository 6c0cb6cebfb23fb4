// Where everything goes that only reports: log lines, the ready line, a lane's plain lines, the demo's table.
//
// Invariants:
// - reporting never stops work: report() neither waits nor throws, whatever became of the disk, the pipe or its reader;
// - what cannot be written is dropped by whole lines and counted; what waits is bounded by MAX_WAITING_BYTES a stream;
// - each attempt stands for itself: when there is room again, lines flow again;
// - one writer a process: a worker thread hands its lines to the main thread. Writers of their own would let a
//   reader that has fallen asleep hold up the few threads that all of a process's file access shares.
//
// A command's result (a receipt, a link, --help) does not belong here: a result that is not written is a failure.
import { fstatSync, write, writeSync } from "node:fs";
import { BroadcastChannel, isMainThread } from "node:worker_threads";
import { Counter, type Registry } from "prom-client";

/** The streams of a process. */
export const STDOUT = 1;
export const STDERR = 2;
export type ReportStream = typeof STDOUT | typeof STDERR;

/** What may wait for a slow reader or disk, for each stream. */
const MAX_WAITING_BYTES = 256 * 1024;
const FLUSH_POLL_MS = 10;
const LINE_END = 0x0a;

interface Outlet {
  write(text: string): void;
  /** Bytes taken and neither written nor dropped. */
  waiting(): number;
  /** The process ends: writes what can be written without waiting. */
  end(): void;
}

interface Message {
  stream: ReportStream;
  text: string;
}

let dropped = 0;
const outlets = new Map<ReportStream, Outlet>();
const threads = new BroadcastChannel("palmgate-report");
threads.unref();
if (isMainThread) {
  threads.onmessage = (event) => {
    const { stream, text } = (event as { data: Message }).data;
    report(stream, text);
  };
  threads.unref();
  process.on("exit", () => {
    for (const outlet of outlets.values()) outlet.end();
  });
}

/** Writes whole lines, each with its end, when and if that is possible. */
export function report(stream: ReportStream, text: string): void {
  if (!isMainThread) {
    threads.postMessage({ stream, text } satisfies Message);
    return;
  }
  let outlet = outlets.get(stream);
  if (outlet === undefined) {
    outlet = openOutlet(stream);
    outlets.set(stream, outlet);
  }
  outlet.write(text);
}

/** Waits until everything is written or dropped. @returns false when the deadline came first: a reader has fallen asleep */
export async function reportsFlushed(deadlineMs: number): Promise<boolean> {
  const deadlineAtMs = performance.now() + deadlineMs;
  const waiting = () => [...outlets.values()].some((outlet) => outlet.waiting() > 0);
  while (waiting() && performance.now() < deadlineAtMs) {
    await new Promise((resolve) => setTimeout(resolve, FLUSH_POLL_MS));
  }
  return !waiting();
}

/** Shows operators how many lines this process has dropped. */
export function countDroppedLines(registry: Registry): void {
  new Counter({
    name: "palmgate_log_lines_dropped_total",
    help: "Lines for the log or standard output that could not be written",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(dropped);
    },
  });
}

function drop(bytes: Uint8Array): void {
  for (const byte of bytes) if (byte === LINE_END) dropped++;
}

function openOutlet(stream: ReportStream): Outlet {
  try {
    const stat = fstatSync(stream);
    return stat.isFIFO() || stat.isSocket() ? new PipeOutlet(stream) : new FileOutlet(stream);
  } catch {
    // Closed by whoever started us (`2>&-`): every write will say so, and be counted.
    return new FileOutlet(stream);
  }
}

/** A pipe or socket: Node writes to these without blocking, and keeps what its reader does not take yet. */
class PipeOutlet implements Outlet {
  readonly #stream: NodeJS.WriteStream;
  #waitingBytes = 0;

  constructor(stream: ReportStream) {
    this.#stream = stream === STDOUT ? process.stdout : process.stderr;
    // Told by the callback of each write, too, which counts it.
    this.#stream.on("error", () => {});
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      drop(bytes);
      return;
    }
    this.#waitingBytes += bytes.length;
    this.#stream.write(bytes, (error) => {
      this.#waitingBytes -= bytes.length;
      if (error) drop(bytes);
    });
  }

  waiting(): number {
    return this.#waitingBytes;
  }

  end(): void {} // Node tried each write at once
}

/** A file, a device or a terminal: one write at a time, in a thread of Node's. */
class FileOutlet implements Outlet {
  readonly #fd: number;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Under way, from its first byte that is not written. */
  #chunk: Buffer | undefined;
  /** The last line on the disk has no end: the disk filled up in the middle of it. */
  #torn = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.waiting() + bytes.length > MAX_WAITING_BYTES) {
      drop(bytes);
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#next();
  }

  waiting(): number {
    return this.#queuedBytes + (this.#chunk?.length ?? 0);
  }

  end(): void {
    // The chunk under way is written by its thread, for which the process waits.
    const rest = this.#takeQueue();
    try {
      if (rest.length > 0) writeSync(this.#fd, rest);
    } catch {
      drop(rest);
    }
  }

  #takeQueue(): Buffer {
    const end = this.#torn ? [Buffer.of(LINE_END)] : [];
    const all = Buffer.concat(this.#queue.length > 0 ? [...end, ...this.#queue] : []);
    this.#queue = [];
    this.#queuedBytes = 0;
    return all;
  }

  #next(): void {
    if (this.#chunk !== undefined || this.#queue.length === 0) return;
    this.#chunk = this.#takeQueue();
    this.#writeChunk(this.#chunk);
  }

  #writeChunk(chunk: Buffer): void {
    write(this.#fd, chunk, (error, written) => {
      const rest = chunk.subarray(error ? 0 : written);
      if (!error && written > 0) this.#torn = chunk[written - 1] !== LINE_END;
      // A device that takes nothing and says nothing would keep us here for ever.
      if (!error && rest.length > 0 && written > 0) {
        this.#chunk = rest;
        this.#writeChunk(rest);
        return;
      }
      drop(rest);
      this.#chunk = undefined;
      this.#next();
    });
  }
}
