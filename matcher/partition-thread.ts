// A partition thread: the one owner of everything its partitions have, with a NATS connection of its own.
//
// Invariants:
// - a search is answered inside the callback that received it: no hop to another thread, no lock;
// - the main thread hears every second how things stand, and at once when a partition is ready or closed;
// - on "stop" everything is let go and the thread's loop ends by itself.
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { openEventLog } from "../records/index.js";
import { openLog } from "../wire/log.js";
import { connectNats } from "../wire/nats.js";
import { HeldPartition } from "./held-partition.js";
import { type PartitionRef, refKey } from "./plan.js";
import { Tally } from "./tally.js";
import type { FromThread, ThreadSettings, ToThread } from "./thread-messages.js";

const REPORT_INTERVAL_MS = 1000;

async function run(settings: ThreadSettings, port: NonNullable<typeof parentPort>): Promise<void> {
  const { name, natsUrl, workerId, dataDir, engine, mapSizeBytes } = settings;
  const log = openLog("matcher", { worker: workerId, thread: name });
  // Orders that come while we connect wait in the port until it is listened to.
  const nc = await connectNats({ url: natsUrl, name: `matcher ${workerId} ${name}`, log });
  const eventLog = await openEventLog(nc);
  const held = new Map<string, HeldPartition>();
  const waiting = { waiting: 0 };
  const tally = new Tally();
  const say = (message: FromThread) => port.postMessage(message);
  const report = () =>
    say({
      type: "report",
      report: { ...tally.take(), partitions: [...held.values()].map((each) => each.report()) },
    });

  const open = (order: Extract<ToThread, { type: "open" }>) => {
    const ref = { gallery: order.gallery.name, partition: order.partition };
    const partitionLog = openLog("matcher", { worker: workerId, thread: name, partition: refKey(ref) });
    let known = "";
    const each = new HeldPartition({
      nc,
      workerId,
      waiting,
      tally,
      log: partitionLog,
      partition: {
        gallery: order.gallery,
        partition: order.partition,
        engine,
        dir: join(dataDir, order.gallery.name, String(order.partition)),
        mapSizeBytes,
        eventLog,
      },
      onChanged: () => {
        const { ready, storeFull } = each.report();
        if (known === `${ready} ${storeFull}`) return;
        known = `${ready} ${storeFull}`;
        report();
      },
      onReportDue: report,
    });
    held.set(refKey(ref), each);
  };

  const close = async (ref: PartitionRef) => {
    await held.get(refKey(ref))?.close();
    held.delete(refKey(ref));
    say({ type: "closed", ref });
  };

  const timer = setInterval(report, REPORT_INTERVAL_MS);
  const stop = async () => {
    await Promise.all([...held.values()].map((each) => close(each.ref)));
    clearInterval(timer);
    report();
    await nc.close();
    port.close();
  };

  port.on("message", (order: ToThread) => {
    if (order.type === "open") open(order);
    if (order.type === "close") void close(order.ref);
    if (order.type === "stop") void stop();
  });
}

if (parentPort) await run(workerData as ThreadSettings, parentPort);
