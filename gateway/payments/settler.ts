// When which payment is settled: a bounded list of tasks, each tried with growing pauses until it is at its end.
//
// Invariants:
// - one attempt at a time per payment, at most MAX_CONCURRENT_SETTLES in all, never on the hot path;
// - a task that is given up or did not fit is not lost: the log has the payment, and the next sweep finds it again.
import type { Log } from "../../wire/log.js";
import type { Settled } from "./settle.js";

const MAX_TASKS = 10_000;
const MAX_CONCURRENT_SETTLES = 8;
const MAX_ATTEMPTS = 12;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 30_000;
const SWEEP_INTERVAL_MS = 5000;

export interface Settler {
  /** Tries soon; `afterMs` from now when it is not waiting already. */
  add(presentationHex: string, afterMs: number): void;
  waiting(): number;
  /** Ends all timers and waits for the attempts under way. */
  close(): Promise<void>;
}

interface Task {
  dueAtMs: number;
  attempts: number;
  running: boolean;
}

export interface SettlerOptions {
  settle(presentationHex: string): Promise<Settled>;
  /** Payments that the record shows as not at their end and old enough to be anybody's business. */
  unfinished(): Iterable<string>;
  log: Log;
}

/** Starts it; the first sweep comes at once. */
export function openSettler({ settle, unfinished, log }: SettlerOptions): Settler {
  const tasks = new Map<string, Task>();
  const running = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const add = (presentationHex: string, afterMs: number) => {
    const task = tasks.get(presentationHex);
    const dueAtMs = performance.now() + afterMs;
    if (task) task.dueAtMs = Math.min(task.dueAtMs, dueAtMs);
    else if (tasks.size < MAX_TASKS) tasks.set(presentationHex, { dueAtMs, attempts: 0, running: false });
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    if (closed || running.size >= MAX_CONCURRENT_SETTLES) return;
    const next = Math.min(...[...tasks.values()].flatMap((task) => (task.running ? [] : task.dueAtMs)));
    if (next === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(pump, Math.max(0, next - performance.now()));
  };

  const pump = () => {
    const now = performance.now();
    for (const [presentationHex, task] of tasks) {
      if (running.size >= MAX_CONCURRENT_SETTLES) break;
      if (task.running || task.dueAtMs > now) continue;
      task.running = true;
      const attempt = run(presentationHex, task).finally(() => {
        running.delete(attempt);
        plan();
      });
      running.add(attempt);
    }
    plan();
  };

  const run = async (presentationHex: string, task: Task) => {
    task.attempts++;
    task.dueAtMs = performance.now() + Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (task.attempts - 1));
    const settled = await settle(presentationHex).catch((error: unknown): Settled => {
      log.error({ error: String(error), presentation: presentationHex }, "settling a payment failed");
      return "LATER";
    });
    task.running = false;
    if (settled === "SETTLED") tasks.delete(presentationHex);
    else if (task.attempts >= MAX_ATTEMPTS) {
      log.warn({ presentation: presentationHex }, "payment not at its end yet; it stays with the next sweep");
      tasks.delete(presentationHex);
    }
  };

  const sweep = () => {
    for (const presentationHex of unfinished()) {
      if (!tasks.has(presentationHex)) add(presentationHex, 0);
    }
  };
  const sweeping = setInterval(sweep, SWEEP_INTERVAL_MS);
  sweep();

  return {
    add,
    waiting: () => tasks.size,
    close: async () => {
      closed = true;
      clearInterval(sweeping);
      clearTimeout(timer);
      await Promise.allSettled(running);
    },
  };
}
