// What only reports must not stop what works: every process logs to a full disk, and whoever read the lane's lines has
// gone. Each goes on, says in its metrics how many lines it has lost, and ends when it is asked to.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterEach, describe, expect, it } from "vitest";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import { gatewayMetric, openSite, present, type Site, seen, until } from "./support.js";

const FULL_DISK = "/dev/full";
const END_DEADLINE_MS = 5000;
const WORK_DEADLINE_MS = 20_000;

/** A lane of its own, whose log is on a full disk and whose reader leaves after the ready line. @returns its ops port */
async function laneNobodyReads(site: Site, lanes: ChildProcess[]): Promise<number> {
  const { stack } = site;
  const log = openSync(FULL_DISK, "w");
  const args = ["edge", "--gateway", stack.linkUrl, "--device-id", "gate-1", "--source", "synthetic:7:2"];
  const more = ["--device-key", stack.deviceKeyFile("gate-1"), "--interval-ms", "0", "--json"];
  const lane = spawn(process.execPath, [PALMGATE_JS, ...args, ...more], { stdio: ["ignore", "pipe", log] });
  lanes.push(lane);
  closeSync(log);
  if (lane.stdout === null) throw new Error("the lane has no stdout");
  const [line] = await once(createInterface({ input: lane.stdout }), "line");
  lane.stdout.destroy();
  return Number((JSON.parse(String(line)) as { opsPort: number }).opsPort);
}

async function get(opsPort: unknown, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${Number(opsPort)}${path}`)).text();
}

async function expectAliveWithLostLines(opsPort: unknown): Promise<void> {
  expect(await get(opsPort, "/healthz")).toBe("ok\n");
  expect(await get(opsPort, "/metrics")).toMatch(/palmgate_log_lines_dropped_total [1-9]/);
}

async function msToEnd(end: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  await end();
  return performance.now() - startedAtMs;
}

describe("a site whose lines go nowhere", () => {
  let site: Site | undefined;
  const lanes: ChildProcess[] = [];
  afterEach(async () => {
    for (const lane of lanes.splice(0)) lane.kill("SIGKILL");
    await site?.close();
    site = undefined;
  });

  it("works, counts the lines it loses, and ends when it is asked to", async () => {
    const opened = await openSite({ logFileOf: () => FULL_DISK });
    site = opened;
    const { stack } = opened;
    const { pairwiseIds } = await opened.enrol(3);
    const till = await opened.lane("till-1");
    const charge = { amountMinor: 100, currency: "EUR", orderRef: "order-1" };
    expect(seen(await present(till, 3, 0, { charge }))).toMatchObject({
      outcome: "MATCH",
      pairwiseId: pairwiseIds.south,
    });

    const lanePort = await laneNobodyReads(opened, lanes);
    const strangers = async () =>
      gatewayMetric(
        stack,
        'palmgate_decisions_total{purpose="ENTRY",outcome="NO_MATCH",reason="NOT_RECOGNISED"}',
      );
    await until("decisions at the lane", WORK_DEADLINE_MS, async () => (await strangers()) >= 5);

    const processes = [
      ...stack.of("desk"),
      ...stack.of("gateway"),
      ...stack.of("ledger"),
      ...stack.of("matcher"),
    ];
    for (const opsPort of [lanePort, ...processes.map(({ ready }) => ready.opsPort)])
      await expectAliveWithLostLines(opsPort);

    const [lane] = lanes;
    lane?.kill("SIGTERM");
    expect(
      await msToEnd(async () => expect(await once(lane ?? process, "exit")).toEqual([0, null])),
    ).toBeLessThan(END_DEADLINE_MS);
    for (const child of processes) {
      expect(await msToEnd(() => child.stop())).toBeLessThan(END_DEADLINE_MS);
    }
  });
});
