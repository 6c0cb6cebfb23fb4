// Everything that must be refused at the front door: each a coded error or a closed socket, a counter, and nobody let in.
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { Agent } from "../../edge-agent/agent.js";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { decode, edge, encode } from "../../wire/codec.js";
import { helloBytes } from "../../wire/hello.js";
import { MAX_EDGE_MESSAGE_BYTES, PASSAGE_TOKEN_BYTES } from "../../wire/limits.js";
import { gatewayMetric, openSite, present, type Site } from "./support.js";

const ABNORMAL_CLOSURE = 1006;
const DEVICE = "gate-1";
const VERSION = 1;
const MAX_TRIES = 20;

/** A link held by hand: what a bad agent can do that ours never does. */
class RawLink {
  readonly #socket: WebSocket;
  readonly #inbox: edge.ServerMessage[] = [];
  #wake: (() => void) | undefined;
  readonly closed: Promise<number>;

  constructor(linkUrl: string) {
    this.#socket = new WebSocket(`${linkUrl.replace("http", "ws")}/link`);
    this.#socket.on("message", (data: Buffer) => {
      const message = decode(edge.ServerMessage, data);
      if (message) this.#inbox.push(message);
      this.#wake?.();
    });
    this.#socket.on("error", () => {});
    this.closed = once(this.#socket, "close").then(([code]) => Number(code));
    this.closed.then(() => this.#wake?.());
  }

  /** The next message that has this field. */
  async next<K extends "challenge" | "welcome" | "error" | "decision" | "passageAck">(
    kind: K,
  ): Promise<NonNullable<edge.ServerMessage[K]>> {
    for (;;) {
      const at = this.#inbox.findIndex((message) => message[kind]);
      const found = this.#inbox.splice(at, at < 0 ? 0 : 1)[0]?.[kind];
      if (found) return found as NonNullable<edge.ServerMessage[K]>;
      if (this.#socket.readyState === WebSocket.CLOSED) throw new Error(`closed without a ${kind}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The nonce of this connection's Challenge. */
  async nonce(): Promise<Uint8Array> {
    return (await this.next("challenge")).nonce ?? new Uint8Array();
  }

  /** The next error: its code's name and all else that it says. */
  async error(): Promise<edge.Error.$Properties & { name: string }> {
    const error = await this.next("error");
    return { ...error, name: edge.ErrorCode[error.code ?? 0] ?? "" };
  }

  /** No decision came, so far. */
  sawDecision(): boolean {
    return this.#inbox.some((message) => message.decision);
  }

  send(message: edge.ClientMessage.$Properties): void {
    this.#socket.send(encode(edge.ClientMessage, message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  close(): void {
    this.#socket.terminate();
  }
}

describe("the front door", () => {
  let site: Site;
  beforeAll(async () => {
    site = await openSite({ desks: 1, ledgers: 1, rows: 1 });
    await site.enrol(1);
  });
  afterAll(() => site?.close());

  const key = () => loadDeviceKey(site.stack.deviceKeyFile(DEVICE));
  const errors = (code: keyof typeof edge.ErrorCode) =>
    gatewayMetric(site.stack, `palmgate_link_errors_total{code="${code}"}`);
  const passages = (passage: keyof typeof edge.Passage) =>
    gatewayMetric(site.stack, `palmgate_passages_total{passage="${passage.toLowerCase()}"}`);
  const hello = (
    nonce: Uint8Array,
    signingKey = key(),
    version = VERSION,
  ): edge.ClientMessage.$Properties => ({
    hello: {
      deviceId: DEVICE,
      protocolVersion: version,
      signature: sign(null, helloBytes(nonce, version, DEVICE), signingKey),
    },
  });
  async function welcomed(): Promise<RawLink> {
    const link = new RawLink(site.stack.linkUrl);
    link.send(hello(await link.nonce()));
    await link.next("welcome");
    return link;
  }
  /** A busy machine may say "one moment". */
  async function granted(gate: Agent): Promise<edge.Decision.$Properties> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const end = await present(gate, 1);
      if (end.kind === "decision" && end.decision.granted) return end.decision;
    }
    throw new Error(`not granted in ${MAX_TRIES} tries`);
  }
  async function refusedHello(
    make: (nonce: Uint8Array) => edge.ClientMessage.$Properties,
  ): Promise<edge.Error.$Properties & { name: string }> {
    const link = new RawLink(site.stack.linkUrl);
    link.send(make(await link.nonce()));
    const error = await link.error();
    expect(error.fatal).toBe(true);
    await link.closed;
    return error;
  }

  it("refuses an old protocol version and names the versions that would do", async () => {
    const before = await errors("VERSION_UNSUPPORTED");
    const error = await refusedHello((nonce) => hello(nonce, key(), 0));
    expect(error.name).toBe("VERSION_UNSUPPORTED");
    expect(error.protocolVersions).toEqual([VERSION]);
    expect(await errors("VERSION_UNSUPPORTED")).toBe(before + 1);
  });

  it("refuses a wrong key", async () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const error = await refusedHello((nonce) => hello(nonce, privateKey));
    expect(error.name).toBe("UNAUTHENTICATED");
  });

  it("refuses a Hello that was recorded on another connection", async () => {
    const first = new RawLink(site.stack.linkUrl);
    const recorded = hello(await first.nonce());
    first.close();
    const error = await refusedHello(() => recorded);
    expect(error.name).toBe("UNAUTHENTICATED");
  });

  it("refuses frames before the Hello", async () => {
    const error = await refusedHello(() => ({ frame: { presentationId: randomBytes(16) } }));
    expect(error.name).toBe("HELLO_EXPECTED");
  });

  it("cuts off an oversized frame, decides nothing, and goes on with others", async () => {
    const link = await welcomed();
    link.send({
      frame: { presentationId: randomBytes(16), image: new Uint8Array(MAX_EDGE_MESSAGE_BYTES + 1) },
    });
    expect(await link.closed).toBe(ABNORMAL_CLOSURE);
    expect(link.sawDecision()).toBe(false);
    const next = await welcomed();
    next.close();
  });

  it("refuses a frame whose bytes are not its declared size", async () => {
    const link = await welcomed();
    link.send({
      frame: {
        presentationId: randomBytes(16),
        encoding: edge.Encoding.GRAY8,
        widthPx: 128,
        heightPx: 128,
        stage: edge.Stage.ROI,
        modality: edge.Modality.VISIBLE,
        image: new Uint8Array(100),
      },
    });
    expect((await link.error()).name).toBe("BAD_IMAGE");
    expect(link.sawDecision()).toBe(false);
    link.close();
  });

  it("closes on bytes that are no message", async () => {
    const link = await welcomed();
    link.sendBytes(new Uint8Array([0x0a, 0xff, 0xff]));
    expect((await link.error()).name).toBe("MALFORMED");
    await link.closed;
  });

  it("refuses a passage token that was never given, and acknowledges one that is on record already", async () => {
    const gate = await site.lane(DEVICE);
    const { presentationId = null, passageToken = null } = await granted(gate);
    await gate.close(); // its report is acknowledged; the raw link now takes its place and replays the report
    const link = await welcomed();
    const report = (token: Uint8Array | null, id = presentationId) =>
      link.send({
        gateReport: {
          presentationId: id,
          passageToken: token,
          passage: edge.Passage.FAILED,
          atUnixMs: Date.now(),
        },
      });
    const before = await passages("FAILED");
    report(passageToken);
    expect((await link.next("passageAck")).presentationId).toEqual(presentationId);
    // What is on record stays: the passage was OPENED.
    expect(await passages("FAILED")).toBe(before);
    const changed = Uint8Array.from(passageToken ?? []);
    changed[PASSAGE_TOKEN_BYTES - 1] = (changed[PASSAGE_TOKEN_BYTES - 1] ?? 0) ^ 1;
    report(changed);
    expect((await link.error()).name).toBe("TOKEN_INVALID");
    report(randomBytes(PASSAGE_TOKEN_BYTES));
    expect((await link.error()).name).toBe("TOKEN_INVALID");
    // Of another presentation.
    report(passageToken, randomBytes(16));
    expect((await link.error()).name).toBe("TOKEN_INVALID");
    link.close();
  });

  it("closes the older link when the same device connects again", async () => {
    const older = await welcomed();
    const newer = await welcomed();
    expect((await older.error()).name).toBe("DUPLICATE_DEVICE");
    await older.closed;
    newer.close();
  });
});
