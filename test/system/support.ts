// What the system tests share: a whole Palmgate of real processes, people with synthetic palms, lanes to present them at.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enrolRequest } from "../../cli/demo/enrol.js";
import { syntheticPerson } from "../../cli/demo/people.js";
import type { Person } from "../../cli/demo/person.js";
import { type Enrolment, type OperatorApi, operatorApi } from "../../cli/operator-api.js";
import { type Role, type Stack, type StackOptions, startStack, waitReady } from "../../cli/stack/stack.js";
import {
  type Agent,
  type AgentOptions,
  type PresentationEnd,
  type PresentOptions,
  startAgent,
} from "../../edge-agent/agent.js";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { edge } from "../../wire/codec.js";
import { openLog } from "../../wire/log.js";

const READY_DEADLINE_MS = 60_000;

export const DEVICES = [
  { id: "gate-1", site: "north", purpose: "ENTRY" },
  { id: "till-1", site: "south", purpose: "PAY" },
] as const;

export interface Site {
  stack: Stack;
  api: OperatorApi;
  /** Agents closed at the end. */
  lane(deviceId: string, options?: Partial<AgentOptions>): Promise<Agent>;
  /** Enrols the person of that seed with a sandbox card. */
  enrol(seed: number, token?: string): Promise<Enrolment>;
  close(): Promise<void>;
}

/** Two of what must go on, behind a balancer: what a promise must hold on. Two desks where a test asks for them. */
export const TWO_OF_EVERYTHING = { gateways: 2, desks: 1, ledgers: 2, rows: 2, slots: 1 } as const;

/** Starts a stack, two of everything unless told otherwise, and waits until every shard is served. */
export async function openSite(options: Partial<StackOptions> = {}): Promise<Site> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-system-"));
  const agents: Agent[] = [];
  const stack = await startStack({
    dir,
    devices: [...DEVICES],
    ...TWO_OF_EVERYTHING,
    ...options,
  }).catch((error: unknown) => {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  });
  const close = async () => {
    await Promise.all(agents.map((agent) => agent.close()));
    await stack.close();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await waitReady(stack, READY_DEADLINE_MS);
  } catch (error) {
    await close();
    throw error;
  }
  const api = operatorApi(stack.deskUrl, stack.operatorToken);
  return {
    stack,
    api,
    close,
    lane: async (deviceId, extra = {}) => {
      const key = extra.key ?? loadDeviceKey(stack.deviceKeyFile(deviceId));
      const agent = await startAgent({
        gateway: stack.linkUrl,
        deviceId,
        key,
        log: openLog("test-lane"),
        ...extra,
      });
      agents.push(agent);
      return agent;
    },
    enrol: (seed, token = "tok_approve") => enrol(api, syntheticPerson(seed), token),
  };
}

async function enrol(api: OperatorApi, person: Person, token: string): Promise<Enrolment> {
  const answer = await api.enrol(enrolRequest(await person.enrolment(0), token));
  if (!answer.ok) throw new Error(`enrolment refused: ${answer.code} ${answer.message}`);
  return answer.body;
}

/** The n-th presentation of the person of that seed. */
export async function present(
  agent: Agent,
  seed: number,
  n = 0,
  options: PresentOptions = {},
): Promise<PresentationEnd> {
  return agent.present(await syntheticPerson(seed).presentation(n), options);
}

export interface Seen {
  outcome: keyof typeof edge.Outcome | "NO_DECISION";
  reason: string;
  granted: boolean;
  pairwiseId: string;
  roundTripMs: number;
}

/** A presentation's end as the tests read it. */
export function seen(end: PresentationEnd): Seen {
  if (end.kind !== "decision") {
    return {
      outcome: "NO_DECISION",
      reason: end.kind === "error" ? end.code : end.kind,
      granted: false,
      pairwiseId: "",
      roundTripMs: Number.NaN,
    };
  }
  const { outcome, reason, granted, pairwiseId } = end.decision;
  return {
    outcome: edge.Outcome[outcome ?? 0] as keyof typeof edge.Outcome,
    reason: edge.Reason[reason ?? 0] ?? "",
    granted: granted ?? false,
    pairwiseId: pairwiseId ?? "",
    roundTripMs: end.roundTripMs,
  };
}

/** One sample of a metric, summed over all processes of a role, by its name and labels as Prometheus reads them. */
export async function metricOf(stack: Stack, role: Role, series: string): Promise<number> {
  let sum = 0;
  let found = false;
  for (const { name } of stack.of(role)) {
    const text = await (await fetch(`${stack.opsUrl(name)}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${series} `));
    if (line === undefined) continue;
    found = true;
    sum += Number(line.slice(series.length + 1));
  }
  if (!found) throw new Error(`no ${role} serves ${series}`);
  return sum;
}

export const gatewayMetric = (stack: Stack, series: string): Promise<number> =>
  metricOf(stack, "gateway", series);

/** SIGSTOP and SIGCONT: a process that hears nothing and says nothing, but keeps its connections. */
export function pause(stack: Stack, name: string): () => void {
  const { pid } = stack.child(name);
  process.kill(pid, "SIGSTOP");
  return () => {
    process.kill(pid, "SIGCONT");
  };
}

/** Waits until `holds` does, asking again as soon as the last answer is in. For states that only polling shows. */
export async function until(what: string, deadlineMs: number, holds: () => Promise<boolean>): Promise<void> {
  const deadlineAt = Date.now() + deadlineMs;
  while (Date.now() < deadlineAt) if (await holds().catch(() => false)) return;
  throw new Error(`${what}: not within ${deadlineMs} ms`);
}
