// Runs a nats-server of our own for the demo, the benches and the tests; operators run theirs with ops/nats/.
//
// Invariants:
// - it listens on the loopback address only, with a password made for this run;
// - JetStream stores under `storeDir` without its at-rest encryption, which would turn secure deletes into mere ones
//   (ops/nats/nats-server.conf says more);
// - stop() ends it gently, kill() as a power cut would; both resolve when the process is gone.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { childEnv } from "./child-env.js";
import { isNewEnough, LEAST_NATS_VERSION } from "./nats-version.js";

const START_DEADLINE_MS = 10_000;
/** A port that takes a connection and says nothing is asked again after this. */
const GREETING_DEADLINE_MS = 1000;

export interface LocalNats {
  /** nats://user:password@127.0.0.1:port, as every process takes it. */
  url: string;
  port: number;
  /** http://127.0.0.1:port of its monitoring: /varz, /jsz, .. */
  monitorUrl: string;
  /** The server's log, for error messages. */
  logFile: string;
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again on the same port and store after stop() or kill(). */
  restart(): Promise<void>;
}

/** The nats-server to run: $NATS_SERVER, the one that set-up installed, or the one on PATH; the first new enough one. */
export function findNatsServer(): { path: string; version: string } {
  const root = fileURLToPath(new URL("..", import.meta.url)).replace(/dist\/$/, "");
  const installed = join(root, ".palmgate", "bin", "nats-server");
  for (const path of [process.env.NATS_SERVER, installed, "nats-server", "/usr/sbin/nats-server"]) {
    const version = path ? versionOf(path) : undefined;
    if (path && version !== undefined && isNewEnough(version)) return { path, version };
  }
  throw new Error(
    `nats-server ${LEAST_NATS_VERSION.join(".")} or later was not found. Run 'node scripts/setup.mjs', or set ` +
      "NATS_SERVER to its path.",
  );
}

/** As it says itself, e.g. "2.15.1"; undefined when it does not run. */
function versionOf(path: string): string | undefined {
  const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
  return status === 0 ? /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] : undefined;
}

/**
 * Starts a server on a free port with its store in `storeDir` (new for each server) and resolves once it answers.
 * @param options.maxStoreBytes quota of all streams; left out: as the server decides by the disk
 */
export async function startLocalNats(
  storeDir: string,
  { maxStoreBytes }: { maxStoreBytes?: number } = {},
): Promise<LocalNats> {
  const { path: binary } = findNatsServer();
  const port = await freePort();
  const monitorPort = await freePort();
  const password = randomBytes(16).toString("hex");
  const logFile = join(storeDir, "nats-server.log");
  const configFile = join(storeDir, "nats-server.conf");
  mkdirSync(storeDir, { recursive: true });
  const config = localConfig({ port, monitorPort, password, storeDir, maxStoreBytes });
  writeFileSync(configFile, config, { mode: 0o600 });
  let child = await launch(binary, configFile, logFile, port);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  };
  return {
    url: `nats://palmgate:${password}@127.0.0.1:${port}`,
    port,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    logFile,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    restart: async () => {
      child = await launch(binary, configFile, logFile, port);
    },
  };
}

interface LocalConfig {
  port: number;
  monitorPort: number;
  password: string;
  storeDir: string;
  maxStoreBytes: number | undefined;
}

function localConfig(config: LocalConfig): string {
  const { port, monitorPort, password, storeDir, maxStoreBytes } = config;
  const quota = maxStoreBytes === undefined ? "" : `\n  max_file_store: ${maxStoreBytes}`;
  return `listen: "127.0.0.1:${port}"
http: "127.0.0.1:${monitorPort}"
authorization { user: palmgate, password: "${password}" }
jetstream {
  store_dir: "${storeDir}"
  sync_interval: always${quota}
}
`;
}

async function launch(
  binary: string,
  configFile: string,
  logFile: string,
  port: number,
): Promise<ChildProcess> {
  const child = spawn(binary, ["-c", configFile, "-l", logFile], {
    env: childEnv(),
    stdio: "ignore",
  });
  const failed = once(child, "exit").then(() => {
    throw new Error(`nats-server ended at start; its log says why: ${logFile}`);
  });
  failed.catch(() => {});
  try {
    await Promise.race([failed, answers(port)]);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return child;
}

/** Resolves when the port greets with NATS's INFO line. */
async function answers(port: number): Promise<void> {
  const deadlineAt = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadlineAt) {
    const socket = connect(port, "127.0.0.1");
    const greeted = await new Promise<boolean>((resolve) => {
      socket.setTimeout(GREETING_DEADLINE_MS, () => resolve(false));
      socket.once("data", (chunk) => resolve(chunk.toString().startsWith("INFO")));
      socket.once("error", () => setTimeout(() => resolve(false), 20));
    });
    socket.destroy();
    if (greeted) return;
  }
  throw new Error(`nats-server did not answer on port ${port} within ${START_DEADLINE_MS} ms`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port on 127.0.0.1");
  return address.port;
}
