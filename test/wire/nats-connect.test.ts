// How a process comes to its connection: waiting for a server, and TLS or nothing.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { UsageError } from "../../wire/config.js";
import { Disposer } from "../../wire/disposer.js";
import { connectNats, requireServer } from "../../wire/nats.js";
import { findNatsServer, startLocalNats } from "../../wire/nats-server.js";
import { openBusRig } from "./support/rig.js";

const PASSWORD = "s3cret/#%;@x";

describe("connecting to nats-server", () => {
  let disposer = new Disposer();
  afterEach(async () => {
    await disposer.close();
    disposer = new Disposer();
  });
  const tempDir = () => {
    const dir = mkdtempSync(join(tmpdir(), "palmgate-connect-"));
    disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
  };
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => lines.push(line) });

  /** A server that says this INFO and notes what it is sent. */
  async function fakeServer(info: Record<string, unknown>) {
    const heard: string[] = [];
    const server = createServer((socket) => {
      const all = { server_id: "x", proto: 1, max_payload: 1_048_576, headers: true, ...info };
      socket.write(`INFO ${JSON.stringify(all)}\r\n`);
      socket.on("data", (chunk) => heard.push(chunk.toString("latin1")));
      socket.on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    disposer.defer(() => {
      server.close();
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return { port: address.port, heard };
  }

  it("waits for a server that comes later, and says for whom, without the password", async () => {
    lines.length = 0;
    const server = await startLocalNats(tempDir());
    disposer.defer(() => server.stop());
    await server.stop();
    const connecting = connectNats({ url: server.url, name: "t", log });
    await expect
      .poll(() => lines.join(), { timeout: 10_000 })
      .toContain(`waiting for nats-server at 127.0.0.1:${server.port}`);
    await server.restart();
    const nc = await connecting;
    disposer.defer(() => nc.close());
    await nc.flush();
    expect(lines.join()).not.toContain(/:([0-9a-f]{32})@/.exec(server.url)?.[1]);
  });

  it.each([{}, { tls_required: false, tls_available: false }])(
    "sends nothing to a server that does not offer the TLS that tls:// asks for: %j",
    async (offer) => {
      const { port, heard } = await fakeServer({ version: "2.15.1", ...offer });
      const connecting = connectNats({ url: `tls://u:${PASSWORD}@127.0.0.1:${port}`, name: "t", log });
      await expect(connecting).rejects.toThrow(UsageError);
      await expect(connecting).rejects.toThrow(/does not offer TLS/);
      expect(heard).toEqual([]);
    },
  );

  it("speaks TLS where tls:// asks for it, with authorities that the system trusts, and not with others", async () => {
    const dir = tempDir();
    certificates(dir);
    const port = await freePort();
    writeFileSync(
      join(dir, "nats.conf"),
      `listen: "127.0.0.1:${port}"
authorization { user: u, password: ${JSON.stringify(PASSWORD)} }
tls { cert_file: "${join(dir, "server.pem")}", key_file: "${join(dir, "server.key")}" }\n`,
    );
    const server = spawn(findNatsServer().path, ["-c", join(dir, "nats.conf")], { stdio: "ignore" });
    disposer.defer(() => {
      server.kill("SIGKILL");
    });
    const url = `tls://u:${PASSWORD}@127.0.0.1:${port}`;
    const trusting = await connectIn(url, { NODE_EXTRA_CA_CERTS: join(dir, "ca.pem") });
    expect(trusting).toContain("encrypted true");
    const stranger = await connectIn(url, {});
    expect(stranger).toMatch(/waiting for nats-server at 127\.0\.0\.1:\d+/);
    for (const said of [trusting, stranger]) expect(said).not.toContain(PASSWORD);
  });

  it("refuses a server that is too old in one line, and takes one that is not", async () => {
    const { port } = await fakeServer({ version: "2.10.29" });
    const old = { info: { version: "2.10.29" } } as Parameters<typeof requireServer>[0];
    expect(() => requireServer(old)).toThrow(UsageError);
    expect(() => requireServer(old)).toThrow(
      /^nats-server 2\.10\.29 is too old: Palmgate needs 2\.11 or later/,
    );
    expect(port).toBeGreaterThan(0);
    const rig = await openBusRig();
    disposer.defer(() => rig.close());
    expect(() => requireServer(rig.nc)).not.toThrow();
  });
});

/** Connects in a process of its own, and gives what it says within some seconds. */
async function connectIn(url: string, env: Record<string, string>): Promise<string> {
  const script = `
    const { connectNats } = await import("./wire/nats.ts");
    const { openLog } = await import("./wire/log.ts");
    setTimeout(() => process.exit(), 6000);
    const nc = await connectNats({ url: process.env.TEST_URL, name: "t", log: openLog("t") });
    console.log("encrypted", nc.protocol.transport.isEncrypted());
    process.exit();`;
  const root = new URL("../..", import.meta.url).pathname;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    cwd: root,
    env: { PATH: process.env.PATH, TEST_URL: url, PALMGATE_LOG: "info", ...env },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += String(chunk)));
  await once(child, "exit");
  return said;
}

/** An authority of our own and a certificate of it for 127.0.0.1, by openssl. */
function certificates(dir: string): void {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "ignore" });
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  openssl("req", "-x509", ...fresh, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority");
  openssl("req", ...fresh.slice(0, 5), "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=bus");
  writeFileSync(join(dir, "ext"), "subjectAltName=IP:127.0.0.1\n");
  openssl(
    ..."x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem".split(
      " ",
    ),
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
