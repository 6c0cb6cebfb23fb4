// This worker among the others: says what it holds, hears what they hold, and opens and lets go accordingly.
//
// Invariants:
// - the plan is made anew after every change (galleries, workers, our own partitions) and every second: nothing that
//   was missed is missed for ever;
// - others hear of us every second, at once when something became ready, and at once when we leave;
// - on leaving we go on answering until the new holders are ready or the deadline has passed.
import type { NatsConnection } from "@nats-io/transport-node";
import type { bus } from "../wire/codec.js";
import { type Gallery, watchGalleries } from "../wire/galleries.js";
import { WORKER_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { type Announcer, openAnnouncer, watchWorkers } from "../wire/workers.js";
import { type OneAtATime, oneAtATime } from "./one-at-a-time.js";
import { planFor, refKey } from "./plan.js";
import type { PartitionThreads } from "./threads.js";
import type { WorkerStart } from "./twin.js";

/** How long a leaving worker waits for those that take over. */
const LEAVE_DEADLINE_MS = 5000;

export interface MembershipOptions {
  nc: NatsConnection;
  self: WorkerStart;
  threads: PartitionThreads;
  log: Log;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #announcer: Announcer;
  readonly #heartbeat: OneAtATime;
  readonly #stops: (() => void)[] = [];
  #galleries: Gallery[] = [];
  #workers: bus.IWorkerState[] = [];
  #leaving = false;
  #onNothingHeld = () => {};

  private constructor(options: MembershipOptions) {
    this.#options = options;
    this.#announcer = openAnnouncer(options.nc, options.log);
    this.#heartbeat = oneAtATime(async () => {
      if (!this.#leaving) await this.#announcer.say(this.#state());
    });
  }

  static async open(options: MembershipOptions): Promise<Membership> {
    const membership = new Membership(options);
    await membership.#join();
    return membership;
  }

  /** To be called when a partition of ours became ready or was closed. */
  changed(): void {
    this.#heartbeat.call();
    this.#replan();
  }

  /** Says farewell and waits until nothing is held here that nobody else serves, at most 5 s. */
  async leave(): Promise<void> {
    if (this.#leaving) return;
    const { self, threads, log } = this.#options;
    this.#leaving = true;
    await this.#heartbeat.idle();
    await this.#announcer.leave(self.workerId);
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(() => {
        log.warn({ held: threads.held().length }, "leaving although nobody took over");
        resolve();
      }, LEAVE_DEADLINE_MS);
      this.#onNothingHeld = () => {
        clearTimeout(deadline);
        resolve();
      };
      this.#replan();
    });
    this.stop();
  }

  /** Says and hears nothing any more. Without a farewell: a twin that goes on has the same name. */
  stop(): void {
    this.#leaving = true;
    for (const stop of this.#stops.splice(0)) stop();
  }

  async #join(): Promise<void> {
    const { nc, log } = this.#options;
    // Others first: a worker that does not know them yet would take everything.
    const workers = await watchWorkers(
      nc,
      (states) => {
        this.#workers = states;
        this.#replan();
      },
      log,
    );
    const galleries = await watchGalleries(
      nc,
      (all) => {
        this.#galleries = all;
        this.changed();
      },
      log,
    );
    const timer = setInterval(() => this.changed(), WORKER_HEARTBEAT_INTERVAL_MS);
    this.#stops.push(workers.stop, galleries.stop, () => clearInterval(timer));
  }

  #state(): bus.IWorkerState {
    const partitions = this.#options.threads
      .held()
      .map(({ gallery, partition, ready, templates, members, appliedSequence }) => ({
        gallery,
        partition,
        ready,
        templates,
        members,
        appliedSequence,
      }));
    return { ...this.#options.self, partitions };
  }

  #replan(): void {
    const { self, threads, log } = this.#options;
    const held = threads.held();
    const plan = planFor({
      self: self.workerId,
      leaving: this.#leaving,
      galleries: this.#galleries,
      workers: this.#workers,
      held,
    });
    for (const { gallery, partition } of plan.open) {
      const facts = this.#galleries.find(({ name }) => name === gallery);
      if (facts) threads.open(facts, partition);
    }
    for (const ref of plan.close) {
      if (threads.close(ref)) log.info({ partition: refKey(ref) }, "letting go: its holders are ready");
    }
    if (held.length === 0) this.#onNothingHeld();
  }
}
