// The nats-server.conf that operators get: accepted as it is, with any password, and good for the record.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { openEventLog } from "../../records/index.js";
import { childEnv } from "../../wire/child-env.js";
import { Disposer } from "../../wire/disposer.js";
import { connectNats } from "../../wire/nats.js";
import { findNatsServer } from "../../wire/nats-server.js";
import { read } from "./ops-files.js";

const CONF = "ops/nats/nats-server.conf";
/** How both the file and README.md say that the password is given. */
const START_LINE = `PALMGATE_NATS_PASSWORD="'PASSWORD'" nats-server -c `;

describe("nats-server.conf", () => {
  let disposer = new Disposer();
  afterEach(async () => {
    await disposer.close();
    disposer = new Disposer();
  });

  /** Started as START_LINE says, on a port and in a folder of its own. */
  async function startWith(password: string): Promise<number> {
    const folder = mkdtempSync(join(tmpdir(), "palmgate-nats-conf-"));
    disposer.defer(() => rmSync(folder, { recursive: true, force: true }));
    const port = await freePort();
    const conf = read(CONF)
      .replace('"127.0.0.1:4222"', `"127.0.0.1:${port}"`)
      .replace('"/var/lib/palmgate/nats"', JSON.stringify(join(folder, "store")));
    const file = join(folder, "nats-server.conf");
    writeFileSync(file, conf);
    const env = childEnv({ PALMGATE_NATS_PASSWORD: `'${password}'` });
    const server = spawn(findNatsServer().path, ["-c", file], { env, stdio: "ignore" });
    const gone = once(server, "exit");
    disposer.defer(async () => {
      server.kill("SIGTERM");
      await gone;
    });
    return port;
  }

  const connected = async (port: number, password: string) => {
    const url = `nats://palmgate:${password}@127.0.0.1:${port}`;
    const nc = await connectNats({ url, name: "test", log: pino({ level: "silent" }) });
    disposer.defer(() => nc.close());
    return nc;
  };

  it.each(["12e34", "123456", "0x12", "p;q", "a#b", "$HOME", '{"x"}', "true", "10MB", "it is // long"])(
    "lets Palmgate in with the password %s",
    { timeout: 30_000 },
    async (password) => {
      const nc = await connected(await startWith(password), password);
      expect(nc.isClosed()).toBe(false);
    },
  );

  it("has room for every stream of the record, and keeps what it acknowledges", {
    timeout: 60_000,
  }, async () => {
    const nc = await connected(await startWith("secret"), "secret");
    const log = await openEventLog(nc);
    await expect(log.lastSequence("MEMBERS")).resolves.toBe(0);
  });

  it("says how it is started, and README.md says the same", () => {
    for (const file of [CONF, "README.md"]) expect(read(file), file).toContain(START_LINE);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port on 127.0.0.1");
  return address.port;
}
