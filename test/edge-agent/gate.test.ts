import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Gate } from "../../edge-agent/gate.js";
import { commandGate, variablesOf } from "../../edge-agent/gates/command.js";
import { consoleGate } from "../../edge-agent/gates/console.js";
import { edge } from "../../wire/codec.js";
import { images, openLane } from "./lane.js";

const { Passage } = edge;

function countingGate(): Gate & { opened: edge.Decision.$Properties[] } {
  const opened: edge.Decision.$Properties[] = [];
  return {
    opened,
    open: async (decision) => {
      opened.push(decision);
      return { ok: true };
    },
  };
}

const GRANTED: edge.Decision.$Properties = {
  presentationId: new Uint8Array(16).fill(1),
  outcome: edge.Outcome.MATCH,
  granted: true,
  reason: edge.Reason.WELCOME_MEMBER,
  displayKey: "decision.welcome",
  pairwiseId: "abcdefghij234567",
};

describe("the gate at the lane", () => {
  it("opens for a granted Decision and reports it with its token", async () => {
    const gate = countingGate();
    const { agent, connection } = await openLane({}, { gate });
    const presenting = agent.present(images(1));
    const decision = connection.decide(await connection.frame());
    expect(await presenting).toMatchObject({ passage: Passage.OPENED });
    expect(gate.opened).toHaveLength(1);
    const report = await connection.report();
    expect(report).toMatchObject({ passage: Passage.OPENED, presentationId: decision.presentationId });
    expect(Buffer.from(report.passageToken ?? [])).toEqual(Buffer.from(decision.passageToken ?? []));
    expect(Math.abs((report.atUnixMs ?? 0) - Date.now())).toBeLessThan(5_000);
  });

  it.each([
    ["the clocks agree", 0],
    ["the gateway's clock is an hour ahead", 3_600_000],
    ["the gateway's clock is an hour behind", -3_600_000],
  ])("opens inside valid_until and stays shut after it when %s", async (_, clockAheadMs) => {
    const gate = countingGate();
    const { agent, gateway, connection } = await openLane({ clockAheadMs }, { gate });
    const present = async (validForMs: number) => {
      const presenting = agent.present(images(1));
      connection.decide(await connection.frame(), { validUntilUnixMs: gateway.nowMs() + validForMs });
      await presenting;
      return (await connection.report()).passage;
    };
    expect(await present(1500)).toBe(Passage.OPENED);
    expect(await present(-1)).toBe(Passage.EXPIRED);
    expect(gate.opened).toHaveLength(1);
  });

  it("opens once for a token that comes twice, and reports once", async () => {
    const gate = countingGate();
    const { agent, connection } = await openLane({}, { gate });
    const first = agent.present(images(1));
    const frame = await connection.frame();
    const decision = connection.decide(frame);
    connection.send({ decision });
    await first;
    const second = agent.present(images(1));
    connection.decide(await connection.frame(), { passageToken: decision.passageToken ?? null });
    expect(await second).toMatchObject({ kind: "decision", passage: undefined });
    expect((await connection.report()).passage).toBe(Passage.OPENED);
    await connection.settled();
    expect(connection.unreadReports()).toBe(0);
    expect(gate.opened).toHaveLength(1);
  });

  it("stays shut for a Decision that comes after its presentation has ended, and reports EXPIRED", async () => {
    const gate = countingGate();
    const { agent, connection } = await openLane({ welcome: { presentationDeadlineMs: 50 } }, { gate });
    const presenting = agent.present(images(1));
    const frame = await connection.frame();
    expect(await presenting).toMatchObject({ kind: "error", code: "NO_DECISION" });
    connection.decide(frame);
    expect((await connection.report()).passage).toBe(Passage.EXPIRED);
    expect(gate.opened).toHaveLength(0);
  });

  it.each([
    ["granted without a match", { outcome: edge.Outcome.NO_MATCH }],
    ["granted without a token", { passageToken: new Uint8Array(0) }],
    ["not granted", { granted: false }],
  ])("stays shut and reports nothing when a Decision is %s", async (_, decision) => {
    const gate = countingGate();
    const { agent, connection } = await openLane({}, { gate });
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame(), decision);
    expect(await presenting).toMatchObject({ kind: "decision", passage: undefined });
    await connection.settled();
    expect(connection.unreadReports()).toBe(0);
    expect(gate.opened).toHaveLength(0);
  });

  it("reports FAILED when the gate fails", async () => {
    const gate: Gate = { open: async () => ({ ok: false, why: "jammed" }) };
    const { agent, connection, lines } = await openLane({}, { gate });
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame());
    expect(await presenting).toMatchObject({ passage: Passage.FAILED });
    expect((await connection.report()).passage).toBe(Passage.FAILED);
    expect(lines).toContainEqual({ level: "error", text: expect.stringContaining("jammed") });
  });
});

describe("the command gate", () => {
  function scratch(): string {
    const dir = mkdtempSync(join(tmpdir(), "palmgate-gate-"));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    return dir;
  }

  it("runs the command with the Decision in its environment", async () => {
    const file = join(scratch(), "out");
    const gate = commandGate({ command: `env | grep ^PALMGATE_ | sort > '${file}'`, deviceId: "lane-1" });
    expect(await gate.open(GRANTED)).toEqual({ ok: true });
    expect(readFileSync(file, "utf8").split("\n")).toEqual(
      expect.arrayContaining([
        "PALMGATE_DEVICE_ID=lane-1",
        "PALMGATE_OUTCOME=MATCH",
        "PALMGATE_PAIRWISE_ID=abcdefghij234567",
        "PALMGATE_REASON=WELCOME_MEMBER",
        `PALMGATE_PRESENTATION=${"01".repeat(16)}`,
      ]),
    );
  });

  it("never lets a shell read what the gateway said", async () => {
    const dir = scratch();
    const file = join(dir, "out");
    const evil = `$(touch ${join(dir, "evil")}); \`touch ${join(dir, "evil")}\``;
    const decision = { ...GRANTED, pairwiseId: evil, displayKey: `a\0b${evil}` };
    const gate = commandGate({ command: `echo "[$PALMGATE_PAIRWISE_ID]" > '${file}'`, deviceId: "lane-1" });
    expect(await gate.open(decision)).toEqual({ ok: true });
    expect(readFileSync(file, "utf8")).toBe("[]\n");
    expect(() => readFileSync(join(dir, "evil"))).toThrow("ENOENT");
    expect(variablesOf(decision)).toMatchObject({ PALMGATE_PAIRWISE_ID: "", PALMGATE_DISPLAY_KEY: "" });
  });

  it("fails when the command ends with anything but 0", async () => {
    const gate = commandGate({ command: "exit 3", deviceId: "lane-1" });
    expect(await gate.open(GRANTED)).toEqual({ ok: false, why: "the command ended with 3" });
  });

  it("kills a command that takes too long, with all that it started", async () => {
    const file = join(scratch(), "pid");
    const command = `sleep 60 & echo $! > '${file}'; wait`;
    const gate = commandGate({ command, deviceId: "lane-1", commandDeadlineMs: 300 });
    expect(await gate.open(GRANTED)).toEqual({ ok: false, why: "the command was killed after 300 ms" });
    const state = `/proc/${readFileSync(file, "utf8").trim()}/stat`;
    // Gone, or a zombie that nobody has collected yet.
    await expect.poll(() => processState(state)).toMatch(/^(gone|Z)$/);
  });

  function processState(file: string): string {
    try {
      return / ([A-Z]) /.exec(readFileSync(file, "utf8"))?.[1] ?? "";
    } catch {
      return "gone";
    }
  }
});

describe("the console gate", () => {
  it("says that it opens and for whom", async () => {
    const lines: string[] = [];
    await consoleGate((line) => lines.push(line)).open(GRANTED);
    expect(lines).toEqual(["gate opens: WELCOME_MEMBER abcdefghij234567"]);
  });
});
