// A whole Palmgate on this machine: nats-server, one gateway, some matchers, each a process of its own.
// The demo, the benches and the system tests all start it here, so that they run what an operator runs.
//
// Invariants:
// - everything it writes lies under `dir`;
// - close() ends every process it started, also after a failed start.

import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";
import { type Child, startChild } from "./child.js";

export interface StackDevice {
  id: string;
  site: string;
  purpose: "ENTRY" | "PAY";
}

export interface StackOptions {
  /** An empty directory. */
  dir: string;
  matchers: number;
  partitions: number;
  replicas: number;
  devices: StackDevice[];
  /** Public port of the gateway; 0 picks a free one. */
  port?: number;
  /** Extra gateway arguments, e.g. ["--live-page", "open"]. */
  gatewayArgs?: string[];
  matcherArgs?: string[];
  /** Where a process of that name logs; left out: in `dir`. */
  logFileOf?: (name: string) => string;
  onProgress?: (text: string) => void;
}

export interface Stack {
  nats: LocalNats;
  gateway(): Child;
  matchers: ReadonlyMap<string, Child>;
  /** http://127.0.0.1:port (https with TLS). */
  gatewayUrl: string;
  gatewayOpsUrl(): string;
  operatorToken: string;
  /** PEM file with the private key of a device. */
  deviceKeyFile(id: string): string;
  siteFile: string;
  restartGateway(): Promise<void>;
  startMatcher(workerId: string): Promise<void>;
  close(): Promise<void>;
}

export const GALLERY = "members";
const MASTER_KEY_BYTES = 32;
/** Of the demo's and the tests' policy: one stranger in a thousand presentations. */
const TARGET_FPIR = 1e-3;

/** Starts everything and resolves when every process listens (partitions may still be catching up: see waitReady). */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, onProgress = () => {}, logFileOf = (name) => join(dir, `${name}.log`) } = options;
  await mkdir(dir, { recursive: true });
  const operatorToken = randomBytes(24).toString("base64url");
  const keyFiles = new Map<string, string>();
  const siteFile = join(dir, "site.json");
  await writeFile(siteFile, JSON.stringify(await siteContent(options, keyFiles), null, 2));

  const matchers = new Map<string, Child>();
  let gateway: Child | undefined;
  let nats: LocalNats | undefined;
  const close = async () => {
    await gateway?.stop();
    await Promise.all([...matchers.values()].map((child) => child.stop()));
    await nats?.stop();
  };
  try {
    onProgress("starting nats-server");
    nats = await startLocalNats(join(dir, "nats"));
    const env = {
      PALMGATE_NATS_URL: nats.url,
      PALMGATE_OPERATOR_TOKEN: operatorToken,
      PALMGATE_MASTER_KEY: randomBytes(MASTER_KEY_BYTES).toString("hex"),
    };
    const startGateway = (port: number) =>
      startChild({
        name: "gateway",
        args: [
          "gateway",
          ...[
            "--port",
            String(port),
            "--ops-port",
            "0",
            "--data-dir",
            join(dir, "gateway"),
            "--site-file",
            siteFile,
          ],
          ...(options.gatewayArgs ?? []),
        ],
        env,
        logFile: logFileOf("gateway"),
      });
    const startMatcher = async (workerId: string) => {
      const child = await startChild({
        name: workerId,
        args: [
          "matcher",
          ...["--worker-id", workerId, "--ops-port", "0", "--data-dir", join(dir, workerId)],
          ...(options.matcherArgs ?? []),
        ],
        env,
        logFile: logFileOf(workerId),
      });
      matchers.set(workerId, child);
    };
    onProgress("starting the gateway");
    gateway = await startGateway(options.port ?? 0);
    const port = Number(gateway.ready.port);
    onProgress(`starting ${options.matchers} matchers`);
    const starts = Array.from({ length: options.matchers }, (_, i) => startMatcher(`matcher-${i + 1}`));
    // All of them: one that is still starting when another fails would be out of close()'s sight.
    for (const start of await Promise.allSettled(starts)) {
      if (start.status === "rejected") throw start.reason;
    }
    const started = gateway;
    const tls = options.gatewayArgs?.includes("--tls-cert") ?? false;
    const stack: Stack = {
      nats,
      gateway: () => gateway ?? started,
      matchers,
      gatewayUrl: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
      gatewayOpsUrl: () => `http://127.0.0.1:${Number((gateway ?? started).ready.opsPort)}`,
      operatorToken,
      deviceKeyFile: (id) => {
        const file = keyFiles.get(id);
        if (!file) throw new Error(`no device '${id}' in this stack`);
        return file;
      },
      siteFile,
      restartGateway: async () => {
        gateway = await startGateway(port);
      },
      startMatcher,
      close,
    };
    return stack;
  } catch (error) {
    await close();
    throw error;
  }
}

async function siteContent(options: StackOptions, keyFiles: Map<string, string>): Promise<object> {
  const devices = [];
  for (const { id, site, purpose } of options.devices) {
    const { privateKeyPem, publicKeyBase64 } = makeDeviceKey();
    const file = join(options.dir, `${id}.key.pem`);
    await writeFile(file, privateKeyPem, { mode: 0o600 });
    keyFiles.set(id, file);
    devices.push({ id, publicKey: publicKeyBase64, site, purpose, gallery: GALLERY });
  }
  return {
    galleries: [{ name: GALLERY, partitions: options.partitions, replicas: options.replicas }],
    sites: [...new Set(options.devices.map(({ site }) => site))].map((name) => ({ name })),
    devices,
    policy: { ENTRY: { targetFpir: TARGET_FPIR }, PAY: { targetFpir: TARGET_FPIR } },
  };
}

const READY_POLL_MS = 100;

/**
 * Waits until the gateway says it is ready: every partition is held and its views have caught up.
 * @throws when `deadlineMs` passes, with what was missing last
 */
export async function waitReady(
  stack: Stack,
  deadlineMs: number,
  onProgress?: (text: string) => void,
): Promise<void> {
  const deadlineAt = Date.now() + deadlineMs;
  let missing = "no answer yet";
  while (Date.now() < deadlineAt) {
    const answer = await fetch(`${stack.gatewayOpsUrl()}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    missing = (await answer?.text())?.trim() ?? missing;
    onProgress?.(missing);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  throw new Error(`the gateway was not ready within ${deadlineMs} ms: ${missing}`);
}
