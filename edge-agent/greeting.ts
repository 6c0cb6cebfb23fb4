// How a connection begins: connect, wait for the Challenge, answer with Hello, wait for the Welcome.
//
// Invariants:
// - it ends within greetingDeadlineMs, with a Connection or with why there is none; in the second case the socket is gone;
// - exactly one Hello is sent, over the Challenge of this very connection;
// - no message is lost between greeting and connection: the Connection listens before Welcome's handler returns.
import type { KeyObject } from "node:crypto";
import { type RawData, WebSocket } from "ws";
import { decode, edge, encode } from "../wire/codec.js";
import { CHALLENGE_BYTES, PROTOCOL_VERSIONS } from "../wire/limits.js";
import { laneNowMs } from "./clock.js";
import { Connection, type ConnectionEnd, type ConnectionEvents, errorName, letGo } from "./connection.js";
import { signHello } from "./device-key.js";
import { readTerms } from "./terms.js";

const AGENT_VERSION = "palmgate-edge/0.1.0";
/** The gateway's messages are small; anything larger is not from a gateway. */
const MAX_SERVER_MESSAGE_BYTES = 64 * 1024;

export interface GreetingOptions {
  url: URL;
  /** PEM of the certificate authorities to trust instead of the system's. */
  ca?: string | undefined;
  deviceId: string;
  key: KeyObject;
  greetingDeadlineMs: number;
  echoDeadlineMs: number;
  events: ConnectionEvents;
  signal: AbortSignal;
}

export type Greeted = { ok: true; connection: Connection } | { ok: false; end: ConnectionEnd };

/** Opens one connection. Never rejects. */
export function greet(options: GreetingOptions): Promise<Greeted> {
  return new Promise((resolve) => new Greeting(options, resolve));
}

class Greeting {
  readonly #options: GreetingOptions;
  readonly #resolve: (greeted: Greeted) => void;
  readonly #socket: WebSocket;
  readonly #deadline: NodeJS.Timeout;
  /** Lane's clock; undefined until Hello is sent. */
  #helloSentMs: number | undefined;

  constructor(options: GreetingOptions, resolve: (greeted: Greeted) => void) {
    const { url, ca, greetingDeadlineMs, signal } = options;
    this.#options = options;
    this.#resolve = resolve;
    this.#socket = new WebSocket(url, {
      ...(ca ? { ca } : {}),
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: MAX_SERVER_MESSAGE_BYTES,
    });
    this.#socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    this.#socket.on("error", (error) => this.#fail({ kind: "lost", why: reasonOf(error) }));
    this.#socket.on("close", (code) => this.#fail({ kind: "lost", why: `closed with code ${code}` }));
    this.#deadline = setTimeout(
      () => this.#fail({ kind: "lost", why: `no Welcome within ${greetingDeadlineMs} ms` }),
      greetingDeadlineMs,
    );
    signal.addEventListener("abort", this.#abort);
  }

  readonly #abort = () => this.#fail({ kind: "closed" });

  #receive(data: RawData, isBinary: boolean): void {
    const message = isBinary && Buffer.isBuffer(data) ? decode(edge.ServerMessage, data) : undefined;
    if (message?.error) this.#refused(message.error);
    else if (message?.challenge && this.#helloSentMs === undefined) this.#answer(message.challenge);
    else if (message?.welcome && this.#helloSentMs !== undefined)
      this.#welcome(message.welcome, this.#helloSentMs);
    else this.#fail({ kind: "lost", why: "what answers there is no Palmgate gateway" });
  }

  #answer({ nonce, protocolVersions }: edge.Challenge.$Properties): void {
    const offered = protocolVersions ?? [];
    const protocolVersion = offered.find((version) => PROTOCOL_VERSIONS.includes(version));
    if (protocolVersion === undefined) {
      const message = `the gateway speaks versions ${offered.join(", ")}; this agent ${PROTOCOL_VERSIONS.join(", ")}`;
      this.#fail({ kind: "refused", code: "VERSION_UNSUPPORTED", message, protocolVersions: offered });
    } else if (nonce?.length !== CHALLENGE_BYTES) {
      this.#fail({ kind: "lost", why: `a challenge of ${nonce?.length ?? 0} bytes is not signed` });
    } else {
      this.#hello(nonce, protocolVersion);
    }
  }

  #hello(nonce: Uint8Array, protocolVersion: number): void {
    const { deviceId, key } = this.#options;
    const signature = signHello(key, nonce, protocolVersion, deviceId);
    this.#helloSentMs = laneNowMs();
    const hello = { deviceId, protocolVersion, signature, agentVersion: AGENT_VERSION };
    this.#socket.send(encode(edge.ClientMessage, { hello }));
  }

  #welcome(welcome: edge.Welcome.$Properties, helloSentMs: number): void {
    this.#finish();
    this.#socket.removeAllListeners();
    const connection = new Connection({
      socket: this.#socket,
      terms: readTerms(welcome),
      greeting: {
        sentMs: helloSentMs,
        receivedMs: laneNowMs(),
        gatewayMs: welcome.serverTimeUnixMs ?? 0,
      },
      echoDeadlineMs: this.#options.echoDeadlineMs,
      events: this.#options.events,
    });
    this.#resolve({ ok: true, connection });
  }

  #refused({ code, message, protocolVersions }: edge.Error.$Properties): void {
    const name = errorName(code);
    this.#options.events.onLinkError(name, message ?? "", true);
    this.#fail({
      kind: "refused",
      code: name,
      message: message ?? "",
      protocolVersions: protocolVersions ?? [],
    });
  }

  #fail(end: ConnectionEnd): void {
    this.#finish();
    letGo(this.#socket, false);
    this.#resolve({ ok: false, end });
  }

  #finish(): void {
    clearTimeout(this.#deadline);
    this.#options.signal.removeEventListener("abort", this.#abort);
  }
}

/** Node tells TLS and network causes by code; some errors have no message at all. */
function reasonOf(error: Error & { code?: string }): string {
  const hint = TLS_HINTS.has(error.code ?? "") ? " (name the gateway's authority with --ca)" : "";
  return `${error.message || error.code || error.name}${hint}`;
}

const TLS_HINTS: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
]);
