// Several gateways: where a lane goes when its link ends, and what becomes of the presentation that was under way.
import { describe, expect, it, onTestFinished } from "vitest";
import { type Agent, type AgentOptions, startAgent } from "../../edge-agent/agent.js";
import { edge } from "../../wire/codec.js";
import type { FakeConnection, FakeGateway, FakeGatewayOptions } from "./fake-gateway.js";
import { agentOptions, images, openGateway, openLane } from "./lane.js";

const CHARGE = { amountMinor: 1250, currency: "EUR", orderRef: "order-1" };
/** A wait that no test would outlive: who gets on at once has not waited. */
const NEVER = { leastMs: 60_000, firstCeilingMs: 60_000, mostMs: 60_000 };

interface TwoGateways {
  agent: Agent;
  first: FakeGateway;
  second: FakeGateway;
  /** To the first one. */
  connection: FakeConnection;
}

async function openLaneOfTwo(
  gatewayOptions: FakeGatewayOptions = {},
  options: Partial<AgentOptions> = {},
): Promise<TwoGateways> {
  const first = await openGateway(gatewayOptions);
  const second = await openGateway(gatewayOptions);
  const gateway = [first.url, second.url];
  const timings = { reconnect: NEVER, refused: NEVER };
  const agent = await startAgent(agentOptions(first, { gateway, timings, ...options }));
  onTestFinished(() => agent.close());
  return { agent, first, second, connection: await first.connection() };
}

describe("a lane that knows two gateways", () => {
  it("starts with the first of the list that takes it", async () => {
    const gone = await openGateway();
    await gone.stop();
    const alive = await openGateway();
    const gateway = [gone.url, alive.url];
    const agent = await startAgent(agentOptions(alive, { gateway, timings: { reconnect: NEVER } }));
    onTestFinished(() => agent.close());
    expect(agent.state()).toMatchObject({ phase: "open", gateway: { port: String(alive.port) } });
  });

  it.each([
    ["dies", (connection: FakeConnection) => connection.socket.terminate()],
    ["closes the link", (connection: FakeConnection) => connection.socket.close(1001)],
    [
      "shuts down",
      (connection: FakeConnection) =>
        connection.send({ error: { code: edge.ErrorCode.SHUTTING_DOWN, fatal: true, message: "stopping" } }),
    ],
    [
      "says that it shuts down and leaves the link to us",
      (connection: FakeConnection) =>
        connection.send({ error: { code: edge.ErrorCode.SHUTTING_DOWN, message: "stopping" } }),
    ],
  ])("goes to the second at once when the first %s, and back when that one does", async (_, end) => {
    const { first, second, connection } = await openLaneOfTwo(
      {},
      { timings: { reconnect: NEVER, stableAfterMs: 0 } },
    );
    end(connection);
    const there = await second.connection();
    await there.hello();
    await connection.closed;
    end(there);
    await (await first.connection()).hello();
  });

  it("waits only when both have failed", async () => {
    const waits: number[] = [];
    const { first, second, connection } = await openLaneOfTwo(
      {},
      {
        timings: { reconnect: { leastMs: 5, firstCeilingMs: 10, mostMs: 10 } },
        onState: (state) => {
          if (state.phase === "waiting") waits.push(state.retryInMs);
        },
      },
    );
    second.greets = false;
    first.greets = false;
    connection.socket.terminate();
    (await second.connection()).socket.terminate();
    (await first.connection()).socket.terminate();
    await second.connection();
    expect(waits.map((ms) => ms > 0)).toEqual([false, true, false]);
  });

  it("does not push out the lane that has pushed it out, at whichever gateway", async () => {
    const { agent, second, connection } = await openLaneOfTwo();
    connection.send({ error: { code: edge.ErrorCode.DUPLICATE_DEVICE, fatal: true, message: "another" } });
    await connection.closed;
    expect(agent.state()).toMatchObject({ phase: "waiting", retryInMs: NEVER.leastMs });
    expect(second.connections).toHaveLength(0);
  });
});

describe("a presentation that lost its gateway", () => {
  const ends: [string, (connection: FakeConnection, frame: edge.Frame.$Properties) => void][] = [
    ["dies", (connection) => connection.socket.terminate()],
    ["shuts down", (connection) => connection.send({ error: { code: edge.ErrorCode.SHUTTING_DOWN } })],
    [
      "shuts down and says so about the presentation",
      (connection, { presentationId = null }) =>
        connection.send({ error: { code: edge.ErrorCode.SHUTTING_DOWN, presentationId } }),
    ],
  ];

  it.each(ends)(
    "goes on at the other one under its id, charge and order when the first %s",
    async (_, end) => {
      const { agent, second, connection } = await openLaneOfTwo({ welcome: { purpose: edge.Purpose.PAY } });
      const presenting = agent.present(images(2), { charge: CHARGE });
      const asked = await connection.frame();
      end(connection, asked);
      const there = await second.connection();
      const again = await there.frame();
      expect(again).toMatchObject({ sequence: 0, presentationId: asked.presentationId });
      expect(again.charge).toMatchObject(CHARGE);
      there.decide(again, { reason: edge.Reason.PAYMENT_APPROVED });
      expect(await presenting).toMatchObject({ kind: "decision", passage: edge.Passage.OPENED });
      expect((await there.report()).presentationId).toEqual(asked.presentationId);
    },
  );

  it("goes on under its id at an entry, too", async () => {
    const { agent, second, connection } = await openLaneOfTwo();
    const presenting = agent.present(images(1));
    const { presentationId } = await connection.frame();
    connection.socket.terminate();
    const there = await second.connection();
    const again = await there.frame();
    expect(again.presentationId).toEqual(presentationId);
    there.decide(again);
    expect(await presenting).toMatchObject({ passage: edge.Passage.OPENED });
  });

  it("leaves a gateway that owes a Decision and has fallen silent", async () => {
    const { agent, second, connection } = await openLaneOfTwo(
      { welcome: { presentationDeadlineMs: 50 } },
      { timings: { reconnect: NEVER, echoDeadlineMs: 60_000 } },
    );
    const presenting = agent.present(images(1));
    await connection.frame();
    connection.freeze();
    const there = await second.connection();
    there.decide(await there.frame());
    expect(await presenting).toMatchObject({ kind: "decision" });
  });

  it("ends when nobody can stand there any more, wherever its link is", async () => {
    const { agent, second, connection } = await openLaneOfTwo();
    second.greets = false;
    const presenting = agent.present(images(1), { deadlineMs: 100 });
    await connection.frame();
    connection.socket.terminate();
    expect((await presenting).kind).toBe("lost");
    // Who comes next is asked about anew.
    const there = await second.connection();
    there.sendWelcome();
    const next = agent.present(images(1));
    const frame = await there.frame();
    expect(frame.presentationId).not.toEqual((await presenting).presentationId);
    there.decide(frame);
    await next;
  });
});

describe("how long a presentation goes on", () => {
  it.each([
    ["an entry: 5 s", {}, 5_000],
    ["a payment: 10 s", { charge: CHARGE }, 10_000],
  ])("%s, unless its caller says otherwise", async (_, options, deadlineMs) => {
    const { agent, gateway, connection } = await openLane();
    gateway.greets = false;
    connection.socket.terminate();
    const startedAtMs = performance.now();
    expect((await agent.present(images(1), options)).kind).toBe("lost");
    expect(Math.abs(performance.now() - startedAtMs - deadlineMs)).toBeLessThan(1_500);
  });
});

describe("while the money is awaited", () => {
  /** The first answer is due after 50 ms and a grace of 1 s. */
  const PAY = { purpose: edge.Purpose.PAY, presentationDeadlineMs: 50, heartbeatIntervalMs: 50 };
  /** Heartbeats are a clock: so many of 50 ms have passed. */
  async function pass(connection: FakeConnection, heartbeats: number): Promise<void> {
    for (let n = 0; n < heartbeats; n++) await connection.nextHeartbeat();
  }

  it("the lane says one moment, and takes a Decision that comes after 3 s", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: PAY });
    const said: (string | null | undefined)[] = [];
    const presenting = agent.present(images(2), {
      charge: CHARGE,
      deadlineMs: 500,
      onProgress: ({ displayKey }) => said.push(displayKey),
    });
    const frame = await connection.frame();
    connection.send({
      progress: {
        presentationId: frame.presentationId ?? null,
        displayKey: "progress.one_moment",
        decisionByUnixMs: gateway.nowMs() + 8000,
      },
    });
    await pass(connection, 60);
    expect(connection.unreadFrames()).toBe(0);
    connection.decide(frame, { reason: edge.Reason.PAYMENT_APPROVED });
    expect(await presenting).toMatchObject({ kind: "decision", passage: edge.Passage.OPENED });
    expect(said).toEqual(["progress.one_moment"]);
  });

  it("it waits no longer than the gateway's Welcome allowed, however late the Progress says", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: { ...PAY, moneyDeadlineMs: 100 } });
    const startedAtMs = performance.now();
    const presenting = agent.present(images(1), { charge: CHARGE, deadlineMs: 500 });
    const { presentationId = null } = await connection.frame();
    const progress = { presentationId, decisionByUnixMs: gateway.nowMs() + 3_600_000 };
    connection.send({ progress });
    connection.send({ progress });
    expect(await presenting).toMatchObject({ kind: "error", code: "NO_DECISION" });
    expect(performance.now() - startedAtMs).toBeLessThan(500 + 100 + 1000 + 500);
  });

  it("an entry is not prolonged: nobody waits at a gate for money", async () => {
    const { agent, gateway, connection } = await openLane({
      welcome: { ...PAY, purpose: edge.Purpose.ENTRY },
    });
    const startedAtMs = performance.now();
    const presenting = agent.present(images(1));
    const { presentationId = null } = await connection.frame();
    connection.send({ progress: { presentationId, decisionByUnixMs: gateway.nowMs() + 8000 } });
    expect(await presenting).toMatchObject({ kind: "error", code: "NO_DECISION" });
    expect(performance.now() - startedAtMs).toBeLessThan(3000);
  });

  it("a link that is lost then is lost for the link alone: the payment goes on at the other gateway", async () => {
    const { agent, first, second, connection } = await openLaneOfTwo({ welcome: PAY });
    const presenting = agent.present(images(1), { charge: CHARGE, deadlineMs: 200 });
    const { presentationId = null } = await connection.frame();
    connection.send({ progress: { presentationId, decisionByUnixMs: first.nowMs() + 8000 } });
    await pass(connection, 8);
    connection.socket.terminate();
    const there = await second.connection();
    const again = await there.frame();
    expect(again.presentationId).toEqual(presentationId);
    there.decide(again, { reason: edge.Reason.PAYMENT_APPROVED });
    expect(await presenting).toMatchObject({ passage: edge.Passage.OPENED });
  });
});
