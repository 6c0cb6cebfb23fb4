// How a connection begins: connect, wait for the Challenge, answer with Hello, wait for the Welcome.
//
// Invariants:
// - it ends within greetingDeadlineMs, with a Connection or with why there is none; in the second case the socket is gone;
// - exactly one Hello is sent, over the Challenge of this very connection;
// - no message is lost between greeting and connection: the Connection listens before Welcome's handler returns.
import { decode, edge, encode } from "../wire/edge-codec.js";
import { helloBytes } from "../wire/hello.js";
import { CHALLENGE_BYTES, PROTOCOL_VERSIONS } from "../wire/limits.js";
import { laneNowMs } from "./clock.js";
import { Connection, type ConnectionEnd, type ConnectionEvents, errorName } from "./connection.js";
import type { Host, Socket } from "./host.js";
import { readTerms } from "./terms.js";

const AGENT_VERSION = "palmgate-edge/0.1.0";

export interface GreetingOptions {
  url: URL;
  host: Host;
  deviceId: string;
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
  readonly #socket: Socket;
  readonly #deadline: ReturnType<typeof setTimeout>;
  #isChallenged = false;
  /** Lane's clock; undefined until Hello is sent. */
  #helloSentMs: number | undefined;
  #isOver = false;

  constructor(options: GreetingOptions, resolve: (greeted: Greeted) => void) {
    const { url, host, greetingDeadlineMs, signal } = options;
    this.#options = options;
    this.#resolve = resolve;
    this.#socket = host.openSocket(url, {
      onMessage: (bytes) => this.#receive(bytes),
      onEnd: (why) => this.#fail({ kind: "lost", why }),
    });
    this.#deadline = setTimeout(
      () => this.#fail({ kind: "lost", why: `no Welcome within ${greetingDeadlineMs} ms` }),
      greetingDeadlineMs,
    );
    signal.addEventListener("abort", this.#abort);
  }

  readonly #abort = () => this.#fail({ kind: "closed" });

  #receive(bytes: Uint8Array | undefined): void {
    const message = bytes && decode(edge.ServerMessage, bytes);
    if (message?.error) this.#refused(message.error);
    else if (message?.challenge && !this.#isChallenged) this.#answer(message.challenge);
    else if (message?.welcome && this.#helloSentMs !== undefined)
      this.#welcome(message.welcome, this.#helloSentMs);
    else this.#fail({ kind: "lost", why: "what answers there is no Palmgate gateway" });
  }

  #answer({ nonce, protocolVersions }: edge.Challenge.$Properties): void {
    this.#isChallenged = true;
    const offered = protocolVersions ?? [];
    const protocolVersion = offered.find((version) => PROTOCOL_VERSIONS.includes(version));
    if (protocolVersion === undefined) {
      const message = `the gateway speaks versions ${offered.join(", ")}; this agent ${PROTOCOL_VERSIONS.join(", ")}`;
      this.#fail({ kind: "refused", code: "VERSION_UNSUPPORTED", message, protocolVersions: offered });
    } else if (nonce?.length !== CHALLENGE_BYTES) {
      this.#fail({ kind: "lost", why: `a challenge of ${nonce?.length ?? 0} bytes is not signed` });
    } else {
      void this.#hello(nonce, protocolVersion);
    }
  }

  async #hello(nonce: Uint8Array, protocolVersion: number): Promise<void> {
    const { deviceId, host } = this.#options;
    const signature = await host.signer.sign(helloBytes(nonce, protocolVersion, deviceId));
    if (this.#isOver) return;
    this.#helloSentMs = laneNowMs();
    const hello = { deviceId, protocolVersion, signature, agentVersion: AGENT_VERSION };
    this.#socket.send(encode(edge.ClientMessage, { hello }));
  }

  #welcome(welcome: edge.Welcome.$Properties, helloSentMs: number): void {
    this.#finish();
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
    this.#socket.letGo(false);
    this.#resolve({ ok: false, end });
  }

  #finish(): void {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    this.#options.signal.removeEventListener("abort", this.#abort);
  }
}
