// One command of the operator's, as a process group of its own, so that an end reaches what it has started, too.
//
// Invariants:
// - end() leaves nothing of the group behind: it asks (SIGTERM), waits END_GRACE_MS, and then does not ask (SIGKILL);
// - endNow() is for the moment in which our own process ends: it blocks, for LAST_GRACE_MS at most.
// What makes itself a session of its own (setsid, a daemon) is out of reach.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { childEnv } from "../../wire/child-env.js";
import { report, STDERR } from "../../wire/report.js";

const END_GRACE_MS = 1000;
const LAST_GRACE_MS = 200;
const POLL_MS = 20;

export type CommandEnd =
  | { kind: "ended"; code: number | null; signal: string | null }
  | { kind: "failed"; why: string };

export interface Command {
  readonly ended: Promise<CommandEnd>;
  /** Something of it still runs. */
  isAlive(): boolean;
  /** @returns whether the command itself had to be killed: it may have left things half done */
  end(): Promise<{ killed: boolean }>;
  endNow(): void;
}

/** @param line as the operator would type it at a prompt; what comes from elsewhere goes into `variables` */
export function startCommand(line: string, variables: Record<string, string>): Command {
  const child = spawn("/bin/sh", ["-c", line], {
    env: childEnv(variables),
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  child.stderr.on("data", (chunk: Buffer) => report(STDERR, chunk.toString()));
  const { pid } = child;
  const ended = new Promise<CommandEnd>((resolve) => {
    child.once("error", (error) => resolve({ kind: "failed", why: `did not start: ${error.message}` }));
    child.once("exit", (code, signal) => resolve({ kind: "ended", code, signal }));
  });
  const signalGroup = (signal: NodeJS.Signals | 0): boolean => pid !== undefined && signalTo(-pid, signal);
  const isAlive = () => signalGroup(0);
  const untilGone = async () => {
    const deadlineAtMs = performance.now() + END_GRACE_MS;
    while (isAlive() && performance.now() < deadlineAtMs) {
      await sleep(POLL_MS);
    }
  };
  return {
    ended,
    isAlive,
    async end() {
      signalGroup("SIGTERM");
      await untilGone();
      const killed = pid !== undefined && child.exitCode === null && child.signalCode === null;
      signalGroup("SIGKILL");
      if (killed) await Promise.race([ended, sleep(END_GRACE_MS)]);
      return { killed };
    },
    endNow: () => {
      signalGroup("SIGTERM");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_GRACE_MS);
      signalGroup("SIGKILL");
    },
  };
}

/** @returns false when nobody is there any more */
function signalTo(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    // EPERM: another user's (sudo), out of our reach, and there.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
