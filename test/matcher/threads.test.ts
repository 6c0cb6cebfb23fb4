// Partition threads that cannot work: the process hears of it once, and can still end in order.
import { describe, expect, it } from "vitest";
import { openPartitionThreads } from "../../matcher/threads.js";

describe("partition threads", () => {
  it("tell of a death once, and stop although there is nobody left to stop", async () => {
    const deaths: string[] = [];
    let tell = () => {};
    const died = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const threads = openPartitionThreads({
      count: 2,
      settings: {
        natsUrl: "no address",
        masterKey: new Uint8Array(32),
        workerId: "w",
        dataDir: "unused",
        engine: "exact",
        mapSizeBytes: undefined,
      },
      onReport: () => {},
      onChanged: () => {},
      onDied: (error) => {
        deaths.push(error.message);
        tell();
      },
    });
    await died;
    await threads.stop();
    await threads.stop();
    expect(deaths).toEqual(["Invalid URL"]);
  });
});
