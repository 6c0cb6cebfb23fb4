// A thread that owns a view: applies a batch per message {from, to}, one table entry per event, and says what it has
// reached. With `pauseMs`, the transaction stays open for that long before it commits.
import { parentPort, workerData } from "node:worker_threads";
import { type LogEvent, openView } from "../../../records/index.js";

export interface Order {
  from: number;
  to: number;
  /** Busy inside the transaction, after the first event. */
  pauseMs: number;
}

const VALUE_BYTES = 700;
const view = openView({ path: workerData });
view.table("entries");

parentPort?.on("message", async (order: Order | "close") => {
  if (order === "close") {
    await view.close();
    parentPort?.close();
    return;
  }
  const { from, to, pauseMs } = order;
  const events = Array.from({ length: to - from + 1 }, (_, index): LogEvent => {
    return { subject: "s", sequence: from + index, atUnixMs: 0, body: new Uint8Array() };
  });
  await view.apply("s", events, ({ sequence }, tables) => {
    tables.table("entries").put(String(sequence), new Uint8Array(VALUE_BYTES).fill(sequence % 256));
    if (sequence > from || pauseMs === 0) return;
    parentPort?.postMessage("inside");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
  });
  parentPort?.postMessage(view.sequence("s"));
});
parentPort?.postMessage("open");
