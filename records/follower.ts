// Follows some subjects of one stream: every event once, in order, in batches, for as long as it is not stopped.
//
// Invariants:
// - `position` moves only after onBatch has taken the batch; whatever breaks, it goes on right after the position;
// - events come in stream order, none left out, none twice: the server numbers what it delivers, and a hole in the
//   numbers, a lost link or a lost consumer ends the session and starts another one from the position;
// - at most maxBatchEvents events wait in memory: no more are asked for before those are taken;
// - a failing onBatch gets the same batch again, with backoff;
// - caught up: past the last event that the stream had at start, or the server says that none is left.
import {
  AckPolicy,
  type Consumer,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamManager,
  type JsMsg,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { Backoff } from "../wire/backoff.js";
import { watchLink } from "../wire/link.js";
import type { Log } from "../wire/log.js";
import { CatchUp } from "./catch-up.js";
import type { LogEvent } from "./event.js";
import { Gate } from "./gate.js";
import { eventOf } from "./last-events.js";

export interface FollowOptions {
  stream: string;
  /** Subject filters that do not overlap. Wildcards replay ten times as fast as literal ones. */
  filters: readonly string[];
  /** The first event is the filters' first one after it; 0 for all. */
  afterSequence: number;
  /** Takes the events for good. One call at a time; a rejection brings the same events again. */
  onBatch(events: LogEvent[]): Promise<void> | void;
  onCaughtUp?(): void;
  log: Log;
  maxBatchEvents?: number;
  /** Events come without their bodies: enough for who wants to know which there are. */
  withoutBodies?: boolean;
}

export interface Follower {
  /** Sequence of the last event that onBatch has taken; `afterSequence` at first. */
  position(): number;
  /** Resolves once what the log held at start has been taken. Rejects when the follower is stopped before that. */
  caughtUp(): Promise<void>;
  /** Events that the log is known to hold and onBatch has not taken. */
  lag(): number;
  /** Resolves when no onBatch runs any more and none will. */
  stop(): Promise<void>;
}

const DEFAULT_BATCH_EVENTS = 512;
/** How long one request for events stays open at the server. */
const PULL_EXPIRES_MS = 30_000;
/** Until caught up it ends sooner, so that "none left" is noticed even if the last event was erased meanwhile. */
const CATCH_UP_PULL_EXPIRES_MS = 1000;
/** The server drops the consumer of a process that is gone after this time. */
const CONSUMER_IDLE_MS = 120_000;
const RETRY = { firstMs: 50, maxMs: 5000 };
const NAMED_FILTERS = 3;

export function startFollower(
  nc: NatsConnection,
  manager: JetStreamManager,
  options: FollowOptions,
): Follower {
  return new StreamFollower(nc, manager, options);
}

class StreamFollower implements Follower {
  readonly #nc: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #options: FollowOptions;
  readonly #maxBatchEvents: number;
  readonly #stopping = new AbortController();
  readonly #catchUp = new CatchUp();
  readonly #ended: Promise<void>;
  #position: number;
  #queue: LogEvent[] = [];
  #pump: Promise<void> | undefined;
  #pendingAtServer = 0;
  /** Events of the present consumer that came, as the server counts its deliveries. */
  #delivered = 0;
  #linkLosses = 0;
  #link: Gate;
  #messages: ConsumerMessages | undefined;

  constructor(nc: NatsConnection, manager: JetStreamManager, options: FollowOptions) {
    this.#nc = nc;
    this.#manager = manager;
    this.#options = options;
    this.#maxBatchEvents = options.maxBatchEvents ?? DEFAULT_BATCH_EVENTS;
    this.#position = options.afterSequence;
    this.#link = new Gate();
    this.#link.open();
    this.#ended = this.#run();
  }

  position(): number {
    return this.#position;
  }

  caughtUp(): Promise<void> {
    return this.#catchUp.done;
  }

  lag(): number {
    return this.#pendingAtServer + this.#queue.length;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#link.open();
    this.#messages?.stop();
    await this.#ended;
    this.#catchUp.abandon();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(this.#stopping.signal, RETRY);
    const endWatch = watchLink(this.#nc, {
      lost: () => {
        this.#linkLosses++;
        if (!this.#stopped) this.#link = new Gate();
        this.#messages?.stop();
      },
      back: () => this.#link.open(),
    });
    while (!this.#stopped) {
      const before = this.#position;
      try {
        await this.#session();
      } catch (error) {
        const { stream, filters, log } = this.#options;
        log.warn(
          { stream, filters: named(filters), position: this.#position, error: String(error) },
          "log session lost",
        );
      }
      await this.#pump;
      if (this.#position > before) backoff.reset();
      if (!this.#stopped) await backoff.wait();
      // What is asked while there is no link is never answered.
      await this.#link.opened;
    }
    endWatch();
  }

  /** One consumer's life. Returns or throws when another one must be made. */
  async #session(): Promise<void> {
    const linkLosses = this.#linkLosses;
    const { stream, filters } = this.#options;
    this.#catchUp.target ??= (await this.#manager.streams.info(stream)).state.last_seq;
    const info = await this.#manager.consumers.add(stream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#position + 1,
      filter_subjects: [...filters],
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(CONSUMER_IDLE_MS),
      headers_only: this.#options.withoutBodies ?? false,
    });
    this.#delivered = 0;
    this.#notePending(info.num_pending);
    const consumer = this.#manager.jetstream().consumers.getConsumerFromInfo(info);
    try {
      while (!this.#stopped && linkLosses === this.#linkLosses) {
        if (!(await this.#pull(consumer))) return;
      }
    } finally {
      // If this does not get through, the server forgets the consumer by itself after CONSUMER_IDLE_MS.
      if (linkLosses === this.#linkLosses && !this.#nc.isClosed()) consumer.delete().catch(() => {});
    }
  }

  /** Asks for one queue of events and takes them. @returns whether the consumer is still to be trusted */
  async #pull(consumer: Consumer): Promise<boolean> {
    const linkLosses = this.#linkLosses;
    const expires = this.#catchUp.isDone ? PULL_EXPIRES_MS : CATCH_UP_PULL_EXPIRES_MS;
    const messages = await consumer.fetch({ max_messages: this.#maxBatchEvents, expires });
    this.#messages = messages;
    if (this.#stopped || linkLosses !== this.#linkLosses) messages.stop();
    let received = 0;
    for await (const message of messages) {
      if (!this.#accept(message)) return false;
      received++;
    }
    await this.#pump;
    if (this.#stopped || linkLosses !== this.#linkLosses) return false;
    if (received === this.#maxBatchEvents) return true;
    const info = await consumer.info();
    // What the server counts as delivered and never came was lost on the way: nobody has caught up by that.
    if (info.delivered.consumer_seq !== this.#delivered) return false;
    this.#notePending(info.num_pending);
    return true;
  }

  #accept(message: JsMsg): boolean {
    const { deliverySequence, pending } = message.info;
    if (deliverySequence !== this.#delivered + 1) return false;
    this.#delivered = deliverySequence;
    this.#pendingAtServer = pending;
    this.#queue.push(eventOf(message));
    this.#pump ??= this.#takeQueue();
    return true;
  }

  /** Runs while events wait; never rejects. What is left when stopped is dropped: the log still has it. */
  async #takeQueue(): Promise<void> {
    await Promise.resolve();
    while (this.#queue.length > 0 && !this.#stopped) {
      const events = this.#queue.slice(0, this.#maxBatchEvents);
      const last = events.at(-1);
      if (last === undefined || !(await this.#take(events))) break;
      this.#queue.splice(0, events.length);
      this.#position = last.sequence;
      this.#noteTaken();
    }
    this.#queue = [];
    this.#pump = undefined;
  }

  /** Offers one batch until it is taken. @returns false when stopped before that */
  async #take(events: LogEvent[]): Promise<boolean> {
    const { onBatch, stream, filters, log } = this.#options;
    const backoff = new Backoff(this.#stopping.signal, RETRY);
    while (!this.#stopped) {
      try {
        await onBatch(events);
        return true;
      } catch (error) {
        log.error(
          { stream, filters: named(filters), position: this.#position, error: String(error) },
          "events not taken",
        );
      }
      await backoff.wait();
    }
    return false;
  }

  #notePending(pending: number): void {
    this.#pendingAtServer = pending;
    this.#noteTaken();
  }

  #noteTaken(): void {
    if (this.#catchUp.isDone) return;
    if (this.lag() > 0 && this.#position < (this.#catchUp.target ?? Number.POSITIVE_INFINITY)) return;
    this.#catchUp.finish();
    this.#options.onCaughtUp?.();
  }
}

/** For a line of the log: a matcher's thread has a filter a shard. */
const named = (filters: readonly string[]): string =>
  filters.length <= NAMED_FILTERS
    ? filters.join(" ")
    : `${filters.slice(0, NAMED_FILTERS).join(" ")} and ${filters.length - NAMED_FILTERS} more`;
