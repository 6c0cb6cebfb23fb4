// A gate that runs the operator's commands: a relay, a GPIO pin, a till. One pulse: on, hold, off.
//
// Invariants:
// - what was switched on is switched off: holdMs after it opened, at once when the lane ends, and as far as a process
//   can when it crashes. What a killed agent (SIGKILL, a power cut) left open is shut at the next start: recover();
// - the gate counts as open when on-open ends with 0, or is still running at the end of the hold, and off went well:
//   on-close ended with 0 within closeDeadlineMs, and nothing had to be killed. Else it has failed, and says why;
// - the command lines are the operator's own, from the settings; what comes from the gateway reaches them only as
//   environment variables that match their patterns, never as part of a line that a shell reads;
// - nothing that on-open started outlives the pulse.
import { spawnSync } from "node:child_process";
import { childEnv } from "../../wire/child-env.js";
import { edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import type { Gate, GateResult } from "../gate.js";
import { type Command, startCommand } from "./process-group.js";

export const DEFAULT_HOLD_MS = 3000;
/** A report of the passage is taken for half a minute. */
export const MAX_HOLD_MS = 20_000;
const CLOSE_DEADLINE_MS = 2000;
const PAIRWISE_ID = /^[a-z2-7]{16}$/;
const DISPLAY_KEY = /^[a-z0-9_.]{1,64}$/;
const CURRENCY = /^[A-Z]{3}$/;

export interface CommandGateOptions {
  /** Opens the gate. As the operator would type it at a prompt. */
  onOpen: string;
  /** Shuts it again; left out: the end of what on-open runs does. */
  onClose?: string | undefined;
  deviceId: string;
  holdMs?: number;
  closeDeadlineMs?: number;
}

export interface CommandGate extends Gate {
  shut(): Promise<void>;
  /** Shuts what an agent that was killed may have left open. */
  recover(): Promise<GateResult>;
}

export function commandGate(options: CommandGateOptions): CommandGate {
  return new Pulses(options);
}

class Pulses implements CommandGate {
  readonly #options: CommandGateOptions;
  readonly #cut = new AbortController();
  #pulse: Promise<GateResult> | undefined;

  constructor(options: CommandGateOptions) {
    this.#options = options;
  }

  async open(decision: edge.Decision.$Properties): Promise<GateResult> {
    if (this.#cut.signal.aborted) return { ok: false, why: "the lane is ending" };
    if (this.#pulse) return { ok: false, why: "the gate is moving" };
    this.#pulse = this.#run({ ...variablesOf(decision), PALMGATE_DEVICE_ID: this.#options.deviceId });
    try {
      return await this.#pulse;
    } finally {
      this.#pulse = undefined;
    }
  }

  async shut(): Promise<void> {
    this.#cut.abort();
    await this.#pulse;
  }

  async recover(): Promise<GateResult> {
    return (await this.#close({ PALMGATE_DEVICE_ID: this.#options.deviceId })) ?? { ok: true };
  }

  async #run(variables: Record<string, string>): Promise<GateResult> {
    const { onOpen, onClose } = this.#options;
    const startedAtMs = performance.now();
    const command = startCommand(onOpen, { ...variables, PALMGATE_GATE: "open" });
    const crashed = () => {
      command.endNow();
      if (onClose !== undefined) closeNow(onClose, variables);
    };
    process.on("exit", crashed);
    try {
      const opened = await this.#hold(command, startedAtMs);
      const { killed } = await command.end();
      const closed = await this.#close(variables);
      if (opened !== undefined) return opened;
      if (killed) return { ok: false, why: "on-open did not end when its hold was over, and was killed" };
      return closed ?? { ok: true };
    } finally {
      process.off("exit", crashed);
    }
  }

  /** Until the gate is to be shut. @returns why it did not open; undefined: it did */
  async #hold(command: Command, startedAtMs: number): Promise<GateResult | undefined> {
    const { holdMs = DEFAULT_HOLD_MS, onClose } = this.#options;
    const over = new AbortController();
    const end = await Promise.race([command.ended, this.#rest(holdMs, over.signal)]);
    over.abort();
    if (end === undefined) return undefined;
    if (end.kind === "failed") return { ok: false, why: `on-open ${end.why}` };
    if (end.code !== 0) return { ok: false, why: `on-open ended with ${end.signal ?? end.code}` };
    const leftMs = holdMs - (performance.now() - startedAtMs);
    // Nothing to switch off: the command was the whole pulse.
    if (onClose !== undefined || command.isAlive()) await this.#rest(leftMs, undefined);
    return undefined;
  }

  /** Ends early when the lane does. */
  #rest(ms: number, over: AbortSignal | undefined): Promise<undefined> {
    const signals = over ? [over, this.#cut.signal] : [this.#cut.signal];
    const signal = AbortSignal.any(signals);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve(undefined);
      };
      const timer = setTimeout(done, ms);
      if (signal.aborted) done();
      else signal.addEventListener("abort", done);
    });
  }

  /** @returns why the gate may still be open; undefined: it is shut, or there is no command for that */
  async #close(variables: Record<string, string>): Promise<GateResult | undefined> {
    const { onClose, closeDeadlineMs = CLOSE_DEADLINE_MS } = this.#options;
    if (onClose === undefined) return undefined;
    const command = startCommand(onClose, { ...variables, PALMGATE_GATE: "close" });
    let late: NodeJS.Timeout | undefined;
    const end = await Promise.race([
      command.ended,
      new Promise<undefined>((resolve) => {
        late = setTimeout(() => resolve(undefined), closeDeadlineMs);
      }),
    ]);
    clearTimeout(late);
    await command.end();
    if (end === undefined) return mayBeOpen(`was ended after ${closeDeadlineMs} ms`);
    if (end.kind === "failed") return mayBeOpen(end.why);
    return end.code === 0 ? undefined : mayBeOpen(`ended with ${end.signal ?? end.code}`);
  }
}

const mayBeOpen = (why: string): GateResult => ({
  ok: false,
  why: `the gate may still be open: on-close ${why}`,
});

/** In the last moment of our own process. */
function closeNow(onClose: string, variables: Record<string, string>): void {
  const env = childEnv({ ...variables, PALMGATE_GATE: "close" });
  spawnSync("/bin/sh", ["-c", onClose], { env, stdio: "ignore", timeout: CLOSE_DEADLINE_MS });
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
