// The view thread: follows MEMBERS, DECISIONS and PAYMENTS and applies them to the gateway's view, because every batch
// costs the thread that applies it a flush to disk, and the main thread has lanes to answer.
//
// Invariants:
// - the one writer of the view, with a NATS connection of its own: each stream goes on where the view stopped;
// - the main thread hears of a batch after it is flushed, and of events that wait before they are applied;
// - on "stop" everything is let go and the thread's loop ends by itself.

import { setTimeout as wait } from "node:timers/promises";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { NatsConnection } from "@nats-io/transport-node";
import {
  type EventLog,
  type Follower,
  type LogEvent,
  openEventLog,
  openView,
  type View,
  type ViewTables,
} from "../../records/index.js";
import { retried } from "../../wire/bucket.js";
import { type Log, openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { STREAMS } from "../../wire/subjects.js";
import { applyDecision, applyMemberEvent, applyPayment, TABLES } from "./rows.js";
import { type FromViewThread, SOURCES, type Source, STOP, type ViewThreadSettings } from "./view-messages.js";

/** A batch smaller than this waits a little for more. */
const SMALL_BATCH_EVENTS = 64;
const LAG_INTERVAL_MS = 250;
/** A server that has just started answers before its JetStream does. */
const OPEN_LOG_DEADLINE_MS = 15_000;

interface Followed {
  filter: string;
  /** Members are waited for (enrolment, erasure); decisions and payments are not. */
  gatherMs: number;
  /** @returns what the main thread must hear of */
  applyOne(event: LogEvent, tables: ViewTables): string | undefined;
}

const FOLLOWED: Record<Source, Followed> = {
  members: { filter: "members.>", gatherMs: 5, applyOne: applyMemberEvent },
  decisions: { filter: "decisions.>", gatherMs: 100, applyOne: applyDecision },
  payments: {
    filter: "payments.>",
    gatherMs: 100,
    applyOne: (event, tables) => {
      applyPayment(event, tables);
      return undefined;
    },
  },
};

class ViewThread {
  readonly #port: MessagePort;
  readonly #view: View;
  readonly #nc: NatsConnection;
  readonly #followers: Record<Source, Follower>;
  readonly #lagsSaid = new Map<Source, number>();
  readonly #timer = setInterval(() => {
    for (const source of SOURCES) this.#sayLag(source, this.#followers[source].lag());
  }, LAG_INTERVAL_MS);

  private constructor(port: MessagePort, view: View, nc: NatsConnection, eventLog: EventLog, log: Log) {
    this.#port = port;
    this.#view = view;
    this.#nc = nc;
    const follow = (source: Source) => this.#follow(source, eventLog, log);
    this.#followers = {
      members: follow("members"),
      decisions: follow("decisions"),
      payments: follow("payments"),
    };
  }

  /** A "stop" that comes while we connect waits in the port until it is listened to. */
  static async run({ natsUrl, path }: ViewThreadSettings, port: MessagePort): Promise<void> {
    const log = openLog("gateway", { thread: "members-view" });
    const view = openView({ path });
    const tables = Object.values(TABLES);
    for (const name of tables) view.table(name);
    port.postMessage({ type: "open", tables } satisfies FromViewThread);
    const nc = await connectNats({ url: natsUrl, name: "palmgate-gateway members-view", log });
    const eventLog = await retried(OPEN_LOG_DEADLINE_MS, () => openEventLog(nc));
    const thread = new ViewThread(port, view, nc, eventLog, log);
    port.on("message", (message: unknown) => {
      if (message === STOP) void thread.#stop();
    });
  }

  #follow(source: Source, eventLog: EventLog, log: Log): Follower {
    const { filter, gatherMs, applyOne } = FOLLOWED[source];
    const stream = STREAMS[source];
    const follower: Follower = eventLog.follow({
      stream,
      filter,
      afterSequence: this.#view.sequence(stream),
      log,
      onCaughtUp: () => this.#say({ type: "caughtUp", source }),
      onBatch: async (events) => {
        this.#sayLag(source, follower.lag());
        if (events.length < SMALL_BATCH_EVENTS) await wait(gatherMs);
        const changed: string[] = [];
        const applied = await this.#view.apply(stream, events, (event, tables) => {
          const each = applyOne(event, tables);
          if (each !== undefined) changed.push(each);
        });
        // The follower brings the same events again, later.
        if (!applied.ok) throw new Error(`the gateway's view is full: ${applied.detail}`);
        this.#say({ type: "applied", source, sequence: this.#view.sequence(stream), changed });
        this.#sayLag(source, follower.lag() - events.length);
      },
    });
    return follower;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(Object.values(this.#followers).map((follower) => follower.stop()));
    await this.#view.close();
    await this.#nc.close();
    this.#port.close();
  }

  #sayLag(source: Source, events: number): void {
    if (this.#lagsSaid.get(source) === events) return;
    this.#lagsSaid.set(source, events);
    this.#say({ type: "lag", source, events });
  }

  #say(message: FromViewThread): void {
    this.#port.postMessage(message);
  }
}

if (parentPort) await ViewThread.run(workerData as ViewThreadSettings, parentPort);
