// When every worker that serves a shard has applied the log up to some event: from then on whoever is asked knows it.
//
// Invariants:
// - every holder of the shard that the record names is asked, not only those heard of now;
// - a holder that does not confirm counts as serving for UNSERVED_AFTER_MS after it was first asked: by then the newest
//   beat that it can have applied is older than any worker answers searches with (matcher: CURRENT_MS), because the
//   event that it lacks lies before every newer one;
// - one whose heartbeat has been silent for that long, and that does not answer now, is not waited for;
// - a worker that says that its disk refuses writes serves nobody;
// - somebody must have it: without one confirmation nothing is confirmed.
import type { NatsConnection } from "@nats-io/transport-node";
import { askApplied } from "./applied.js";
import type { Holders } from "./holders.js";

export const UNSERVED_AFTER_MS = 10_000;
/** One ask; a worker that has it answers at once. */
const ASK_MS = 1500;
/** Questions remembered: far more than are open. */
const MAX_ASKED = 100_000;

export interface ServedDeps {
  nc: NatsConnection;
  holders: Pick<Holders, "holdersOf">;
  /** How long the worker's heartbeat has been silent; 0: it is heard. */
  silentMs(workerId: string): number;
  /** Default UNSERVED_AFTER_MS. */
  unservedAfterMs?: number;
}

export type Served =
  | { ok: true; confirmed: string[] }
  /** `missing`: who is waited for; empty: nobody holds the shard, or none of them confirms. */
  | { ok: false; missing: string[]; detail: string };

export class ServedBy {
  readonly #deps: ServedDeps;
  readonly #firstAskedAtMs = new Map<number, number>();

  constructor(deps: ServedDeps) {
    this.#deps = deps;
  }

  /** One ask. Throws LogUnavailableError when the holders cannot be read. @param sequence of stream MEMBERS */
  async ask(shard: number, sequence: number): Promise<Served> {
    const { nc, holders, silentMs, unservedAfterMs = UNSERVED_AFTER_MS } = this.#deps;
    const workers = await holders.holdersOf(shard);
    if (workers.length === 0) return { ok: false, missing: [], detail: "no matcher holds its shard" };
    const sinceMs = this.#since(sequence);
    const awaited = workers.filter((worker) => silentMs(worker) < unservedAfterMs);
    const answer = await askApplied(nc, {
      workers: awaited.length > 0 ? awaited : workers,
      shard,
      sequence,
      waitMs: ASK_MS,
    });
    const confirmed = answer.confirmed.map(({ workerId }) => workerId);
    const missing = answer.missing.filter((worker) => !answer.storeFull.includes(worker));
    const isOver = performance.now() - sinceMs >= unservedAfterMs;
    if (confirmed.length > 0 && (missing.length === 0 || isOver)) {
      this.#firstAskedAtMs.delete(sequence);
      return { ok: true, confirmed };
    }
    const waitsFor = missing.length > 0 ? missing : workers;
    return { ok: false, missing: waitsFor, detail: `not confirmed yet by ${waitsFor.join(", ")}` };
  }

  #since(sequence: number): number {
    const known = this.#firstAskedAtMs.get(sequence);
    if (known !== undefined) return known;
    const [oldest] = this.#firstAskedAtMs.keys();
    if (this.#firstAskedAtMs.size >= MAX_ASKED && oldest !== undefined) this.#firstAskedAtMs.delete(oldest);
    const nowMs = performance.now();
    this.#firstAskedAtMs.set(sequence, nowMs);
    return nowMs;
  }
}
