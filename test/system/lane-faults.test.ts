// What a lane owes the record when something dies between the grant and the report: real gateways, a real ledger, and the
// lane's agent, once as a process of its own. What was served is captured once; what was not is not.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import type { Agent, PresentationEnd } from "../../edge-agent/agent.js";
import type { Gate } from "../../edge-agent/gate.js";
import { openAgentMetrics } from "../../edge-agent/metrics.js";
import { edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { openSite, present, type Site, until } from "./support.js";

const DEADLINE_MS = 30_000;
const MAX_TRIES = 10;

type Use = Record<string, unknown>;

describe("a lane that knows two gateways", () => {
  let site: Site;
  let dir: string;
  const lanes: ChildProcess[] = [];
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "palmgate-lane-faults-"));
    site = await openSite({ desks: 1, ledgers: 1, rows: 1, siteSettings: { reportWithinMs: 120_000 } });
  });
  afterEach(async () => {
    for (const lane of lanes.splice(0)) lane.kill("SIGKILL");
    for (const name of ["gateway-1", "gateway-2"]) {
      if (!(await answers(name))) await site.stack.start(name);
    }
  });
  afterAll(async () => {
    await site?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const gateways = () =>
    site.stack.of("gateway").map(({ ready }) => `http://127.0.0.1:${Number(ready.port)}`);
  /** The gateway that this lane is linked to dies. */
  function killGatewayOf(lane: Agent): Promise<void> {
    const state = lane.state();
    const port = state.phase === "open" ? Number(state.gateway.port) : 0;
    const gateway = site.stack.of("gateway").find(({ ready }) => Number(ready.port) === port);
    if (!gateway) throw new Error("the lane is linked to none of the gateways");
    return gateway.kill();
  }
  const answers = async (name: string) =>
    (await fetch(`${site.stack.opsUrl(name)}/healthz`).catch(() => undefined))?.ok === true;

  async function uses(memberId: string): Promise<Use[]> {
    const answer = await site.api.get<{ uses: Use[] }>(`/api/v1/members/${memberId}/history?limit=200`);
    return answer.ok ? answer.body.uses : [];
  }
  const captured = async (memberId: string) =>
    (await uses(memberId)).filter(({ step }) => step === "CAPTURED").map(({ orderRef }) => orderRef);
  const passages = async (memberId: string, presentation: string) =>
    (await uses(memberId))
      .filter(({ kind, presentationId }) => kind === "passage" && presentationId === presentation)
      .map(({ passage }) => passage);

  it("asks the other one under the same id and order when its own is killed before the answer, and pays once", async () => {
    const member = await site.enrol(741);
    const metrics = openAgentMetrics();
    let killing: Promise<void> | undefined;
    const till: Agent = await site.lane("till-1", {
      gateway: gateways(),
      metrics: {
        ...metrics,
        frame: (result) => {
          metrics.frame(result);
          killing ??= killGatewayOf(till);
        },
      },
    });
    const served: string[] = [];
    for (let n = 0; served.length === 0 && n < MAX_TRIES; n++) {
      const charge = { amountMinor: 990, currency: "EUR", orderRef: `order-${n}` };
      const end = await present(till, 741, n, { charge });
      if (end.kind === "decision" && end.passage === edge.Passage.OPENED) served.push(charge.orderRef);
    }
    await killing;
    expect(served).toHaveLength(1);
    await until("captured", DEADLINE_MS, async () => (await captured(member.memberId)).length > 0);
    expect(await captured(member.memberId)).toEqual(served);
    await till.close();
  });

  it("reports a gate that moved while its gateway died to the other one, and it is on record once", async () => {
    const member = await site.enrol(742);
    const metrics = openAgentMetrics();
    let release = () => {};
    let moves = () => {};
    const moving = new Promise<void>((resolve) => {
      moves = resolve;
    });
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const gate: Gate = {
      open: async () => {
        moves();
        await released;
        return { ok: true };
      },
    };
    const lane = await site.lane("gate-1", { gateway: gateways(), gate, metrics });
    const granted = grantedOf(() => present(lane, 742));
    await moving;
    await killGatewayOf(lane);
    release();
    const presentation = await granted;
    await expect
      .poll(() => metrics.registry.metrics(), { timeout: DEADLINE_MS })
      .toContain('palmgate_agent_reports_total{result="acknowledged"} 1');
    await until("in the history", DEADLINE_MS, async () =>
      (await passages(member.memberId, presentation)).includes("OPENED"),
    );
    expect(await passages(member.memberId, presentation)).toEqual(["OPENED"]);
    await lane.close();
  });

  it("killed while its relay moves, reports after its restart, and what was served is captured once", async () => {
    const member = await site.enrol(743);
    const pidFile = join(dir, "relay.pid");
    const relay = `echo $$ > '${pidFile}.new'; mv '${pidFile}.new' '${pidFile}'; exec sleep 60`;
    const till = (source: string, ...more: string[]) => {
      const own = ["--device-id", "till-1", "--device-key", site.stack.deviceKeyFile("till-1")];
      const links = ["--gateway", gateways().join(","), "--journal-dir", join(dir, "journal")];
      const args = ["edge", ...own, ...links, "--source", source, "--charge-minor", "990", ...more];
      const lane = spawn(process.execPath, [PALMGATE_JS, ...args], { stdio: "ignore" });
      lanes.push(lane);
      return lane;
    };
    const killed = till("synthetic:743", "--interval-ms", "0", "--hold-ms", "20000", "--on-open", relay);
    await until("the relay", DEADLINE_MS, async () => existsSync(pidFile));
    killed.kill("SIGKILL");
    await once(killed, "exit");
    expect(await captured(member.memberId)).toEqual([]);

    // Nobody whom it knows stands there now.
    till("synthetic:9743", "--interval-ms", "60000");
    await until("captured", DEADLINE_MS, async () => (await captured(member.memberId)).length > 0);
    expect(await captured(member.memberId)).toHaveLength(1);
    process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
  });
});

/** A busy machine may say "one moment". @returns the presentation that was granted, hex */
async function grantedOf(presents: () => Promise<PresentationEnd>): Promise<string> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const end = await presents();
    if (end.kind === "decision" && end.decision.granted) return toHex(end.presentationId);
  }
  throw new Error(`not granted in ${MAX_TRIES} tries`);
}
