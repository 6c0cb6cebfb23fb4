// One Palmgate process as a child of ours, for the demo, the benches and the system tests.
//
// Invariants:
// - it counts as started when it prints its {"ready":true,...} line, never after a guessed time;
// - a child that ends before that fails the start with the end of its log;
// - every child ends with us: stop() asks it to, and waits; kill() does not ask.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const START_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 15_000;
const LOG_TAIL_CHARS = 2000;

export interface ChildSpec {
  /** For messages, e.g. "matcher-1". */
  name: string;
  /** palmgate's arguments, e.g. ["matcher", "--data-dir", ...]. */
  args: string[];
  /** Secrets go here, not into args, where every user of the machine could read them. */
  env: Record<string, string>;
  logFile: string;
}

export interface Child {
  name: string;
  pid: number;
  /** The ready line's content. */
  ready: Record<string, unknown>;
  logFile: string;
  hasEnded(): boolean;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

/** The compiled command line: we run from dist/ or, under vitest, beside it. */
export const PALMGATE_JS = fileURLToPath(
  import.meta.url.endsWith(".ts")
    ? new URL("../../dist/cli/palmgate.js", import.meta.url)
    : new URL("../palmgate.js", import.meta.url),
);

/** Runs `palmgate <args>` to its end. @throws Error with the end of its log when it fails */
export async function runChild({ name, args, env, logFile }: ChildSpec): Promise<void> {
  const logFd = openSync(logFile, "a");
  const child = spawn(process.execPath, [PALMGATE_JS, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", logFd],
  });
  closeSync(logFd);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${name} failed (${code}). The end of its log:\n${await logTail(logFile)}`);
}

/** Starts `palmgate <args>` and resolves with its ready line. */
export async function startChild({ name, args, env, logFile }: ChildSpec): Promise<Child> {
  // Its log is its own affair: a disk that fills up, or our end, must not reach it through a pipe of ours.
  const logFd = openSync(logFile, "a");
  const child = spawn(process.execPath, [PALMGATE_JS, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", logFd],
  });
  closeSync(logFd);
  const ready = await Promise.race([
    readyLine(child),
    ended(child, name, logFile),
    tooLate(name, logFile),
  ]).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  child.stdout?.resume();
  return {
    name,
    pid: child.pid ?? 0,
    ready,
    logFile,
    hasEnded: () => hasEnded(child),
    stop: () => end(child, "SIGTERM"),
    kill: () => end(child, "SIGKILL"),
  };
}

async function readyLine(child: ChildProcess): Promise<Record<string, unknown>> {
  if (!child.stdout) throw new Error("child has no stdout");
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"ready":true')) continue;
    return JSON.parse(line) as Record<string, unknown>;
  }
  return new Promise(() => {}); // stdout closed: `ended` tells why
}

async function ended(child: ChildProcess, name: string, logFile: string): Promise<never> {
  const [code, signal] = await once(child, "exit");
  throw new Error(
    `${name} ended at start (${signal ?? code}). The end of its log:\n${await logTail(logFile)}`,
  );
}

async function tooLate(name: string, logFile: string): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, START_DEADLINE_MS).unref());
  throw new Error(
    `${name} was not ready within ${START_DEADLINE_MS} ms. The end of its log:\n${await logTail(logFile)}`,
  );
}

const logTail = async (logFile: string): Promise<string> =>
  (await readFile(logFile, "utf8").catch(() => "")).slice(-LOG_TAIL_CHARS);

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const gone = once(child, "exit");
  child.kill(signal);
  const hard = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
  await gone;
  clearTimeout(hard);
}
