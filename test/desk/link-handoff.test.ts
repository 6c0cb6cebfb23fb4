// Lanes that come to the desk's address: handed on to a gateway, byte for byte.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type Handoff, openHandoff } from "../../desk/link-handoff.js";
import { openMetrics } from "../../desk/metrics.js";
import { routeUpgrades } from "../../desk/upgrades.js";
import type { GatewayState } from "../../wire/gateways.js";

const closes: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close();
});

const stateOf = (id: string, port: number, changed: Partial<GatewayState> = {}): GatewayState => ({
  id,
  instance: "i",
  host: "127.0.0.1",
  port,
  tls: false,
  lanes: 0,
  presentations: 0,
  transport: "uws-native",
  notReady: [],
  ...changed,
});

async function openDesk(
  gateways: readonly GatewayState[],
  maxLinks = 100,
): Promise<{ port: number; handoff: Handoff; metrics: ReturnType<typeof openMetrics> }> {
  const metrics = openMetrics();
  const handoff = openHandoff({ gateways: () => gateways, caFile: undefined, metrics, maxLinks });
  const server: HttpServer = createHttpServer((_request, response) => response.writeHead(404).end());
  routeUpgrades(server, { "/link": handoff.upgrade });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closes.push(() => {
    handoff.close();
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, handoff, metrics };
}

/** A gateway that writes down what it gets, and answers nothing by itself. */
async function openRawGateway(): Promise<{
  port: number;
  received: Buffer[];
  sockets: Socket[];
  server: Server;
}> {
  const received: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => received.push(chunk));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closes.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, received, sockets, server };
}

/** A port that nobody listens on. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const HEAD = [
  "GET /link?x=1 HTTP/1.1",
  "Host: desk.example",
  "X-Odd-CASE:  twice",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "Cookie: a=1",
  "Cookie: b=2",
];

function client(port: number, ...parts: (string | Buffer)[]): Socket {
  const socket = connect(port, "127.0.0.1", () => {
    for (const part of parts) socket.write(part);
  });
  socket.on("error", () => {});
  closes.push(() => void socket.destroy());
  return socket;
}

describe("a link that comes to the desk", () => {
  it("reaches a gateway with every header as it came, and every byte after it, both ways", async () => {
    const gateway = await openRawGateway();
    const { port, handoff } = await openDesk([stateOf("g1", gateway.port)]);
    const early = randomBytes(50_000);
    const socket = client(port, `${HEAD.join("\r\n")}\r\n\r\n`, early);
    await vi.waitUntil(
      () => Buffer.concat(gateway.received).length >= early.length + HEAD.join("\r\n").length,
    );
    const got = Buffer.concat(gateway.received);
    const end = got.indexOf("\r\n\r\n");
    const lines = got.subarray(0, end).toString("latin1").split("\r\n");
    // Blanks around a value are no part of it (RFC 9110 5.5).
    expect(lines).toEqual(HEAD.map((line) => line.replace(":  ", ": ")));
    expect(got.subarray(end + 4).equals(early)).toBe(true);
    const back = randomBytes(200_000);
    gateway.sockets[0]?.write(back);
    let received = Buffer.alloc(0);
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer]);
      if (received.length >= back.length) break;
    }
    expect(received.equals(back)).toBe(true);
    await vi.waitUntil(() => handoff.links() === 0);
  });

  it("speaks WebSocket through it as if the desk were not there", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    closes.push(() => server.close());
    await once(server, "listening");
    server.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    const { port, metrics } = await openDesk([stateOf("g1", (server.address() as AddressInfo).port)]);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/link`);
    await once(socket, "open");
    const message = randomBytes(100_000);
    socket.send(message);
    const [answer] = await once(socket, "message");
    expect((answer as Buffer).equals(message)).toBe(true);
    socket.close();
    await once(socket, "close");
    const text = await metrics.registry.getSingleMetricAsString("palmgate_link_handoffs_total");
    expect(text).toContain('result="handed"} 1');
  });

  it("goes to gateways in turn, to those that are ready first, and past one that takes no connection", async () => {
    const [one, two, sick] = [await openRawGateway(), await openRawGateway(), await openRawGateway()];
    const { port } = await openDesk([
      stateOf("dead", await deadPort()),
      stateOf("g1", one.port),
      stateOf("g2", two.port),
      stateOf("sick", sick.port, { notReady: ["no shard is served"] }),
    ]);
    for (let n = 0; n < 6; n++) client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => one.sockets.length + two.sockets.length === 6);
    expect(Math.min(one.sockets.length, two.sockets.length)).toBeGreaterThanOrEqual(2);
    expect(sick.sockets).toHaveLength(0);
  });

  it("is given one that is not ready where there is no other", async () => {
    const gateway = await openRawGateway();
    const { port } = await openDesk([stateOf("g1", gateway.port, { notReady: ["x"], host: "0.0.0.0" })]);
    client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => gateway.sockets.length === 1);
  });

  it("ends on one side when it ends on the other", async () => {
    const gateway = await openRawGateway();
    const { port } = await openDesk([stateOf("g1", gateway.port)]);
    const first = client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => gateway.sockets.length === 1);
    gateway.sockets[0]?.destroy();
    await once(first, "close");
    const second = client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => gateway.sockets.length === 2);
    const gone = once(gateway.sockets[1] as Socket, "close");
    second.destroy();
    await gone;
  });

  it("stops the side that sends while the other does not read", async () => {
    const gateway = await openRawGateway();
    const { port } = await openDesk([stateOf("g1", gateway.port)]);
    const socket = client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => gateway.sockets.length === 1);
    gateway.sockets[0]?.pause();
    const before = process.memoryUsage().rss;
    const chunk = Buffer.alloc(1024 * 1024);
    let written = 0;
    while (written < 200 && socket.write(chunk)) written++;
    // What is not taken waits at the sender, who sees that it does.
    expect(socket.writableNeedDrain).toBe(true);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });

  it("is told 503 when the desk has as many as it carries", async () => {
    const gateway = await openRawGateway();
    const { port, handoff } = await openDesk([stateOf("g1", gateway.port)], 1);
    const first = client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => handoff.links() === 1);
    const second = client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    const [answer] = await once(second, "data");
    expect(String(answer)).toContain("503");
    first.destroy();
    await vi.waitUntil(() => handoff.links() === 0);
    client(port, `${HEAD.join("\r\n")}\r\n\r\n`);
    await vi.waitUntil(() => gateway.sockets.length === 2);
  });

  it("is told 503 when there is no gateway, and 404 at any other address", async () => {
    const { port } = await openDesk([stateOf("dead", await deadPort())]);
    const answered = async (head: string) => {
      const socket = client(port, head);
      let text = "";
      for await (const chunk of socket) text += String(chunk);
      return text;
    };
    expect(await answered(`${HEAD.join("\r\n")}\r\n\r\n`)).toContain("503 Service Unavailable");
    expect(await answered(`${HEAD.join("\r\n").replace("/link", "/elsewhere")}\r\n\r\n`)).toContain(
      "404 Not Found",
    );
  });
});
