// Search threads that cannot work: the process hears of it once, and can still end in order.
import { describe, expect, it } from "vitest";
import { openSearchThreads } from "../../matcher/threads.js";

describe("search threads", () => {
  it("tell of a death once, and stop although there is nobody left to stop", async () => {
    const deaths: string[] = [];
    let tell = () => {};
    const died = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const threads = openSearchThreads({
      count: 2,
      settings: {
        identity: { workerId: "w", instance: "i" },
        natsUrl: "no address",
        masterKey: new Uint8Array(32),
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
    expect(deaths).toHaveLength(1);
  });
});
