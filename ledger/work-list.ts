// Work that is tried until it is done: bounded, fair, each piece with growing pauses of its own.
//
// Invariants:
// - one attempt at a time for one key, dropped and added anew or not; told of news while it runs, it is tried again at once afterwards;
// - at most `maxRunning` attempts at once, and of these RESERVED_FOR_NEW never go to work that was tried in vain before:
//   a thousand pieces that cannot be done do not keep a new one waiting;
// - nothing is tried while `active()` says no; what has waited meanwhile is tried when wake() is called;
// - a list that is full says so: its owner has the work on record and offers it again (sweep).
import type { Log } from "../wire/log.js";

export type Attempted =
  | { done: true }
  /**
   * To be tried again: after its pause, or after `afterMs` if that is said. `detail`: what it waits for, for people.
   * `inVain`: counted and shown as waiting; left out: when it says no `afterMs`.
   */
  | { done: false; detail: string; afterMs?: number; inVain?: boolean };

/** Not done yet. @param detail what it waits for, for people @param afterMs its own pause */
export const later = (detail: string, afterMs?: number): Attempted => ({
  done: false,
  detail,
  ...(afterMs === undefined ? {} : { afterMs }),
});

/** A step that the log did not take on top of what its author had seen: somebody comes again. */
export const notAdvanced = (code: "CONFLICT" | "LOG_UNAVAILABLE" | "STORE_FULL"): Attempted => {
  if (code === "CONFLICT") return later("another ledger goes on with it", 0);
  return later(code === "STORE_FULL" ? "the log's disk is full" : "the log does not answer");
};

export interface WorkListOptions {
  /** One attempt, bounded in time by itself. What it throws is logged and counts as "later". */
  attempt(key: string): Promise<Attempted>;
  active(): boolean;
  /** For the log, e.g. "erasure". */
  what: string;
  log: Log;
  firstPauseMs: number;
  maxPauseMs: number;
  maxRunning: number;
  /** Default MAX_TASKS. */
  maxTasks?: number;
}

export interface Waiting {
  key: string;
  /** In vain, so far. */
  tries: number;
  /** Why the last try was in vain; "" before the first. */
  detail: string;
}

interface Task {
  dueAtMs: number;
  tries: number;
  detail: string;
  /** When the first try in vain ended. */
  triedAtMs: number;
  running: boolean;
  /** News came while it ran. */
  again: boolean;
  /** Nobody needs it any more; it is off the list when its attempt ends. */
  dropped: boolean;
}

const MAX_TASKS = 100_000;
const RESERVED_FOR_NEW = 2;
/** A growing pause doubles no more often. */
const MAX_DOUBLINGS = 20;
/** Who may not work looks again after this whether that has changed; whoever changes it says so sooner (wake). */
const INACTIVE_RECHECK_MS = 500;
/** Tries in vain after which it is said in the log, and again at each doubling. */
const FIRST_SAID_TRIES = 8;

export class WorkList {
  readonly #options: WorkListOptions;
  readonly #tasks = new Map<string, Task>();
  readonly #running = new Set<Promise<void>>();
  #retrying = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: WorkListOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#tasks.size;
  }

  has(key: string): boolean {
    return this.#tasks.get(key)?.dropped === false;
  }

  /**
   * Tries `afterMs` from now, or sooner when that was planned already.
   * @returns false when the list is full
   */
  add(key: string, afterMs = 0): boolean {
    const dueAtMs = performance.now() + afterMs;
    const task = this.#tasks.get(key);
    if (task !== undefined) {
      if (task.running && (afterMs === 0 || task.dropped)) task.again = true;
      task.dropped = false;
      task.dueAtMs = Math.min(task.dueAtMs, dueAtMs);
    } else {
      if (this.#closed || this.#tasks.size >= (this.#options.maxTasks ?? MAX_TASKS)) return false;
      this.#tasks.set(key, {
        dueAtMs,
        tries: 0,
        detail: "",
        triedAtMs: 0,
        running: false,
        again: false,
        dropped: false,
      });
    }
    this.#planAt(dueAtMs);
    return true;
  }

  /** Needs no work any more. */
  drop(key: string): void {
    const task = this.#tasks.get(key);
    if (task?.running) Object.assign(task, { dropped: true, again: false, tries: 0, detail: "" });
    else this.#tasks.delete(key);
  }

  /** Everything is tried now: the one who may do the work has changed. */
  wake(): void {
    const nowMs = performance.now();
    for (const task of this.#tasks.values()) task.dueAtMs = Math.min(task.dueAtMs, nowMs);
    this.#planAt(nowMs);
  }

  /** What was tried in vain, the most often tried first. */
  stuck(limit: number): Waiting[] {
    return [...this.#tasks]
      .flatMap(([key, { tries, detail }]) => (tries > 0 ? [{ key, tries, detail }] : []))
      .sort((a, b) => b.tries - a.tries)
      .slice(0, limit);
  }

  /** How many were tried in vain. */
  tried(): number {
    let count = 0;
    for (const { tries } of this.#tasks.values()) if (tries > 0) count++;
    return count;
  }

  /** Since the first try in vain of the work that has waited longest since its own; 0 when none waits so. */
  oldestTriedMs(): number {
    let oldestAtMs = performance.now();
    for (const { tries, triedAtMs } of this.#tasks.values()) {
      if (tries > 0) oldestAtMs = Math.min(oldestAtMs, triedAtMs);
    }
    return performance.now() - oldestAtMs;
  }

  /** Ends all timers and waits for the attempts under way. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#running);
  }

  #planAt(atMs: number): void {
    if (this.#closed || atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => this.#pump(), Math.max(0, atMs - performance.now()));
  }

  #pump(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (this.#closed) return;
    if (!this.#options.active()) {
      this.#planAt(performance.now() + INACTIVE_RECHECK_MS);
      return;
    }
    const nowMs = performance.now();
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const [key, task] of this.#tasks) {
      if (task.running) continue;
      if (task.dueAtMs > nowMs) nextAtMs = Math.min(nextAtMs, task.dueAtMs);
      else if (this.#mayRun(task)) this.#start(key, task);
    }
    if (nextAtMs < Number.POSITIVE_INFINITY) this.#planAt(nextAtMs);
  }

  #mayRun({ tries }: Task): boolean {
    const { maxRunning } = this.#options;
    if (this.#running.size >= maxRunning) return false;
    return tries === 0 || this.#retrying < Math.max(1, maxRunning - RESERVED_FOR_NEW);
  }

  #start(key: string, task: Task): void {
    const isRetry = task.tries > 0;
    if (isRetry) this.#retrying++;
    task.running = true;
    task.again = false;
    const attempt: Promise<void> = this.#try(key, task).finally(() => {
      if (isRetry) this.#retrying--;
      this.#running.delete(attempt);
      this.#planAt(performance.now());
    });
    this.#running.add(attempt);
  }

  async #try(key: string, task: Task): Promise<void> {
    const attempted = await this.#options.attempt(key).catch((error: unknown): Attempted => {
      this.#options.log.error({ error: String(error), key }, `${this.#options.what}: an attempt failed`);
      return { done: false, detail: "failed, see the ledger's log" };
    });
    task.running = false;
    if (task.dropped || (attempted.done && !task.again)) this.#tasks.delete(key);
    else this.#postpone(key, task, attempted);
  }

  #postpone(key: string, task: Task, attempted: Attempted): void {
    if (!attempted.done) {
      task.detail = attempted.detail;
      const { afterMs, inVain = afterMs === undefined } = attempted;
      if (inVain && task.tries++ === 0) task.triedAtMs = performance.now();
    }
    const { firstPauseMs, maxPauseMs, log, what } = this.#options;
    const pauseMs = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(MAX_DOUBLINGS, task.tries - 1));
    const waitMs = attempted.done || task.again ? 0 : (attempted.afterMs ?? pauseMs);
    task.dueAtMs = performance.now() + waitMs;
    // To the end: those that are due take turns.
    this.#tasks.delete(key);
    this.#tasks.set(key, task);
    const { tries, detail } = task;
    if (tries >= FIRST_SAID_TRIES && Number.isInteger(Math.log2(tries)))
      log.warn({ key, tries, detail }, `${what} goes on; not done yet`);
  }
}
