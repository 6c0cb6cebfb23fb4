// Erasures that were begun and are not confirmed yet: they go on by themselves until they are.
//
// Invariants:
// - one attempt at a time per member: who asks while one is under way gets that one's outcome;
// - an erasure that is pending is tried again with growing pauses until it is whole or close() is called, at most
//   MAX_RUNNING_RETRIES at once; at most MAX_PENDING_ERASURES are kept, an erasure beyond goes on when it is asked for;
// - of what is whole, the last MAX_RECEIPTS receipts stay at hand: asked again, it needs nobody's answer.
import type { ErasureOutcome, Receipt } from "../../records/index.js";
import type { Log } from "../../wire/log.js";

const MAX_PENDING_ERASURES = 10_000;
const MAX_RECEIPTS = 1000;
const MAX_RUNNING_RETRIES = 2;

export type Erasure = { ok: true; receipt: Receipt } | Extract<ErasureOutcome, { ok: false }>;

export type Requester = "operator" | "member";

export interface PendingErasures {
  /** Of an erasure that is whole. */
  receipt(memberHex: string): Receipt | undefined;
  /** Begins the erasure, or goes on with it now. @param requestedBy who asks, if nobody has yet */
  erase(memberHex: string, requestedBy: Requester): Promise<Erasure>;
  /** Ends all timers and waits for the attempts under way. */
  close(): Promise<void>;
}

export interface PendingErasuresOptions {
  /** One attempt; idempotent. `asked`: somebody waits for its outcome. */
  attempt(memberHex: string, asked: boolean, requestedBy: Requester): Promise<Erasure>;
  log: Log;
  firstPauseMs: number;
  maxPauseMs: number;
}

interface Task {
  /** So far, since the erasure is pending. */
  tries: number;
  dueAtMs: number;
  requestedBy: Requester;
}

export const openPendingErasures = (options: PendingErasuresOptions): PendingErasures =>
  new Erasures(options);

class Erasures implements PendingErasures {
  readonly #options: PendingErasuresOptions;
  readonly #running = new Map<string, Promise<Erasure>>();
  readonly #tasks = new Map<string, Task>();
  readonly #receipts = new Map<string, Receipt>();
  #retries = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PendingErasuresOptions) {
    this.#options = options;
  }

  receipt = (memberHex: string): Receipt | undefined => this.#receipts.get(memberHex);

  erase = (memberHex: string, requestedBy: Requester): Promise<Erasure> =>
    this.#run(memberHex, true, this.#tasks.get(memberHex)?.requestedBy ?? requestedBy);

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#running.values());
  }

  #run(memberHex: string, asked: boolean, requestedBy: Requester): Promise<Erasure> {
    const known = this.#running.get(memberHex);
    if (known !== undefined) return known;
    const attempt = this.#options
      .attempt(memberHex, asked, requestedBy)
      .then((erasure) => {
        if (erasure.ok) this.#keep(memberHex, erasure.receipt);
        else if (erasure.code === "NOT_FOUND") this.#tasks.delete(memberHex);
        else this.#postpone(memberHex, requestedBy);
        return erasure;
      })
      .finally(() => {
        this.#running.delete(memberHex);
        this.#plan();
      });
    this.#running.set(memberHex, attempt);
    return attempt;
  }

  #keep(memberHex: string, receipt: Receipt): void {
    if (this.#tasks.delete(memberHex)) this.#options.log.info("an erasure that was pending is whole");
    this.#receipts.set(memberHex, receipt);
    const [oldest] = this.#receipts.keys();
    if (this.#receipts.size > MAX_RECEIPTS && oldest !== undefined) this.#receipts.delete(oldest);
  }

  #postpone(memberHex: string, requestedBy: Requester): void {
    const { log, firstPauseMs, maxPauseMs } = this.#options;
    const tries = this.#tasks.get(memberHex)?.tries ?? 0;
    if (tries === 0 && this.#tasks.size >= MAX_PENDING_ERASURES) {
      log.error(
        { pending: this.#tasks.size },
        "too many erasures are pending: one goes on only when asked for",
      );
      return;
    }
    const dueAtMs = performance.now() + Math.min(maxPauseMs, firstPauseMs * 2 ** tries);
    this.#tasks.set(memberHex, { tries: tries + 1, dueAtMs, requestedBy });
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#retries >= MAX_RUNNING_RETRIES) return;
    let nextAtMs = Number.POSITIVE_INFINITY;
    for (const [memberHex, { dueAtMs }] of this.#tasks) {
      if (!this.#running.has(memberHex)) nextAtMs = Math.min(nextAtMs, dueAtMs);
    }
    if (nextAtMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#retryDue(), Math.max(0, nextAtMs - performance.now()));
  }

  #retryDue(): void {
    for (const [memberHex, { dueAtMs, requestedBy }] of this.#tasks) {
      if (this.#retries >= MAX_RUNNING_RETRIES) break;
      if (!this.#running.has(memberHex) && dueAtMs <= performance.now())
        void this.#retry(memberHex, requestedBy);
    }
    this.#plan();
  }

  async #retry(memberHex: string, requestedBy: Requester): Promise<void> {
    this.#retries++;
    try {
      await this.#run(memberHex, false, requestedBy);
    } catch (error) {
      this.#options.log.error({ error: String(error) }, "going on with an erasure failed");
      this.#postpone(memberHex, requestedBy);
    } finally {
      this.#retries--;
      this.#plan();
    }
  }
}
