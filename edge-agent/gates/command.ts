// A gate that runs the operator's command: a relay, a GPIO pin, a till.
//
// Invariants:
// - the command line is the operator's own, from the settings; what comes from the gateway reaches the command only as
//   environment variables that match their patterns, never as part of a line that a shell reads;
// - it counts as open when the command ends with 0 within commandDeadlineMs; after that the command is killed, with
//   everything it started.
import { type ChildProcess, spawn } from "node:child_process";
import { edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Gate, GateResult } from "../gate.js";

const COMMAND_DEADLINE_MS = 2000;
const PAIRWISE_ID = /^[a-z2-7]{16}$/;
const DISPLAY_KEY = /^[a-z0-9_.]{1,64}$/;
const CURRENCY = /^[A-Z]{3}$/;

export interface CommandGateOptions {
  /** As the operator would type it at a prompt. */
  command: string;
  deviceId: string;
  commandDeadlineMs?: number;
}

export function commandGate({ command, deviceId, commandDeadlineMs }: CommandGateOptions): Gate {
  return {
    open: (decision) =>
      run(command, { ...variablesOf(decision), PALMGATE_DEVICE_ID: deviceId }, commandDeadlineMs),
  };
}

/** What a command learns about the Decision. Text that is not of its pattern is left out. */
export function variablesOf(decision: edge.Decision.$Properties): Record<string, string> {
  const only = (pattern: RegExp, text: string | null | undefined) => (text && pattern.test(text) ? text : "");
  const { payment } = decision;
  return {
    PALMGATE_OUTCOME: edge.Outcome[decision.outcome ?? 0] ?? "",
    PALMGATE_REASON: edge.Reason[decision.reason ?? 0] ?? "",
    PALMGATE_DISPLAY_KEY: only(DISPLAY_KEY, decision.displayKey),
    PALMGATE_PAIRWISE_ID: only(PAIRWISE_ID, decision.pairwiseId),
    PALMGATE_PRESENTATION: toHex(decision.presentationId ?? new Uint8Array()),
    PALMGATE_AMOUNT_MINOR: payment ? String(payment.amountMinor ?? 0) : "",
    PALMGATE_CURRENCY: only(CURRENCY, payment?.currency),
  };
}

function run(
  command: string,
  variables: Record<string, string>,
  deadlineMs = COMMAND_DEADLINE_MS,
): Promise<GateResult> {
  return new Promise((resolve) => {
    // A process group of its own, so that the deadline reaches what the command has started.
    const child = spawn("/bin/sh", ["-c", command], {
      env: { ...process.env, ...variables },
      stdio: ["ignore", "ignore", "inherit"],
      detached: true,
    });
    const settle = (result: GateResult) => {
      clearTimeout(deadline);
      resolve(result);
    };
    const deadline = setTimeout(() => {
      killGroup(child);
      settle({ ok: false, why: `the command was killed after ${deadlineMs} ms` });
    }, deadlineMs);
    child.once("error", (error) => settle({ ok: false, why: `the command did not start: ${error.message}` }));
    child.once("exit", (code, signal) =>
      settle(code === 0 ? { ok: true } : { ok: false, why: `the command ended with ${signal ?? code}` }),
    );
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    // ESRCH: it ended in this very moment, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
