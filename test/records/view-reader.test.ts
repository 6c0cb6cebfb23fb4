// Reading a view that another thread of this process writes.
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openViewReader, type ViewReader } from "../../records/index.js";
import { tempDir } from "./support/rig.js";
import type { Order } from "./support/view-writer.js";

describe("a reader of another thread's view", () => {
  let dir: string;
  let path: string;
  let writer: Worker;
  let reader: ViewReader;

  async function openWriter(): Promise<void> {
    writer = new Worker(new URL("support/view-writer-thread.js", import.meta.url), { workerData: path });
    expect(await said()).toBe("open");
  }
  beforeEach(async () => {
    dir = tempDir();
    path = join(dir, "view");
    await openWriter();
    reader = openViewReader({ path, tables: ["entries"] });
  });
  afterEach(async () => {
    await reader.close();
    const gone = once(writer, "exit");
    writer.postMessage("close");
    await gone;
    rmSync(dir, { recursive: true, force: true });
  });

  const said = async (): Promise<unknown> => (await once(writer, "message"))[0];
  const order = (from: number, to: number, pauseMs = 0) =>
    writer.postMessage({ from, to, pauseMs } satisfies Order);
  const entries = () => reader.table("entries").count();

  it("sees one moment in one turn of the event loop, and the commits since after refresh()", () => {
    expect([reader.sequence("s"), entries()]).toEqual([0, 0]);
    order(1, 3);
    // Without a turn's end, refresh() alone can end this.
    const giveUpAt = performance.now() + 5000;
    while (reader.sequence("s") === 0 && performance.now() < giveUpAt) reader.refresh();
    expect([reader.sequence("s"), entries()]).toEqual([3, 3]);
    expect(reader.table("entries").get("3")?.[0]).toBe(3);
  });

  it("sees nothing of a transaction under way, and does not wait for it", async () => {
    order(1, 1);
    await said();
    order(2, 5, 1000);
    expect(await said()).toBe("inside");
    const before = performance.now();
    reader.refresh();
    expect([reader.sequence("s"), entries()]).toEqual([1, 1]);
    expect(performance.now() - before).toBeLessThan(500);
    expect(await said()).toBe(5);
    reader.refresh();
    expect([reader.sequence("s"), entries()]).toEqual([5, 5]);
  });

  it("reads whole batches only while the file grows under it", async () => {
    const batches = 60;
    const batchEvents = 200;
    const told = new Promise<void>((resolve) => {
      writer.on("message", (sequence) => {
        if (sequence === batches * batchEvents) resolve();
      });
    });
    for (let batch = 0; batch < batches; batch++) order(batch * batchEvents + 1, (batch + 1) * batchEvents);
    let done = false;
    void told.then(() => {
      done = true;
    });
    let looks = 0;
    for (; !done; looks++) {
      reader.refresh();
      const sequence = reader.sequence("s");
      expect(sequence % batchEvents).toBe(0);
      expect(entries()).toBe(sequence);
      const value = reader.table("entries").get(String(sequence));
      if (sequence > 0) expect(value?.every((byte) => byte === sequence % 256)).toBe(true);
      await new Promise(setImmediate);
    }
    expect(looks).toBeGreaterThan(5);
    reader.refresh();
    expect([...reader.table("entries").range()]).toHaveLength(batches * batchEvents);
  });

  it("goes on reading when the writer dies, and sees what the next one writes", async () => {
    order(1, 2);
    await said();
    await writer.terminate();
    reader.refresh();
    expect(reader.sequence("s")).toBe(2);
    await openWriter();
    order(3, 4);
    expect(await said()).toBe(4);
    reader.refresh();
    expect([reader.sequence("s"), entries()]).toEqual([4, 4]);
  });

  it("says which table is not there, and which was not named", () => {
    expect(() => openViewReader({ path, tables: ["nothing"] })).toThrow("no table 'nothing'");
    expect(() => reader.table("others")).toThrow("was not named");
  });
});
