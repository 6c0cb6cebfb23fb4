// An agent beside its fake gateway, both gone when the test ends.
import { generateKeyPairSync } from "node:crypto";
import { onTestFinished } from "vitest";
import { type Agent, type AgentOptions, startAgent } from "../../edge-agent/agent.js";
import { greyImage, type PalmImage } from "../../edge-agent/source/source.js";
import type { Log } from "../../wire/log.js";
import { type FakeConnection, FakeGateway, type FakeGatewayOptions } from "./fake-gateway.js";

export const DEVICE_ID = "lane-1";
export const { privateKey: DEVICE_KEY, publicKey: DEVICE_PUBLIC_KEY } = generateKeyPairSync("ed25519");

export interface LogLine {
  level: keyof Log;
  text: string;
}

export function listLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: keyof Log) => (fields: unknown, message?: string) => {
    lines.push({ level, text: `${message ?? ""} ${JSON.stringify(fields)}` });
  };
  const log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    fatal: at("fatal"),
  };
  return { log, lines };
}

/** Quick retries, so that a test waits for events and not for time. */
export const QUICK = { leastMs: 1, firstCeilingMs: 20, mostMs: 20 };

export interface Lane {
  agent: Agent;
  gateway: FakeGateway;
  connection: FakeConnection;
  lines: LogLine[];
}

export async function openGateway(options: FakeGatewayOptions = {}): Promise<FakeGateway> {
  const gateway = await FakeGateway.start(options);
  onTestFinished(() => gateway.stop());
  return gateway;
}

export function agentOptions(gateway: FakeGateway, options: Partial<AgentOptions> = {}): AgentOptions {
  const { log } = listLog();
  const base = { gateway: gateway.url, deviceId: DEVICE_ID, key: DEVICE_KEY, log };
  return { ...base, timings: { reconnect: QUICK }, ...options };
}

export async function openLane(
  gatewayOptions: FakeGatewayOptions = {},
  options: Partial<AgentOptions> = {},
): Promise<Lane> {
  const gateway = await openGateway(gatewayOptions);
  const { log, lines } = listLog();
  const agent = await startAgent(agentOptions(gateway, { log, ...options }));
  onTestFinished(() => agent.close());
  return { agent, gateway, lines, connection: await gateway.connection() };
}

/** Images that tell each other apart by their grey. */
export const images = (count: number): PalmImage[] =>
  Array.from({ length: count }, (_, i) =>
    greyImage({ width: 64, height: 64, pixels: new Uint8Array(64 * 64).fill(10 + i) }),
  );
