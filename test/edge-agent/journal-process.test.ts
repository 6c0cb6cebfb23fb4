// What a lane's agent owes the record when it is killed, and when its disk is full: a real process, its journal on a real
// disk, real gateways' ends of the link.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { edge } from "../../wire/codec.js";
import type { FakeConnection } from "./fake-gateway.js";
import { openGateway } from "./lane.js";
import { laneArgs, type Sandbox, sandbox, startEdge } from "./support/edge-process.js";

const { Passage } = edge;
const journalArgs = ({ dir }: Sandbox) => ["--journal-dir", join(dir, "journal")];
const PAID = ["--charge-minor", "1250"];

/** As the ledger would have it: the first report about a presentation is recorded, every further one is only answered. */
async function recorded(connection: FakeConnection, of: edge.Decision.$Properties): Promise<edge.Passage> {
  const report = await connection.report();
  expect(report.presentationId).toEqual(of.presentationId);
  expect(Buffer.from(report.passageToken ?? [])).toEqual(Buffer.from(of.passageToken ?? []));
  connection.acknowledge(report);
  return report.passage ?? Passage.PASSAGE_UNSPECIFIED;
}

describe("an agent that is killed", () => {
  it("between grant and report tells after its restart what is known: the relay was told to open", async () => {
    const box = await sandbox();
    const gateway = await openGateway({ acks: false, welcome: { purpose: edge.Purpose.PAY } });
    const pidFile = join(box.dir, "relay.pid");
    const relay = `echo $$ > '${pidFile}.new'; mv '${pidFile}.new' '${pidFile}'; exec sleep 60`;
    const args = [...laneArgs(box, gateway.url), ...journalArgs(box), ...PAID];
    const killed = startEdge(box, [...args, "--hold-ms", "20000", "--on-open", relay]);
    const connection = await gateway.connection();
    const decision = connection.decide(await connection.frame());
    await expect.poll(() => existsSync(pidFile)).toBe(true);
    onTestFinished(() => void process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL"));
    killed.signal("SIGKILL");
    await killed.exit;
    expect(connection.unreadReports()).toBe(0);

    const restarted = startEdge(box, args);
    const second = await gateway.connection();
    expect(await recorded(second, decision)).toBe(Passage.OPENED);
    await second.settled();
    restarted.signal("SIGKILL");
    await restarted.exit;

    startEdge(box, args);
    const third = await gateway.connection();
    await third.settled();
    expect(third.unreadReports()).toBe(0);
  });

  it("before its report was acknowledged reports again, to the other gateway that is left", async () => {
    const box = await sandbox();
    const [first, second] = [await openGateway({ acks: false }), await openGateway({ acks: false })];
    const args = [...laneArgs(box, `${first.url},${second.url}`), ...journalArgs(box)];
    const killed = startEdge(box, [...args, "--count", "1"]);
    const connection = await first.connection();
    const decision = connection.decide(await connection.frame());
    // Reported, and the acknowledgement is lost with the gateway and the agent.
    await connection.report();
    killed.signal("SIGKILL");
    await killed.exit;
    await first.stop();

    startEdge(box, args);
    const there = await second.connection();
    expect(await recorded(there, decision)).toBe(Passage.OPENED);
  });
});

describe("an agent's journal", () => {
  it("holds ids, tokens, steps and times, and nothing of a palm", async () => {
    const box = await sandbox();
    const gateway = await openGateway({ acks: false });
    const agent = startEdge(box, [...laneArgs(box, gateway.url), ...journalArgs(box), "--count", "2"]);
    const connection = await gateway.connection();
    for (let n = 0; n < 2; n++) connection.decide(await connection.frame());
    expect(await agent.exit).toBe(0);
    const files = readdirSync(join(box.dir, "journal"));
    expect(files).toEqual(["lane-1.passages"]);
    const text = readFileSync(join(box.dir, "journal", "lane-1.passages"), "utf8");
    const hex = (bytes: number) => `[0-9a-f]{${2 * bytes}}`;
    const line = new RegExp(
      `^\\{"presentation":"${hex(16)}","token":"${hex(24)}","step":"[A-Z]+","atUnixMs":\\d+\\}$`,
    );
    for (const each of text.trimEnd().split("\n")) expect(each).toMatch(line);
    expect(text.length).toBeLessThan(2 * 3 * 200);
  });

  it("is missed at its start, with what that means", async () => {
    const box = await sandbox();
    const gateway = await openGateway();
    const agent = startEdge(box, laneArgs(box, gateway.url));
    await agent.logged("no --journal-dir");
    await (await gateway.connection()).hello();
    agent.stop();
    expect(await agent.exit).toBe(0);
  });
});

describe("an agent whose disk is full", () => {
  // A limit of file size: no file takes a byte.
  const FULL = "ulimit -f 0";

  it("opens for an entry, reports from memory, says so once and shows it to operators", async () => {
    const box = await sandbox();
    const gateway = await openGateway();
    const agent = startEdge(box, [...laneArgs(box, gateway.url), ...journalArgs(box)], [], FULL);
    const { opsPort } = await agent.line();
    const connection = await gateway.connection();
    for (let n = 0; n < 2; n++) {
      connection.decide(await connection.frame());
      expect(await agent.line()).toMatchObject({ passage: "OPENED" });
      expect((await connection.report()).passage).toBe(Passage.OPENED);
    }
    const metrics = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
    expect(metrics).toContain("palmgate_agent_journal_up 0");
    expect(metrics).toContain('palmgate_agent_reports_total{result="sent"} 2');
    expect(agent.stderr().split("a crash now loses them")).toHaveLength(2);
  });

  it("opens for a payment only while all earlier ones are on record", async () => {
    const box = await sandbox();
    const gateway = await openGateway({ acks: false, welcome: { purpose: edge.Purpose.PAY } });
    const agent = startEdge(box, [...laneArgs(box, gateway.url), ...journalArgs(box), ...PAID], [], FULL);
    await agent.line();
    const connection = await gateway.connection();
    const present = async () => {
      const decision = connection.decide(await connection.frame());
      return { decision, passage: (await agent.line()).passage };
    };
    const first = await present();
    expect(first.passage).toBe("OPENED");
    const second = await present();
    expect(second.passage).toBe("FAILED");
    expect(await recorded(connection, first.decision)).toBe(Passage.OPENED);
    expect(await recorded(connection, second.decision)).toBe(Passage.FAILED);
    await connection.settled();
    expect((await present()).passage).toBe("OPENED");
  });
});
