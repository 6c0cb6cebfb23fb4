// A whole Palmgate on this machine: nats-server, gateways behind a balancer, a desk, ledgers, matchers, each a process of
// its own. The demo, the benches, the drills and the system tests all start it here, so that they run what an operator runs.
//
// Invariants:
// - everything it writes lies under `dir`;
// - a process that is started again has the same folder, name and ports as before;
// - close() ends every process it started, also after a failed start.
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDeviceKey } from "../../edge-agent/device-key.js";
import { type LocalNats, startLocalNats } from "../../wire/nats-server.js";
import { type Balancer, openBalancer } from "./balancer.js";
import { type Child, runChild, startChild } from "./child.js";

export interface StackDevice {
  id: string;
  site: string;
  purpose: "ENTRY" | "PAY";
}

export type Role = "gateway" | "matcher" | "ledger" | "desk";

export interface StackOptions {
  /** An empty directory. */
  dir: string;
  devices: StackDevice[];
  gateways?: number;
  desks?: number;
  ledgers?: number;
  /** Replicas of every shard: the matchers are `rows` times `slots`. */
  rows?: number;
  slots?: number;
  /** Public port of the first desk; 0 picks a free one. */
  port?: number;
  /** Extra arguments by role, e.g. { desk: ["--live-page", "open"] }. */
  args?: Partial<Record<Role, string[]>>;
  /** Where a process of that name logs; left out: in `dir`. */
  logFileOf?: (name: string) => string;
  /** Of every site, beside its name. */
  siteSettings?: { reportWithinMs?: number; unreported?: "void" | "capture" };
  /** Wanted false positive identification rate of every purpose. */
  targetFpir?: number;
  onProgress?: (text: string) => void;
}

export interface Stack {
  nats: LocalNats;
  /** As they were started last, by name: "gateway-1", "matcher-2", .. */
  processes: ReadonlyMap<string, Child>;
  of(role: Role): Child[];
  child(name: string): Child;
  /** Starts one again that was killed or stopped, or one more. */
  start(name: string): Promise<Child>;
  /** Starts again whatever was started once and has ended. */
  startMissing(): Promise<void>;
  /** Where pages, the API and /link are: the first desk. http://127.0.0.1:port, https with TLS. */
  deskUrl: string;
  /** Where lanes link: the balancer before all gateways. */
  linkUrl: string;
  opsUrl(name: string): string;
  operatorToken: string;
  /** The environment that every process has: addresses and secrets. */
  env: Readonly<Record<string, string>>;
  /** PEM file with the private key of a device. */
  deviceKeyFile(id: string): string;
  /** What `palmgate apply` was given. */
  applyFile: string;
  close(): Promise<void>;
}

export const ORGANISATION = "demo";
export const GALLERY = "members";
const MASTER_KEY_BYTES = 32;
/** Of the demo's and the tests' policy: one stranger in a thousand presentations. */
const TARGET_FPIR = 1e-3;

/** Starts everything and resolves when every process listens (shards may still be catching up: see waitReady). */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack = new LocalStack(options);
  try {
    await stack.open();
    return stack;
  } catch (error) {
    await stack.close();
    throw error;
  }
}

/** Of a process that listens for others: found out at its first start, kept for every later one. */
interface Ports {
  port: number;
  opsPort: number;
}

class LocalStack implements Stack {
  readonly processes = new Map<string, Child>();
  readonly operatorToken = randomBytes(24).toString("base64url");
  readonly applyFile: string;
  readonly #options: StackOptions;
  readonly #keyFiles = new Map<string, string>();
  readonly #ports = new Map<string, Ports>();
  #env: Record<string, string> = {};
  #nats: LocalNats | undefined;
  #balancer: Balancer | undefined;

  constructor(options: StackOptions) {
    this.#options = options;
    this.applyFile = join(options.dir, "organisations.json");
  }

  get nats(): LocalNats {
    if (this.#nats === undefined) throw new Error("nats-server was not started");
    return this.#nats;
  }

  get env(): Readonly<Record<string, string>> {
    return this.#env;
  }

  get deskUrl(): string {
    return this.#url("desk-1");
  }

  get linkUrl(): string {
    return `${this.#scheme("gateway")}://127.0.0.1:${this.#balancer?.port ?? 0}`;
  }

  of(role: Role): Child[] {
    return [...this.processes.values()].filter(({ name }) => name.startsWith(`${role}-`));
  }

  child(name: string): Child {
    const child = this.processes.get(name);
    if (child === undefined) throw new Error(`no process '${name}' in this stack`);
    return child;
  }

  opsUrl(name: string): string {
    return `http://127.0.0.1:${Number(this.child(name).ready.opsPort)}`;
  }

  deviceKeyFile(id: string): string {
    const file = this.#keyFiles.get(id);
    if (file === undefined) throw new Error(`no device '${id}' in this stack`);
    return file;
  }

  async open(): Promise<void> {
    const {
      dir,
      onProgress = () => {},
      gateways = 1,
      desks = 1,
      ledgers = 1,
      rows = 1,
      slots = 1,
    } = this.#options;
    await mkdir(dir, { recursive: true });
    onProgress("starting nats-server");
    this.#nats = await startLocalNats(join(dir, "nats"));
    this.#env = {
      PALMGATE_NATS_URL: this.#nats.url,
      PALMGATE_OPERATOR_TOKEN: this.operatorToken,
      PALMGATE_MASTER_KEY: randomBytes(MASTER_KEY_BYTES).toString("hex"),
    };
    await this.#apply();
    const counts = { ledger: ledgers, matcher: rows * slots, gateway: gateways, desk: desks };
    onProgress(
      `starting ${Object.entries(counts)
        .map(([role, n]) => `${n} ${role}${n === 1 ? "" : "s"}`)
        .join(", ")}`,
    );
    const names = Object.entries(counts).flatMap(([role, n]) =>
      Array.from({ length: n }, (_, i) => `${role}-${i + 1}`),
    );
    // All of them: one that is still starting when another fails would be out of close()'s sight.
    for (const start of await Promise.allSettled(names.map((name) => this.start(name)))) {
      if (start.status === "rejected") throw start.reason;
    }
    this.#balancer = await openBalancer(() =>
      [...this.#ports].flatMap(([name, { port }]) => (name.startsWith("gateway-") ? [port] : [])),
    );
  }

  async start(name: string): Promise<Child> {
    const child = await startChild({
      name,
      args: this.#argsOf(name),
      env: this.#env,
      logFile: this.#options.logFileOf?.(name) ?? join(this.#options.dir, `${name}.log`),
    });
    const { port = 0, opsPort = 0 } = child.ready;
    this.#ports.set(name, { port: Number(port), opsPort: Number(opsPort) });
    this.processes.set(name, child);
    return child;
  }

  async startMissing(): Promise<void> {
    const missing = [...this.processes.values()].filter(({ hasEnded }) => hasEnded());
    await Promise.all(missing.map(({ name }) => this.start(name)));
  }

  async close(): Promise<void> {
    await this.#balancer?.close();
    // The front first: who stands at a lane hears that it closes.
    for (const role of ["desk", "gateway", "ledger", "matcher"] as const) {
      await Promise.all(this.of(role).map((child) => child.stop()));
    }
    await this.#nats?.stop();
  }

  async #apply(): Promise<void> {
    const content = await organisationsOf(this.#options, this.#keyFiles);
    await writeFile(this.applyFile, JSON.stringify(content, null, 2));
    await runChild({
      name: "apply",
      args: ["apply", this.applyFile, "--yes"],
      env: this.#env,
      logFile: join(this.#options.dir, "apply.log"),
    });
  }

  #argsOf(name: string): string[] {
    const role = roleOf(name);
    const { port, opsPort } = this.#ports.get(name) ?? {
      port: name === "desk-1" ? (this.#options.port ?? 0) : 0,
      opsPort: 0,
    };
    const dataDir = ["--data-dir", join(this.#options.dir, name)];
    const own: Record<Role, string[]> = {
      gateway: ["--gateway-id", name, "--port", String(port)],
      desk: ["--port", String(port)],
      ledger: ["--ledger-id", name, ...dataDir],
      matcher: ["--worker-id", name, ...dataDir],
    };
    return [role, "--ops-port", String(opsPort), ...own[role], ...(this.#options.args?.[role] ?? [])];
  }

  #url(name: string): string {
    return `${this.#scheme(roleOf(name))}://127.0.0.1:${this.#ports.get(name)?.port ?? 0}`;
  }

  #scheme(role: Role): string {
    return this.#options.args?.[role]?.includes("--tls-cert") ? "https" : "http";
  }
}

function roleOf(name: string): Role {
  const [role] = name.split("-");
  if (role === "gateway" || role === "matcher" || role === "ledger" || role === "desk") return role;
  throw new Error(`'${name}' names no process of a stack: gateway-1, matcher-1, ledger-1, desk-1, ..`);
}

async function organisationsOf(options: StackOptions, keyFiles: Map<string, string>): Promise<object> {
  const devices = [];
  for (const { id, site, purpose } of options.devices) {
    const { privateKeyPem, publicKeyBase64 } = makeDeviceKey();
    const file = join(options.dir, `${id}.key.pem`);
    await writeFile(file, privateKeyPem, { mode: 0o600 });
    keyFiles.set(id, file);
    devices.push({ id, publicKey: publicKeyBase64, site, purpose, gallery: GALLERY });
  }
  const { targetFpir = TARGET_FPIR, siteSettings = {}, rows = 1, slots = 1 } = options;
  const sites = [...new Set(options.devices.map(({ site }) => site))].map((name) => ({
    name,
    ...siteSettings,
  }));
  const policy = { ENTRY: { targetFpir }, PAY: { targetFpir } };
  return {
    fleet: { rows, slots },
    organisations: [{ name: ORGANISATION, galleries: [{ name: GALLERY }], sites, devices, policy }],
  };
}

const READY_POLL_MS = 100;

/**
 * Waits until every gateway, desk and ledger says that it is ready: every shard is served, and all have caught up.
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
    const asked = [...stack.of("gateway"), ...stack.of("desk"), ...stack.of("ledger")];
    const answers = await Promise.all(asked.map(({ name }) => readiness(stack, name)));
    const wanting = answers.find((each) => each !== undefined);
    if (wanting === undefined) return;
    missing = wanting;
    onProgress?.(missing);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  throw new Error(`not ready within ${deadlineMs} ms: ${missing}`);
}

/** @returns what is missing; undefined: it is ready */
async function readiness(stack: Stack, name: string): Promise<string | undefined> {
  const answer = await fetch(`${stack.opsUrl(name)}/readyz`).catch(() => undefined);
  if (answer?.ok) return undefined;
  return `${name}: ${(await answer?.text())?.trim() ?? "no answer"}`;
}
