// One partition on a real log: when a view may not be trusted.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, it, onTestFinished } from "vitest";
import { Partition } from "../../matcher/partition.js";
import { newDataKey, openEventLog } from "../../records/index.js";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { startLocalNats } from "../../wire/nats-server.js";

it("a view that is ahead of its log is refused, and made anew when an operator removes it", async () => {
  const root = mkdtempSync(join(tmpdir(), "palmgate-partition-"));
  const nats = await startLocalNats(join(root, "nats"));
  const log = openLog("test");
  const nc = await connectNats({ url: nats.url, name: "test", log });
  onTestFinished(async () => {
    await nc.close();
    await nats.stop();
    rmSync(root, { recursive: true, force: true });
  });
  const dir = join(root, "view");
  const openPartition = async () => {
    let tell = () => {};
    const caughtUp = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const partition = await Partition.open({
      gallery: { name: "g", partitions: 1, replicas: 1, modelId: "m", dimension: 4 },
      partition: 0,
      engine: "exact",
      dir,
      mapSizeBytes: undefined,
      masterKey: newDataKey(),
      eventLog: await openEventLog(nc),
      log,
      onSkipped: () => {},
      onChanged: () => tell(),
    });
    await caughtUp;
    return partition;
  };
  const append = async (count: number) => {
    const eventLog = await openEventLog(nc);
    for (let i = 0; i < count; i++) await eventLog.append("members.g.0.x", Uint8Array.of(i));
  };
  const applied = async (partition: Partition, sequence: number) => {
    await expect.poll(() => partition.appliedSequence).toBe(sequence);
    await partition.close();
  };

  await append(3);
  await applied(await openPartition(), 3);
  await applied(await openPartition(), 3);
  await (await jetstreamManager(nc)).streams.delete("MEMBERS");
  await append(1);
  await expect(openPartition()).rejects.toThrow(/has applied event 3, but the log ends at 1/);
  rmSync(dir, { recursive: true });
  await applied(await openPartition(), 1);
});
