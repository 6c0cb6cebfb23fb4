// A gateway's side of the edge link over a real socket, played by the test: it greets as told, keeps every byte that
// the agent sent, and says what the test wants it to say.

import { once } from "node:events";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { decode, edge, encode } from "../../wire/codec.js";
import { PASSAGE_TOKEN_BYTES } from "../../wire/limits.js";

/** Fails a test that waits for something that never comes, with what it waited for. */
const WAIT_DEADLINE_MS = 20_000;

export const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i);

export interface FakeGatewayOptions {
  /** Merged into each Welcome. */
  welcome?: Partial<edge.Welcome.$Properties>;
  /** false: the test greets by itself. */
  greets?: boolean;
  /** false: heartbeats stay without echo. */
  echoes?: boolean;
  /** false: the test acknowledges passages by itself. */
  acks?: boolean;
  /** Gateway's clock minus the test's, milliseconds. */
  clockAheadMs?: number;
  protocolVersions?: number[];
  tls?: { key: string; cert: string };
  port?: number;
}

export class FakeGateway {
  readonly url: string;
  readonly port: number;
  readonly connections: FakeConnection[] = [];
  readonly #stop: () => Promise<void>;
  #taken = 0;
  #onConnection: () => void = () => {};
  greets: boolean;
  echoes: boolean;
  acks: boolean;
  clockAheadMs: number;
  welcome: Partial<edge.Welcome.$Properties>;

  static async start(options: FakeGatewayOptions = {}): Promise<FakeGateway> {
    const { tls, port = 0 } = options;
    if (!tls) {
      const server = new WebSocketServer({ host: "127.0.0.1", port, path: "/link" });
      await once(server, "listening");
      return new FakeGateway(server, "ws", (server.address() as AddressInfo).port, options, async () => {});
    }
    const https = createTlsServer(tls);
    https.listen(port, "127.0.0.1");
    await once(https, "listening");
    const server = new WebSocketServer({ server: https, path: "/link" });
    return new FakeGateway(server, "wss", (https.address() as AddressInfo).port, options, async () => {
      https.closeAllConnections();
      await new Promise((resolve) => https.close(resolve));
    });
  }

  private constructor(
    server: WebSocketServer,
    scheme: string,
    port: number,
    {
      welcome = {},
      greets = true,
      echoes = true,
      acks = true,
      clockAheadMs = 0,
      protocolVersions = [1],
    }: FakeGatewayOptions,
    stopBelow: () => Promise<void>,
  ) {
    this.url = `${scheme}://localhost:${port}`;
    this.port = port;
    this.greets = greets;
    this.echoes = echoes;
    this.acks = acks;
    this.clockAheadMs = clockAheadMs;
    this.welcome = welcome;
    server.on("connection", (socket) => {
      const connection = new FakeConnection(socket, this);
      this.connections.push(connection);
      connection.send({ challenge: { nonce: NONCE, protocolVersions } });
      this.#onConnection();
    });
    this.#stop = async () => {
      for (const { socket } of this.connections) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
      await stopBelow();
    };
  }

  nowMs(): number {
    return Date.now() + this.clockAheadMs;
  }

  /** The next connection that no test step has taken yet. */
  async connection(): Promise<FakeConnection> {
    const index = this.#taken++;
    await waitFor(
      `connection ${index}`,
      () => this.connections[index] !== undefined,
      (wake) => {
        this.#onConnection = wake;
      },
    );
    const connection = this.connections[index];
    if (!connection) throw new Error("unreachable: waited for it");
    return connection;
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

export class FakeConnection {
  readonly socket: WebSocket;
  /** Every message of the agent, as it came. */
  readonly raw: Buffer[] = [];
  readonly heartbeats: edge.Heartbeat.$Properties[] = [];
  readonly closed: Promise<number>;
  #unread: edge.ClientMessage[] = [];
  #wake: () => void = () => {};
  readonly #gateway: FakeGateway;

  constructor(socket: WebSocket, gateway: FakeGateway) {
    this.socket = socket;
    this.#gateway = gateway;
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("message", (data: Buffer) => this.#receive(data));
  }

  send(message: edge.ServerMessage.$Properties): void {
    this.socket.send(encode(edge.ServerMessage, message));
  }

  sendWelcome(welcome: Partial<edge.Welcome.$Properties> = {}): void {
    this.send({
      welcome: {
        protocolVersion: 1,
        site: "store-1",
        purpose: edge.Purpose.ENTRY,
        gallery: "members",
        creditLimit: 4,
        maxMessageBytes: 256 * 1024,
        maxFramesPerPresentation: 3,
        maxImageSidePx: 1024,
        heartbeatIntervalMs: 50,
        presentationDeadlineMs: 1000,
        serverTimeUnixMs: this.#gateway.nowMs(),
        transport: "fake",
        ...this.#gateway.welcome,
        ...welcome,
      },
    });
  }

  /** A Decision about `frame`, granted and valid for two seconds unless told otherwise. */
  decide(
    frame: edge.Frame.$Properties,
    decision: Partial<edge.Decision.$Properties> = {},
  ): edge.Decision.$Properties {
    const whole = {
      presentationId: frame.presentationId ?? null,
      outcome: edge.Outcome.MATCH,
      granted: true,
      reason: edge.Reason.WELCOME_MEMBER,
      displayKey: "decision.welcome",
      pairwiseId: "abcdefghij234567",
      validUntilUnixMs: this.#gateway.nowMs() + 2000,
      passageToken: Uint8Array.from({ length: PASSAGE_TOKEN_BYTES }, () => Math.floor(Math.random() * 256)),
      ...decision,
    };
    this.send({ decision: whole });
    return whole;
  }

  acknowledge({ presentationId = null }: Pick<edge.GateReport.$Properties, "presentationId">): void {
    this.send({ passageAck: { presentationId } });
  }

  async hello(): Promise<edge.Hello.$Properties> {
    return need((await this.#next("Hello", ({ hello }) => !!hello)).hello);
  }

  async frame(): Promise<edge.Frame.$Properties> {
    return need((await this.#next("Frame", ({ frame }) => !!frame)).frame);
  }

  async report(): Promise<edge.GateReport.$Properties> {
    return need((await this.#next("GateReport", ({ gateReport }) => !!gateReport)).gateReport);
  }

  /** Frames that came and that nobody has read. */
  unreadFrames(): number {
    return this.#unread.filter(({ frame }) => frame).length;
  }

  unreadReports(): number {
    return this.#unread.filter(({ gateReport }) => gateReport).length;
  }

  async nextHeartbeat(): Promise<void> {
    const before = this.heartbeats.length;
    await waitFor(
      "a heartbeat",
      () => this.heartbeats.length > before,
      (wake) => {
        this.#wake = wake;
      },
    );
  }

  /**
   * The agent has seen and acted on all that was said before. Two heartbeats: the first may have been on its way
   * already; the second left the agent a whole interval later.
   */
  async settled(): Promise<void> {
    await this.nextHeartbeat();
    await this.nextHeartbeat();
  }

  /** As a dead machine: the socket stays, nothing is read and nothing is said. */
  freeze(): void {
    this.socket.pause();
  }

  #receive(data: Buffer): void {
    this.raw.push(data);
    const message = decode(edge.ClientMessage, data);
    if (!message) throw new Error("the agent sent bytes that are no ClientMessage");
    if (message.hello && this.#gateway.greets) this.sendWelcome();
    if (message.heartbeat) this.#echo(message.heartbeat);
    else this.#unread.push(message);
    if (message.gateReport && this.#gateway.acks) this.acknowledge(message.gateReport);
    this.#wake();
  }

  #echo(heartbeat: edge.Heartbeat.$Properties): void {
    this.heartbeats.push(heartbeat);
    if (!this.#gateway.echoes) return;
    const echoSentUnixMs = heartbeat.sentUnixMs ?? 0;
    this.send({ heartbeat: { sentUnixMs: this.#gateway.nowMs(), echoSentUnixMs } });
  }

  async #next(what: string, is: (message: edge.ClientMessage) => boolean): Promise<edge.ClientMessage> {
    await waitFor(
      what,
      () => this.#unread.some(is),
      (wake) => {
        this.#wake = wake;
      },
    );
    const index = this.#unread.findIndex(is);
    return need(this.#unread.splice(index, 1)[0]);
  }
}

function need<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("the message lacks its body");
  return value;
}

async function waitFor(
  what: string,
  holds: () => boolean,
  onWake: (wake: () => void) => void,
): Promise<void> {
  if (holds()) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the agent did not bring ${what} within ${WAIT_DEADLINE_MS} ms`)),
      WAIT_DEADLINE_MS,
    );
    onWake(() => {
      if (!holds()) return;
      clearTimeout(timer);
      onWake(() => {});
      resolve();
    });
  });
}
