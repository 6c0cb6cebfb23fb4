// One simulated lane of the demo: an edge agent of its own, and people who step up to it one after another.
import { randomUUID } from "node:crypto";
import { type Agent, startAgent } from "../../edge-agent/agent.js";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { edge } from "../../wire/codec.js";
import type { Log } from "../../wire/log.js";
import type { Stack, StackDevice } from "../stack/stack.js";
import type { Person } from "./person.js";
import type { Presented } from "./tally.js";

export interface Passer {
  person: Person;
  /** Site -> pseudonym; undefined for a stranger. */
  pairwiseIds: Record<string, string> | undefined;
}

export interface LaneOptions {
  stack: Stack;
  device: StackDevice;
  log: Log;
  pauseMs: number;
  signal: AbortSignal;
  /** Who steps up for the n-th presentation at this lane. */
  passer: (n: number) => Passer;
  onPresented: (presented: Presented, decision: edge.Decision.$Properties | undefined) => void;
}

const PRICES_MINOR = [350, 1290, 499, 2499];

/** Runs the lane until the signal. */
export async function runLane(options: LaneOptions): Promise<void> {
  const { stack, device, signal, log } = options;
  const key = loadDeviceKey(stack.deviceKeyFile(device.id));
  const agent = await startAgent({ gateway: stack.linkUrl, deviceId: device.id, key, log, signal });
  try {
    for (let n = 0; !signal.aborted; n++) {
      await presentOne(agent, n, options);
      await rest(options.pauseMs, signal);
    }
  } finally {
    await agent.close();
  }
}

async function presentOne(
  agent: Agent,
  n: number,
  { device, passer, onPresented, signal }: LaneOptions,
): Promise<void> {
  const { person, pairwiseIds } = passer(n);
  const palm = await person.presentation(n);
  if (signal.aborted) return;
  const isPay = device.purpose === "PAY";
  const charge = {
    amountMinor: PRICES_MINOR[n % PRICES_MINOR.length] ?? 0,
    currency: "EUR",
    orderRef: randomUUID(),
  };
  const startedAtMs = performance.now();
  const end = await agent.present(palm, isPay ? { charge } : {});
  const roundTripMs = end.kind === "decision" ? end.roundTripMs : performance.now() - startedAtMs;
  const truth = pairwiseIds?.[device.site];
  if (end.kind !== "decision") return onPresented({ truth, decision: undefined, roundTripMs }, undefined);
  const { outcome, granted, pairwiseId } = end.decision;
  const decision = {
    outcome: outcome ?? edge.Outcome.UNDECIDED,
    granted: granted ?? false,
    pairwiseId: pairwiseId ?? "",
  };
  onPresented({ truth, decision, roundTripMs }, end.decision);
}

async function rest(pauseMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || pauseMs === 0) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, pauseMs);
    signal.addEventListener("abort", done);
  });
}
