// A partition thread: the one owner of everything its partitions have, with a NATS connection of its own.
//
// Invariants:
// - a search is answered inside the callback that received it: no hop to another thread, no lock;
// - the main thread hears every second how things stand, and at once when a partition is ready or closed;
// - on "stop" everything is let go and the thread's loop ends by itself.
import { join } from "node:path";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { NatsConnection } from "@nats-io/transport-node";
import { type EventLog, openEventLog } from "../records/index.js";
import { retried } from "../wire/bucket.js";
import type { Gallery } from "../wire/galleries.js";
import { openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { HeldPartition } from "./held-partition.js";
import { type PartitionRef, refKey } from "./plan.js";
import { Tally } from "./tally.js";
import type { FromThread, ThreadSettings, ToThread } from "./thread-messages.js";

const REPORT_INTERVAL_MS = 1000;
/** A server that has just started answers before its JetStream does. */
const OPEN_LOG_DEADLINE_MS = 15_000;

class PartitionThread {
  readonly #settings: ThreadSettings;
  readonly #port: MessagePort;
  readonly #nc: NatsConnection;
  readonly #eventLog: EventLog;
  readonly #held = new Map<string, HeldPartition>();
  readonly #waiting = { waiting: 0 };
  readonly #tally = new Tally();
  readonly #timer = setInterval(() => this.#report(), REPORT_INTERVAL_MS);

  private constructor(settings: ThreadSettings, port: MessagePort, nc: NatsConnection, eventLog: EventLog) {
    this.#settings = settings;
    this.#port = port;
    this.#nc = nc;
    this.#eventLog = eventLog;
  }

  /** Orders that come while we connect wait in the port until it is listened to. */
  static async run(settings: ThreadSettings, port: MessagePort): Promise<void> {
    const { name, natsUrl, workerId } = settings;
    const log = openLog("matcher", { worker: workerId, thread: name });
    const nc = await connectNats({ url: natsUrl, name: `matcher ${workerId} ${name}`, log });
    const eventLog = await retried(OPEN_LOG_DEADLINE_MS, () => openEventLog(nc));
    const thread = new PartitionThread(settings, port, nc, eventLog);
    port.on("message", (order: ToThread) => {
      if (order.type === "open") thread.#open(order.gallery, order.partition);
      if (order.type === "close") void thread.#close(order.ref);
      if (order.type === "stop") void thread.#stop();
    });
  }

  #open(gallery: Gallery, partition: number): void {
    const { name: thread, masterKey, workerId, dataDir, engine, mapSizeBytes } = this.#settings;
    const ref = { gallery: gallery.name, partition };
    const dir = join(dataDir, gallery.name, String(partition));
    let known = "";
    const held = new HeldPartition({
      nc: this.#nc,
      workerId,
      waiting: this.#waiting,
      tally: this.#tally,
      log: openLog("matcher", { worker: workerId, thread, partition: refKey(ref) }),
      partition: { gallery, partition, engine, dir, mapSizeBytes, masterKey, eventLog: this.#eventLog },
      onChanged: () => {
        const { ready, storeFull } = held.report();
        if (known === `${ready} ${storeFull}`) return;
        known = `${ready} ${storeFull}`;
        this.#report();
      },
      onReportDue: () => this.#report(),
    });
    this.#held.set(refKey(ref), held);
  }

  async #close(ref: PartitionRef): Promise<void> {
    await this.#held.get(refKey(ref))?.close();
    this.#held.delete(refKey(ref));
    this.#say({ type: "closed", ref });
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#held.values()].map(({ ref }) => this.#close(ref)));
    clearInterval(this.#timer);
    this.#report();
    await this.#nc.close();
    this.#port.close();
  }

  #report(): void {
    const partitions = [...this.#held.values()].map((each) => each.report());
    this.#say({ type: "report", report: { ...this.#tally.take(), partitions } });
  }

  #say(message: FromThread): void {
    this.#port.postMessage(message);
  }
}

if (parentPort) await PartitionThread.run(workerData as ThreadSettings, parentPort);
