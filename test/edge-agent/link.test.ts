import { verify } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { startAgent } from "../../edge-agent/agent.js";
import type { LinkState } from "../../edge-agent/link.js";
import { edge } from "../../wire/codec.js";
import { helloBytes } from "../../wire/hello.js";
import { FakeGateway, NONCE } from "./fake-gateway.js";
import { agentOptions, DEVICE_ID, DEVICE_PUBLIC_KEY, listLog, openGateway, openLane, QUICK } from "./lane.js";
import { selfSigned } from "./self-signed.js";

/** Collects states and lets a test wait for one. */
function stateLog() {
  const states: LinkState[] = [];
  let wake: () => void = () => {};
  return {
    states,
    onState: (state: LinkState) => {
      states.push(state);
      wake();
    },
    until: (is: (state: LinkState) => boolean) =>
      new Promise<LinkState>((resolve) => {
        wake = () => {
          const found = states.find(is);
          if (found) resolve(found);
        };
        wake();
      }),
  };
}

describe("greeting", () => {
  it("answers the Challenge with a Hello that is signed over exactly its bytes", async () => {
    const { connection } = await openLane();
    const hello = await connection.hello();
    expect(hello).toMatchObject({ deviceId: DEVICE_ID, protocolVersion: 1 });
    const signed = Buffer.concat([
      Buffer.from("palmgate-hello\0"),
      NONCE,
      Buffer.from([0, 0, 0, 1]),
      Buffer.from(DEVICE_ID),
    ]);
    expect(Buffer.from(helloBytes(NONCE, 1, DEVICE_ID))).toEqual(signed);
    expect(verify(null, signed, DEVICE_PUBLIC_KEY, hello.signature ?? new Uint8Array())).toBe(true);
    // And nothing else was said before: field 1, then the device id.
    const first = connection.raw[0];
    expect(first?.[0]).toBe(0x0a);
    expect(first?.subarray(2, 4 + DEVICE_ID.length)).toEqual(
      Buffer.concat([Buffer.from([0x0a, DEVICE_ID.length]), Buffer.from(DEVICE_ID)]),
    );
  });

  it("knows its terms once it is welcomed", async () => {
    const { agent } = await openLane({ welcome: { site: "arena", purpose: edge.Purpose.PAY } });
    expect(agent.terms()).toMatchObject({ site: "arena", purpose: edge.Purpose.PAY, transport: "fake" });
    expect(agent.state().phase).toBe("open");
  });

  it("says no Hello to a gateway that speaks no version of ours, and keeps trying slowly", async () => {
    const gateway = await openGateway({ protocolVersions: [7, 8] });
    const log = stateLog();
    const stop = new AbortController();
    const starting = startAgent(agentOptions(gateway, { onState: log.onState, signal: stop.signal }));
    const state = await log.until(({ phase }) => phase === "waiting");
    expect(state).toMatchObject({
      after: { kind: "refused", code: "VERSION_UNSUPPORTED", protocolVersions: [7, 8] },
    });
    if (state.phase === "waiting") expect(state.retryInMs).toBeGreaterThanOrEqual(10_000);
    expect((await gateway.connection()).raw).toHaveLength(0);
    stop.abort();
    await expect(starting).rejects.toThrow("stopped before the gateway welcomed it");
  });

  it("tells what to do when the gateway does not know the device, and comes back when it does", async () => {
    const gateway = await openGateway({ greets: false });
    const { log, lines } = listLog();
    const timings = { reconnect: QUICK, refused: QUICK };
    const starting = startAgent(agentOptions(gateway, { log, timings }));
    const refused = await gateway.connection();
    await refused.hello();
    refused.send({ error: { code: edge.ErrorCode.UNAUTHENTICATED, fatal: true, message: "nobody" } });
    gateway.greets = true;
    const agent = await starting;
    onTestFinished(() => agent.close());
    expect(lines).toContainEqual({
      level: "error",
      text: expect.stringContaining("Register this device id with this key's public half"),
    });
  });

  it("gives up on a server that accepts and says nothing, within the greeting's deadline", async () => {
    const silent = createServer((socket) => socket.on("error", () => {}));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    onTestFinished(() => void silent.close());
    const address = silent.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const log = stateLog();
    const stop = new AbortController();
    const gateway = await openGateway();
    const starting = startAgent({
      ...agentOptions(gateway, { onState: log.onState, signal: stop.signal }),
      gateway: `ws://127.0.0.1:${address.port}`,
      timings: { greetingDeadlineMs: 50, reconnect: QUICK },
    });
    expect(await log.until(({ phase }) => phase === "waiting")).toMatchObject({
      after: { kind: "lost", why: "no Welcome within 50 ms" },
    });
    stop.abort();
    await expect(starting).rejects.toThrow();
  });
});

describe("a link that breaks", () => {
  it("is opened again, with a jittered wait within the bounds before each try", async () => {
    const log = stateLog();
    const { gateway, connection } = await openLane({}, { onState: log.onState });
    connection.socket.terminate();
    const second = await gateway.connection();
    await second.hello();
    second.socket.terminate();
    await (await gateway.connection()).hello();
    const waits = log.states.flatMap((state) => (state.phase === "waiting" ? [state.retryInMs] : []));
    expect(waits).toHaveLength(2);
    for (const waitMs of waits) {
      expect(waitMs).toBeGreaterThanOrEqual(QUICK.leastMs);
      expect(waitMs).toBeLessThanOrEqual(QUICK.mostMs);
    }
  });

  it("is cut and opened again when it is half-open: heartbeats go out and no echo comes", async () => {
    const log = stateLog();
    const { gateway, connection } = await openLane(
      {},
      { onState: log.onState, timings: { reconnect: QUICK, echoDeadlineMs: 150 } },
    );
    await connection.nextHeartbeat();
    connection.freeze();
    await (await gateway.connection()).hello();
    expect(log.states).toContainEqual(
      expect.objectContaining({ after: { kind: "lost", why: "no heartbeat echo for 150 ms" } }),
    );
  });

  it("stays open as long as heartbeats are echoed, far beyond the echo's deadline", async () => {
    const { agent, gateway, connection } = await openLane(
      { welcome: { heartbeatIntervalMs: 20 } },
      { timings: { reconnect: QUICK, echoDeadlineMs: 100 } },
    );
    while (connection.heartbeats.length < 20) await connection.nextHeartbeat();
    expect(agent.state().phase).toBe("open");
    expect(gateway.connections).toHaveLength(1);
  });

  it("is cut when the gateway sends bytes that are no message", async () => {
    const { gateway, connection } = await openLane();
    connection.socket.send(Buffer.from([0x0a, 0xff]));
    await (await gateway.connection()).hello();
    expect(await connection.closed).toBe(1006);
  });

  it("survives a gateway that is away for a while", async () => {
    const { agent, gateway } = await openLane();
    await gateway.stop();
    const again = await FakeGateway.start({ port: gateway.port });
    onTestFinished(() => again.stop());
    await (await again.connection()).hello();
    expect(agent.terms().site).toBe("store-1");
  });

  it("is not opened again after close, and says good-bye", async () => {
    const { agent, gateway, connection } = await openLane();
    await agent.close();
    expect(await connection.closed).toBe(1000);
    expect(agent.state()).toEqual({ phase: "closed" });
    expect(gateway.connections).toHaveLength(1);
  });
});

describe("TLS", () => {
  it("connects when the gateway's authority is named, and refuses with a hint when it is not", async () => {
    const tls = selfSigned("localhost");
    const gateway = await openGateway({ tls });
    const agent = await startAgent(agentOptions(gateway, { ca: tls.cert }));
    await agent.close();

    const log = stateLog();
    const stop = new AbortController();
    const starting = startAgent(agentOptions(gateway, { onState: log.onState, signal: stop.signal }));
    const state = await log.until(({ phase }) => phase === "waiting");
    expect(state).toMatchObject({ after: { kind: "lost", why: expect.stringContaining("--ca") } });
    stop.abort();
    await expect(starting).rejects.toThrow();
  });
});
