import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBucket, readBucket, watchBucket } from "../../wire/bucket.js";
import { openLossyLink } from "./support/lossy-link.js";
import { type BusRig, log, openBusRig } from "./support/rig.js";

const spec = (name: string) => ({ name, storage: "file" as const });
const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("a watch of a bucket", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  it("tells what is there, says so, then tells every change in order", async () => {
    const kv = await openBucket(rig.nc, spec("order"));
    await kv.put("a", "1");
    await kv.put("b", "2");
    await kv.delete("b");
    const told: string[] = [];
    const watch = watchBucket(rig.nc, spec("order"), {
      log,
      onEntry: ({ key, value }) => told.push(`${key}=${value === undefined ? "" : Buffer.from(value)}`),
      onCaughtUp: () => told.push("caught up"),
    });
    await watch.caughtUp();
    expect(told).toEqual(["a=1", "b=", "caught up"]);
    for (const value of ["3", "4", "5"]) await kv.put("a", value);
    await kv.delete("a");
    await expect.poll(() => told.slice(3)).toEqual(["a=3", "a=4", "a=5", "a="]);
    expect(await readBucket(rig.nc, spec("order"))).toEqual(new Map());
    await watch.stop();
  });

  it("stops at whatever moment it is asked to, also while its link comes and goes", async () => {
    const link = await openLossyLink(rig.server.url);
    rig.defer(() => link.close());
    const nc = await rig.connect(link.url);
    const kv = await openBucket(rig.nc, spec("stops"));
    await kv.put("a", "1");
    for (let round = 0; round < 30; round++) {
      const watches = [nc, rig.nc].map((each) =>
        watchBucket(each, spec("stops"), { log, onEntry: () => {} }),
      );
      if (round % 10 === 5) link.cut();
      await passed(round % 8);
      const stopped = Promise.all(watches.map((watch) => watch.stop())).then(() => "stopped");
      expect(await Promise.race([stopped, passed(10_000)])).toBe("stopped");
    }
  });
});
