// One partition on the bus: opened, announced by subscribing, answered for, and let go without dropping a question.
//
// Invariants:
// - search.* is subscribed only once the partition has caught up: subscription is membership;
// - applied.* is subscribed as soon as there is a partition to ask: erasures must reach a worker that still catches up;
// - letting go drains the subscriptions first, so that what NATS has handed over is still answered.
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import type { Log } from "../wire/log.js";
import { appliedSubject, MATCHER_QUEUE, searchSubject } from "../wire/subjects.js";
import { AppliedDesk, type WaitingCount } from "./applied-desk.js";
import { Partition, type PartitionOptions } from "./partition.js";
import type { PartitionRef } from "./plan.js";
import { answerSearch } from "./search-request.js";
import type { Tally } from "./tally.js";
import type { PartitionReport } from "./thread-messages.js";

const REOPEN_WAIT_MS = 1000;

export interface HeldOptions {
  nc: NatsConnection;
  workerId: string;
  waiting: WaitingCount;
  tally: Tally;
  log: Log;
  partition: Omit<PartitionOptions, "log" | "onSkipped" | "onKeyRefused" | "onChanged">;
  /** Ready now, or the store filled up or has room again. */
  onChanged(): void;
  /** The tally wants to be taken. */
  onReportDue(): void;
}

export class HeldPartition {
  readonly ref: PartitionRef;
  readonly #options: HeldOptions;
  readonly #subscriptions: Subscription[] = [];
  readonly #opened: Promise<void>;
  readonly #stopWaiting = new AbortController();
  #partition: Partition | undefined;
  #desk: AppliedDesk | undefined;
  #subscribing = false;
  #ready = false;
  #eventsSeen = 0;

  constructor(options: HeldOptions) {
    this.#options = options;
    this.ref = { gallery: options.partition.gallery.name, partition: options.partition.partition };
    this.#opened = this.#open();
  }

  report(): PartitionReport {
    const partition = this.#partition;
    return {
      ...this.ref,
      ready: this.#ready,
      templates: partition?.templates ?? 0,
      members: partition?.members ?? 0,
      appliedSequence: partition?.appliedSequence ?? 0,
      lag: partition?.lag ?? 0,
      storeFull: partition?.storeFull ?? false,
    };
  }

  async close(): Promise<void> {
    this.#ready = false;
    this.#stopWaiting.abort();
    await this.#opened;
    const { log } = this.#options;
    for (const subscription of this.#subscriptions) {
      await subscription
        .drain()
        .catch((error: unknown) => log.warn({ error: String(error) }, "drain failed"));
    }
    this.#desk?.close();
    await this.#partition?.close();
  }

  /** Opens the partition, again and again if need be, until it is open or no longer wanted. */
  async #open(): Promise<void> {
    const { log, tally } = this.#options;
    const stopped = this.#stopWaiting.signal;
    while (!stopped.aborted) {
      try {
        const partition = await Partition.open({
          ...this.#options.partition,
          log,
          onSkipped: (reason) => tally.skipped(reason),
          onKeyRefused: (code) => tally.keyRefused(code),
          onChanged: () => this.#changed(),
        });
        this.#partition = partition;
        this.#answerApplied(partition);
        this.#changed();
        return;
      } catch (error) {
        log.error({ error: String(error) }, "partition cannot be opened; trying again");
        await pause(REOPEN_WAIT_MS, stopped);
      }
    }
  }

  #changed(): void {
    const partition = this.#partition;
    if (partition === undefined) return; // #open() comes back here when it has it
    this.#options.tally.applied(partition.eventsApplied - this.#eventsSeen);
    this.#eventsSeen = partition.eventsApplied;
    this.#desk?.changed();
    if (partition.ready && !this.#subscribing && !this.#stopWaiting.signal.aborted) {
      this.#subscribing = true;
      void this.#answerSearches(partition);
    }
    this.#options.onChanged();
  }

  async #answerSearches(partition: Partition): Promise<void> {
    const { nc, workerId, tally, log, onReportDue, onChanged } = this.#options;
    this.#subscriptions.push(
      nc.subscribe(searchSubject(this.ref.gallery, this.ref.partition), {
        queue: MATCHER_QUEUE,
        callback: (error, message) => {
          if (error) return log.error({ error: String(error) }, "search subscription");
          const { status, searchMs, reply } = answerSearch(partition, message.data, workerId);
          message.respond(reply);
          if (tally.search(status, searchMs)) onReportDue();
        },
      }),
    );
    // Ready means that the server knows of the subscription. After a lost link the client subscribes again by itself.
    await nc.flush().catch((error: unknown) => log.warn({ error: String(error) }, "flush failed"));
    if (this.#stopWaiting.signal.aborted) return;
    this.#ready = true;
    log.info({ members: partition.members, templates: partition.templates }, "partition ready");
    onChanged();
  }

  #answerApplied(partition: Partition): void {
    const { nc, workerId, waiting, log } = this.#options;
    const desk = new AppliedDesk(partition, workerId, waiting);
    this.#desk = desk;
    this.#subscriptions.push(
      nc.subscribe(appliedSubject(this.ref.gallery, this.ref.partition), {
        callback: (error, message) => {
          if (error) return log.error({ error: String(error) }, "applied subscription");
          desk.ask(message.data, (reply) => message.respond(reply));
        },
      }),
    );
  }
}

function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
