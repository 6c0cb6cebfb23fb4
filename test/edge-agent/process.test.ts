// The agent as an operator runs it: a process of its own, from the command line.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { edge } from "../../wire/codec.js";
import { publicKeyToBase64 } from "../../wire/ed25519.js";
import { openGateway } from "./lane.js";
import { laneArgs, sandbox, startEdge } from "./support/edge-process.js";

describe("palmgate edge", () => {
  it("presents palms, prints a line for each, and ends after --count, without a right to write any file", async () => {
    const box = await sandbox();
    const gateway = await openGateway();
    // Node itself refuses every attempt to open a file for writing; the sandbox is watched besides.
    const noWrites = ["--experimental-permission", "--allow-fs-read=*", "--allow-addons", "--no-warnings"];
    const agent = startEdge(box, [...laneArgs(box, gateway.url), "--count", "2"], noWrites);
    const connection = await gateway.connection();
    expect(await agent.line()).toEqual({ ready: true, opsPort: expect.any(Number) });
    for (const outcome of ["MATCH", "NO_MATCH"] as const) {
      const frame = await connection.frame();
      connection.decide(frame, { outcome: edge.Outcome[outcome], granted: outcome === "MATCH" });
      const line = await agent.line();
      expect(line).toMatchObject({ palm: "anna", end: "decision", outcome, granted: outcome === "MATCH" });
      expect(line.presentation).toBe(Buffer.from(frame.presentationId ?? []).toString("hex"));
      if (outcome === "MATCH") expect(line.passage).toBe("OPENED");
    }
    expect(await agent.exit).toBe(0);
    expect(box.touched).toEqual([]);
    expect(readdirSync(box.dir, { recursive: true }).sort()).toEqual(
      [
        "cwd",
        "device.pem",
        "home",
        "palms",
        "palms/anna",
        "palms/anna/1_1.png",
        "palms/anna/1_2.png",
        "tmp",
      ].sort(),
    );
  });

  it("runs --on-open, charges each palm as its own order, and shows itself to operators", async () => {
    const box = await sandbox();
    const opened = join(box.dir, "opened");
    const gateway = await openGateway({ welcome: { purpose: edge.Purpose.PAY } });
    const agent = startEdge(box, [
      ...laneArgs(box, gateway.url),
      ...[
        "--charge-minor",
        "1250",
        "--charge-currency",
        "CHF",
        "--on-open",
        `echo $PALMGATE_OUTCOME >> '${opened}'`,
      ],
    ]);
    const { opsPort } = await agent.line();
    const connection = await gateway.connection();
    const orders = new Set<unknown>();
    for (let i = 0; i < 2; i++) {
      const frame = await connection.frame();
      expect(frame.charge).toMatchObject({ amountMinor: 1250, currency: "CHF" });
      orders.add(frame.charge?.orderRef);
      connection.decide(frame);
      expect(await agent.line()).toMatchObject({ passage: "OPENED" });
    }
    expect(orders.size).toBe(2);
    expect(readFileSync(opened, "utf8")).toBe("MATCH\nMATCH\n");
    const metrics = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
    expect(metrics).toContain("palmgate_agent_connected 1");
    expect(metrics).toContain('palmgate_agent_gate_total{result="opened"} 2');
    expect(metrics).toContain('palmgate_agent_decisions_total{outcome="MATCH"} 2');
    expect((await fetch(`http://127.0.0.1:${opsPort}/readyz`)).status).toBe(200);
    const last = await connection.frame();
    agent.stop();
    connection.decide(last, { granted: false, outcome: edge.Outcome.NO_MATCH });
    expect(await agent.exit).toBe(0);
    expect(await connection.closed).toBe(1000);
  });

  it.each([
    ["SIGTERM", "ends well", 0],
    ["SIGINT", "ends well", 0],
    ["SIGHUP", "ends well", 0],
    // What Node does with an exception that nobody catches; NODE_OPTIONS brings it in.
    ["SIGUSR2", "crashes", 1],
  ] as const)("shuts the gate when it is ended by %s: it %s", async (signal, _what, code) => {
    const box = await sandbox();
    const notes = join(box.dir, "notes");
    const crash = join(box.dir, "crash.mjs");
    writeFileSync(crash, 'process.on("SIGUSR2", () => { throw new Error("a crash"); });');
    const gateway = await openGateway();
    const agent = startEdge(
      box,
      [
        ...laneArgs(box, gateway.url),
        ...[
          "--hold-ms",
          "20000",
          "--on-open",
          `echo on >> '${notes}'`,
          "--on-close",
          `echo off >> '${notes}'`,
        ],
      ],
      ["--import", crash],
    );
    await agent.line();
    // What a killed agent may have left open is shut at start.
    expect(readFileSync(notes, "utf8")).toBe("off\n");
    const connection = await gateway.connection();
    connection.decide(await connection.frame());
    await expect.poll(() => readFileSync(notes, "utf8")).toBe("off\non\n");
    agent.signal(signal);
    expect(await agent.exit).toBe(code);
    expect(readFileSync(notes, "utf8")).toBe("off\non\noff\n");
    if (code === 0) expect((await connection.report()).passage).toBe(edge.Passage.OPENED);
  });

  it("says on its line, to the gateway and in its log that the gate has failed", async () => {
    const box = await sandbox();
    const gateway = await openGateway();
    const args = laneArgs(box, gateway.url).filter((each) => each !== "--json");
    const agent = startEdge(box, [...args, "--on-open", "exit 1", "--count", "1"]);
    const connection = await gateway.connection();
    connection.decide(await connection.frame());
    expect(await agent.text()).toMatch(/^anna: MATCH granted .*THE GATE FAILED: the log says why$/);
    expect((await connection.report()).passage).toBe(edge.Passage.FAILED);
    await agent.exit;
    expect(agent.stderr()).toContain("on-open ended with 1");
  });

  it("ends at once when it is stopped before any gateway answers", async () => {
    const box = await sandbox();
    const gateway = await openGateway({ greets: false });
    const agent = startEdge(box, laneArgs(box, gateway.url));
    await (await gateway.connection()).hello();
    agent.stop();
    expect(await agent.exit).toBe(0);
  });

  it("warns when palms would cross a network unencrypted", async () => {
    const box = await sandbox();
    const gateway = await openGateway();
    const near = startEdge(box, [...laneArgs(box, gateway.url), "--count", "1"]);
    const connection = await gateway.connection();
    connection.decide(await connection.frame());
    expect(await near.exit).toBe(0);
    expect(near.stderr()).not.toContain("unencrypted");
    // An address that is kept for documentation (RFC 5737): nothing answers there.
    const far = startEdge(box, laneArgs(box, "ws://192.0.2.1:9"));
    await far.logged("unencrypted");
    far.stop();
    expect(await far.exit).toBe(0);
  });

  it("makes a key that only its owner reads, prints the public half, and overwrites no file", async () => {
    const box = await sandbox();
    const file = join(box.dir, "new.pem");
    const maker = startEdge(box, ["--make-key", file]);
    const printed = await maker.text();
    expect(await maker.exit).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(printed).toBe(publicKeyToBase64(loadDeviceKey(file)));
    expect(Buffer.from(printed, "base64")).toHaveLength(32);
    const again = startEdge(box, ["--make-key", file]);
    expect(await again.exit).toBe(2);
    expect(again.stderr()).toContain("file already exists");
  });

  it.each([
    [["--device-key", "x"], "--device-id"],
    [["--device-id", "lane-1"], "--make-key"],
    [["--device-id", "Lane 1", "--device-key", "x"], "must be 1 to 64 of a-z, 0-9 and -"],
    [["--device-id", "lane-1", "--device-key", "x", "--gateway", "ftp://a"], "must be a ws://"],
    [["--device-id", "lane-1", "--device-key", "x", "--gateway", "ws://a, ftp://b"], "must be a ws://"],
    [["--device-id", "lane-1", "--device-key", "x", "--gateway", ","], "must be at least one address"],
    [["--device-id", "lane-1", "--device-key", "x", "--source", "synthetic:a"], "synthetic:SEED[:PALMS]"],
  ])("refuses %j and says what it takes", async (args, text) => {
    const agent = startEdge(await sandbox(), args);
    expect(await agent.exit).toBe(2);
    expect(agent.stderr()).toContain(text);
  });
});
