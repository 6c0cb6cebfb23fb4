// Open sagas and who goes on with them: the log's news in, attempts out, one list for each kind.
//
// Invariants:
// - an attempt begins with the saga as the log's leader has it, so that a ledger that was away does not act on what it
//   remembers; every step is appended on top of that;
// - what is open here follows the stream in its order: whoever sees an enrolment open sees every one that came before it;
// - an open saga that the list had no room for comes onto it as soon as there is some;
// - a saga that cannot go on is tried again with growing pauses, is counted and shown, and delays no other.
import { hasEnded, LogUnavailableError, type Saga, type Sagas } from "../records/index.js";
import type { Log } from "../wire/log.js";
import type { SagaKindName } from "../wire/subjects.js";
import type { Reading } from "./stillness.js";
import { type Attempted, type Waiting, WorkList } from "./work-list.js";

const SAGA_KINDS = ["enrol", "erase", "refund"] as const satisfies readonly SagaKindName[];
const PAUSES: Record<SagaKindName, { firstPauseMs: number; maxPauseMs: number; maxRunning: number }> = {
  // A person stands at the desk.
  enrol: { firstPauseMs: 100, maxPauseMs: 2000, maxRunning: 8 },
  erase: { firstPauseMs: 250, maxPauseMs: 30_000, maxRunning: 8 },
  refund: { firstPauseMs: 250, maxPauseMs: 60_000, maxRunning: 8 },
};

/** An open saga. */
export interface OpenSaga {
  saga: Saga;
  /** As it was begun with, also after the saga has dropped it; empty when that was not heard here. */
  intent: Uint8Array;
}

/** One attempt to bring a saga to its end. */
export type SagaStep = (saga: Saga) => Promise<Attempted>;

export interface SagaRunnerOptions {
  sagas: Pick<Sagas, "follow" | "read">;
  steps: Record<SagaKindName, SagaStep>;
  active(): boolean;
  nowUnixMs(): number;
  log: Log;
  /** Once for each saga that is seen to end, or that the log has forgotten (code GONE). */
  onEnded(saga: Saga): void;
  /** Of each kind's list, if not its own. */
  maxTasks?: number;
}

const SWEEP_INTERVAL_MS = 5000;

const keyOf = ({ organisation, id }: { organisation: string; id: string }) => `${organisation}/${id}`;

export class SagaRunner {
  readonly #options: SagaRunnerOptions;
  readonly #open: Record<SagaKindName, Map<string, OpenSaga>> = {
    enrol: new Map(),
    erase: new Map(),
    refund: new Map(),
  };
  readonly #lists: Record<SagaKindName, WorkList>;
  readonly #follower: ReturnType<Sagas["follow"]>;
  readonly #sweeping: NodeJS.Timeout;
  #caughtUp = false;
  #taken = 0;

  constructor(options: SagaRunnerOptions) {
    this.#options = options;
    const listOf = (kind: SagaKindName) =>
      new WorkList({
        attempt: (key) => this.#attempt(kind, key),
        active: () => this.#caughtUp && options.active(),
        what: `saga ${kind}`,
        log: options.log,
        ...PAUSES[kind],
        ...(options.maxTasks === undefined ? {} : { maxTasks: options.maxTasks }),
      });
    this.#lists = { enrol: listOf("enrol"), erase: listOf("erase"), refund: listOf("refund") };
    this.#follower = options.sagas.follow(
      (saga) => this.#take(saga),
      () => {
        this.#caughtUp = true;
        this.wake();
      },
    );
    this.#sweeping = setInterval(() => this.sweep(), SWEEP_INTERVAL_MS);
  }

  caughtUp(): boolean {
    return this.#caughtUp;
  }

  reading(): Reading {
    return { lag: this.#follower.lag(), position: this.#taken };
  }

  open(kind: SagaKindName): Iterable<OpenSaga> {
    return this.#open[kind].values();
  }

  /** How many are open, and for how long the oldest has been. */
  count(kind: SagaKindName): { open: number; oldestMs: number } {
    const nowUnixMs = this.#options.nowUnixMs();
    let oldestMs = 0;
    for (const { saga } of this.#open[kind].values()) {
      oldestMs = Math.max(oldestMs, nowUnixMs - saga.beganUnixMs);
    }
    return { open: this.#open[kind].size, oldestMs: Math.round(oldestMs) };
  }

  stuck(kind: SagaKindName, limit: number): Waiting[] {
    return this.#lists[kind].stuck(limit);
  }

  wake(): void {
    for (const kind of SAGA_KINDS) this.#lists[kind].wake();
  }

  /** Open sagas that the lists do not have come onto them. */
  sweep(): void {
    for (const kind of SAGA_KINDS) {
      for (const key of this.#open[kind].keys()) {
        if (!this.#lists[kind].has(key) && !this.#lists[kind].add(key)) break;
      }
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await this.#follower.stop();
    await Promise.all(SAGA_KINDS.map((kind) => this.#lists[kind].close()));
  }

  #take(saga: Saga): void {
    this.#taken++;
    const { kind } = saga;
    const key = keyOf(saga);
    const known = this.#open[kind].get(key);
    if (hasEnded(saga)) {
      if (this.#open[kind].delete(key)) this.#options.onEnded(saga);
      this.#lists[kind].drop(key);
      return;
    }
    if (known !== undefined && known.saga.sequence >= saga.sequence) return;
    const intent = saga.intent.length > 0 ? saga.intent : (known?.intent ?? new Uint8Array());
    this.#open[kind].set(key, { saga, intent });
    if (known === undefined || !this.#lists[kind].has(key)) this.#lists[kind].add(key);
  }

  async #attempt(kind: SagaKindName, key: string): Promise<Attempted> {
    const [organisation = "", id = ""] = key.split("/");
    try {
      const saga = await this.#options.sagas.read(kind, organisation, id);
      if (saga === undefined) {
        const forgotten = this.#open[kind].get(key)?.saga;
        if (this.#open[kind].delete(key) && forgotten) this.#options.onEnded({ ...forgotten, code: "GONE" });
        return { done: true };
      }
      // Not open any more once that end is heard, in its turn.
      if (hasEnded(saga)) return { done: true };
      return await this.#options.steps[kind](saga);
    } catch (error) {
      if (error instanceof LogUnavailableError) return { done: false, detail: "the log does not answer" };
      throw error;
    }
  }
}
