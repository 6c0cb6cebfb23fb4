// A lane's agent as a process of its own, in a sandbox of its own.
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import sharp from "sharp";
import { onTestFinished } from "vitest";
import { PALMGATE_JS } from "../../../cli/stack/child.js";
import { makeDeviceKey } from "../../../edge-agent/device-key.js";

export interface Sandbox {
  dir: string;
  palms: string;
  keyFile: string;
  /** Whatever was made, changed or removed in the sandbox since it was made. */
  touched: string[];
}

/** Everything that a process takes for its own to write to. */
export async function sandbox(): Promise<Sandbox> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-edge-"));
  const palms = join(dir, "palms");
  for (const each of ["cwd", "tmp", "home", "palms/anna"]) mkdirSync(join(dir, each), { recursive: true });
  const grey = { create: { width: 128, height: 128, channels: 3 as const, background: "#707070" } };
  for (const sample of ["1_1", "1_2"]) {
    writeFileSync(join(palms, "anna", `${sample}.png`), await sharp(grey).png().toBuffer());
  }
  const keyFile = join(dir, "device.pem");
  writeFileSync(keyFile, makeDeviceKey().privateKeyPem, { mode: 0o600 });
  const touched: string[] = [];
  const watchers = ["", "cwd", "tmp", "home", "palms", "palms/anna"].map((each) =>
    watch(join(dir, each), (event, name) => touched.push(`${event} ${each}/${name}`)),
  );
  onTestFinished(() => {
    for (const each of watchers) each.close();
    rmSync(dir, { recursive: true });
  });
  return { dir, palms, keyFile, touched };
}

export interface EdgeProcess {
  /** The next line on stdout. */
  text(): Promise<string>;
  /** The same as an object. */
  line(): Promise<Record<string, unknown>>;
  stop(): void;
  signal(name: NodeJS.Signals): void;
  exit: Promise<number | null>;
  stderr: () => string;
  /** Resolves once the log holds this text. */
  logged(text: string): Promise<void>;
}

/**
 * @param nodeArgs for the Node that runs it
 * @param limit a command of the shell that limits what the process may do
 */
export function startEdge(
  { dir }: Sandbox,
  args: string[],
  nodeArgs: string[] = [],
  limit = ":",
): EdgeProcess {
  const line = [process.execPath, ...nodeArgs, PALMGATE_JS, "edge", ...args];
  const child = spawn("bash", ["-c", `${limit}; exec "$@"`, "bash", ...line], {
    cwd: join(dir, "cwd"),
    env: { PATH: process.env.PATH, TMPDIR: join(dir, "tmp"), HOME: join(dir, "home") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = "";
  const logEvents = new EventEmitter();
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
    logEvents.emit("grown");
  });
  const exit = once(child, "exit").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const text = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the agent ended. Its log:\n${stderr}`);
    return value;
  };
  return {
    text,
    line: async () => JSON.parse(await text()) as Record<string, unknown>,
    stop: () => child.kill("SIGTERM"),
    signal: (name) => child.kill(name),
    exit,
    stderr: () => stderr,
    logged: async (text) => {
      while (!stderr.includes(text)) await once(logEvents, "grown");
    },
  };
}

export const laneArgs = ({ palms, keyFile }: Sandbox, gateway: string): string[] => [
  ...["--gateway", gateway, "--device-id", "lane-1", "--device-key", keyFile],
  ...["--source", palms, "--interval-ms", "0", "--json"],
];
