// `palmgate gateway` as a process of its own: what it needs to start, what it says when it is not ready, what it serves.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Child, PALMGATE_JS, startChild } from "../../cli/stack/child.js";
import { directoryKey } from "../../wire/directory.js";
import { type GatewayState, watchGateways } from "../../wire/gateways.js";
import { toHex } from "../../wire/hex.js";
import { STREAMS } from "../../wire/subjects.js";
import { openRig, type Rig } from "../identify/support/rig.js";

const START_MS = 2000;

let rig: Rig;
let dir: string;
const children: Child[] = [];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-gateway-"));
  rig = await openRig({ rows: 1, slots: 1 });
});
afterEach(async () => {
  for (const child of children.splice(0)) await child.stop();
  await rig.noWorkers();
});
afterAll(async () => {
  await rig.close();
  rmSync(dir, { recursive: true, force: true });
});

async function start(args: string[] = []): Promise<Child> {
  const child = await startChild({
    name: "gateway",
    args: [
      "gateway",
      "--host",
      "127.0.0.1",
      "--port",
      "0",
      "--ops-port",
      "0",
      "--signer-threads",
      "1",
      ...args,
    ],
    env: { PALMGATE_NATS_URL: rig.server.url, PALMGATE_MASTER_KEY: toHex(rig.masterKey) },
    logFile: join(dir, "gateway.log"),
  });
  children.push(child);
  return child;
}

const worker = () => rig.worker({ id: "w0", row: 0, slot: 0, slots: 1 });
const get = (port: unknown, path: string, init?: RequestInit) =>
  fetch(`http://127.0.0.1:${port}${path}`, init);
const readiness = async (child: Child) => (await get(child.ready.opsPort, "/readyz")).text();

describe("a gateway", () => {
  it("is ready within two seconds of its start", async () => {
    await worker();
    // A machine that is busy with other tests loads any process more slowly: by so much more may this one take.
    const reference = performance.now();
    spawnSync(process.execPath, ["--input-type=module", "-e", "await import('onnxruntime-node')"]);
    const busyMs = performance.now() - reference;
    const fromMs = performance.now();
    const child = await start();
    await expect.poll(() => readiness(child), { timeout: 20_000, interval: 20 }).toBe("ready\n");
    expect(performance.now() - fromMs).toBeLessThan(START_MS + 8 * busyMs);
  });

  it("follows no stream: its start and its memory do not depend on how many members, keys and decisions there are", async () => {
    await start();
    const manager = await jetstreamManager(rig.nats);
    for (const stream of Object.values(STREAMS)) {
      expect([stream, (await manager.streams.info(stream)).state.consumer_count]).toEqual([stream, 0]);
    }
  });

  it("is not ready, and says why, while shards are served by nobody, and when nats-server is gone", async () => {
    const child = await start();
    expect(await readiness(child)).toBe("not ready: 0 of 256 shards are served\n");
    await worker();
    await expect.poll(() => readiness(child), { timeout: 5000 }).toBe("ready\n");
    await rig.server.kill();
    await expect.poll(() => readiness(child), { timeout: 10_000 }).toContain("nats-server is not reached");
    await rig.server.restart();
    await expect.poll(() => readiness(child), { timeout: 20_000 }).toBe("ready\n");
  });

  it("is not ready when no gallery is of its model", async () => {
    await worker();
    const key = directoryKey.gallery("acme", "old");
    const facts = { organisation: "acme", name: "old", modelId: "another", dimension: 2, lineMaps: false };
    await rig.directory.create(key, facts);
    const child = await start();
    await expect.poll(() => readiness(child)).toContain("no gallery is of this gateway's model");
    await rig.directory.remove(key);
    await expect.poll(() => readiness(child)).toBe("ready\n");
  });

  it("serves lanes and nothing else: any other path is 404 with a sentence", async () => {
    const child = await start();
    for (const [path, method] of [
      ["/", "GET"],
      ["/api/v1/members", "POST"],
      ["/link", "GET"],
      ["/api/status", "DELETE"],
    ] as const) {
      const response = await get(child.ready.port, path, { method });
      expect([path, response.status]).toEqual([path, 404]);
      expect(await response.text()).toContain("it serves lanes, by WebSocket on /link");
    }
  });

  it("says that it lives, where it listens and what keeps it from being ready; and when it leaves", async () => {
    let heard: GatewayState[] = [];
    const watch = watchGateways(rig.nats, (gateways) => (heard = gateways), rig.log);
    const child = await start(["--gateway-id", "north-1"]);
    await expect
      .poll(() => heard)
      .toMatchObject([
        {
          id: "north-1",
          host: "127.0.0.1",
          port: child.ready.port,
          tls: false,
          lanes: 0,
          transport: "uws-native",
          notReady: ["0 of 256 shards are served"],
        },
      ]);
    await child.stop();
    await expect.poll(() => heard, { timeout: 1500 }).toEqual([]);
    await watch.stop();
  });

  it("refuses to start on the JavaScript fallback of uWebSockets.js, with one clear line", () => {
    // The package looks for its binary and falls back in silence when it does not load: here it never loads.
    const hook = join(dir, "no-binary.cjs");
    writeFileSync(
      hook,
      `const load = process.dlopen;
process.dlopen = (module, file, ...more) => {
  if (/uws/.test(file)) throw new Error("no binary");
  return load.call(process, module, file, ...more);
};`,
    );
    const { status, stderr } = spawnSync(process.execPath, ["--require", hook, PALMGATE_JS, "gateway"], {
      env: { ...process.env, PALMGATE_NATS_URL: rig.server.url, PALMGATE_MASTER_KEY: toHex(rig.masterKey) },
      encoding: "utf8",
      timeout: 30_000,
    });
    expect(status).not.toBe(0);
    const said = stderr
      .trim()
      .split("\n")
      .filter((line) => line.includes("uWebSockets.js has no binary"));
    expect(said).toHaveLength(1);
  });
});
