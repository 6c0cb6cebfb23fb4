import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openLog } from "../../wire/log.js";
import { connectNats } from "../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";

describe("local nats-server", () => {
  let server: LocalNats | undefined;
  const dir = mkdtempSync(join(tmpdir(), "palmgate-nats-"));
  afterEach(async () => {
    await server?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it("takes our connection back after a power cut", async () => {
    server = await startLocalNats(dir);
    const connection = await connectNats({ url: server.url, name: "test", log: openLog("test") });
    const back = (async () => {
      for await (const status of connection.status()) if (status.type === "reconnect") return true;
      return false;
    })();
    await server.kill();
    await server.restart();
    expect(await back).toBe(true);
    await connection.close();
  });
});
