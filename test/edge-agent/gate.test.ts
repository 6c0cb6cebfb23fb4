import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Gate } from "../../edge-agent/gate.js";
import { type CommandGateOptions, commandGate, variablesOf } from "../../edge-agent/gates/command.js";
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
  const textOf = (file: string) => readFileSync(file, "utf8");
  /** A gate whose commands write "on" and "off" into a file, and the file. */
  function noted(more: Partial<CommandGateOptions> = {}) {
    const file = join(scratch(), "notes");
    const gate = commandGate({
      onOpen: `echo on >> '${file}'`,
      onClose: `echo off >> '${file}'`,
      deviceId: "lane-1",
      holdMs: 300,
      ...more,
    });
    return { gate, file };
  }
  const msOf = async (act: () => Promise<unknown>) => {
    const startedAtMs = performance.now();
    await act();
    return performance.now() - startedAtMs;
  };

  it("switches on, holds, and switches off", async () => {
    const { gate, file } = noted();
    const opening = gate.open(GRANTED);
    await expect.poll(() => existsSync(file) && textOf(file)).toBe("on\n");
    expect(await opening).toEqual({ ok: true });
    expect(textOf(file)).toBe("on\noff\n");
    expect(await msOf(() => gate.open(GRANTED))).toBeGreaterThanOrEqual(300);
  });

  it("ends a command that runs as long as the gate is open, gently, when its hold is over", async () => {
    const file = join(scratch(), "notes");
    const onOpen = `trap "echo off >> '${file}'; exit 0" TERM; echo on >> '${file}'; sleep 60 & wait`;
    const gate = commandGate({ onOpen, deviceId: "lane-1", holdMs: 300 });
    expect(await gate.open(GRANTED)).toEqual({ ok: true });
    expect(textOf(file)).toBe("on\noff\n");
  });

  it("is done at once with a command that is the whole pulse", async () => {
    const gate = commandGate({ onOpen: "true", deviceId: "lane-1", holdMs: 20_000 });
    expect(await msOf(() => gate.open(GRANTED))).toBeLessThan(5000);
  });

  it("shuts at once when the lane ends, and opens no more", async () => {
    const { gate, file } = noted({ holdMs: 20_000 });
    const opening = gate.open(GRANTED);
    await expect.poll(() => existsSync(file)).toBe(true);
    expect(await msOf(() => gate.shut())).toBeLessThan(5000);
    expect(await opening).toEqual({ ok: true });
    expect(await gate.open(GRANTED)).toMatchObject({ ok: false });
    expect(textOf(file)).toBe("on\noff\n");
  });

  it("shuts what an agent that was killed may have left open", async () => {
    const { gate, file } = noted();
    expect(await gate.recover()).toEqual({ ok: true });
    expect(textOf(file)).toBe("off\n");
  });

  it("gives the commands the Decision and what is harmless of the environment, and no secret", async () => {
    const dir = scratch();
    const gate = commandGate({
      onOpen: `env > '${dir}/open'`,
      onClose: `env > '${dir}/close'`,
      deviceId: "lane-1",
      holdMs: 100,
    });
    process.env.PALMGATE_MASTER_KEY = "secret";
    process.env.ANYTHING = "else";
    onTestFinished(() => {
      delete process.env.PALMGATE_MASTER_KEY;
      delete process.env.ANYTHING;
    });
    expect(await gate.open(GRANTED)).toEqual({ ok: true });
    for (const when of ["open", "close"]) {
      const lines = textOf(join(dir, when)).trim().split("\n");
      expect(lines).toEqual(
        expect.arrayContaining([
          `PALMGATE_GATE=${when}`,
          "PALMGATE_DEVICE_ID=lane-1",
          "PALMGATE_OUTCOME=MATCH",
          "PALMGATE_PAIRWISE_ID=abcdefghij234567",
          "PALMGATE_REASON=WELCOME_MEMBER",
          `PALMGATE_PRESENTATION=${"01".repeat(16)}`,
        ]),
      );
      const others = lines.map((line) => line.split("=")[0] ?? "").filter((name) => !/^PALMGATE_/.test(name));
      // PWD and the like are the shell's own.
      const known = ["PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_"];
      expect(others.filter((name) => !known.includes(name))).toEqual([]);
      expect(lines.join()).not.toContain("secret");
    }
  });

  it("never lets a shell read what the gateway said", async () => {
    const dir = scratch();
    const file = join(dir, "out");
    const evil = `$(touch ${join(dir, "evil")}); \`touch ${join(dir, "evil")}\``;
    const decision = { ...GRANTED, pairwiseId: evil, displayKey: `a\0b${evil}` };
    const gate = commandGate({ onOpen: `echo "[$PALMGATE_PAIRWISE_ID]" > '${file}'`, deviceId: "lane-1" });
    expect(await gate.open(decision)).toEqual({ ok: true });
    expect(readFileSync(file, "utf8")).toBe("[]\n");
    expect(() => readFileSync(join(dir, "evil"))).toThrow("ENOENT");
    expect(variablesOf(decision)).toMatchObject({ PALMGATE_PAIRWISE_ID: "", PALMGATE_DISPLAY_KEY: "" });
  });

  it("fails when on-open ends with anything but 0, and switches off what it may have switched on", async () => {
    const { gate, file } = noted({ onOpen: "exit 3" });
    expect(await gate.open(GRANTED)).toEqual({ ok: false, why: "on-open ended with 3" });
    expect(textOf(file)).toBe("off\n");
  });

  it.each([
    ["fails", "exit 4", "the gate may still be open: on-close ended with 4"],
    ["takes too long", "sleep 60", "the gate may still be open: on-close was ended after 200 ms"],
  ])("fails when on-close %s", async (_, onClose, why) => {
    const { gate } = noted({ onClose, closeDeadlineMs: 200 });
    expect(await gate.open(GRANTED)).toEqual({ ok: false, why });
  });

  it("fails when on-open must be killed, and leaves nothing behind of what it started", async () => {
    const dir = scratch();
    const onOpen = `trap "" TERM; sleep 60 & echo $! > '${dir}/pid'; while :; do sleep 1; done`;
    const gate = commandGate({ onOpen, deviceId: "lane-1", holdMs: 300 });
    expect(await gate.open(GRANTED)).toMatchObject({ ok: false, why: expect.stringContaining("was killed") });
    await expectGone(join(dir, "pid"));
  });

  it("leaves nothing behind of a command that has ended well", async () => {
    const dir = scratch();
    const onOpen = `sleep 60 & echo $! > '${dir}/pid'`;
    expect(await commandGate({ onOpen, deviceId: "lane-1", holdMs: 300 }).open(GRANTED)).toEqual({
      ok: true,
    });
    await expectGone(join(dir, "pid"));
  });

  /** Gone, or a zombie that nobody has collected yet. */
  async function expectGone(pidFile: string): Promise<void> {
    const state = `/proc/${readFileSync(pidFile, "utf8").trim()}/stat`;
    await expect.poll(() => processState(state)).toMatch(/^(gone|Z)$/);
  }

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
