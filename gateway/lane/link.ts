// One socket of the edge link, made safe: uWebSockets.js throws when a closed socket is touched, and closes it in the
// middle of a send when the peer reads too slowly.
//
// Invariants: after closed() nothing reaches the socket; a message is sent whole or the link is closed; every coded
// error that goes out is counted, and closes the link when the catalogue says so.
import type { WebSocket } from "uWebSockets.js";
import { edge, encode } from "../../wire/codec.js";
import { LINK_ERRORS, type LinkCode } from "../../wire/errors.js";
import type { GatewayMetrics } from "../metrics.js";

/** RFC 6455: policy violation, and going away. */
const CLOSE_REFUSED = 1008;
const CLOSE_GOING_AWAY = 1001;

/** The part of a uWebSockets.js socket that a link uses. */
export type Socket = Pick<WebSocket<unknown>, "send" | "end" | "cork">;

export class Link {
  #socket: Socket | undefined;
  readonly #metrics: Pick<GatewayMetrics, "linkError">;

  constructor(socket: Socket, metrics: Pick<GatewayMetrics, "linkError">) {
    this.#socket = socket;
    this.#metrics = metrics;
  }

  get open(): boolean {
    return this.#socket !== undefined;
  }

  send(message: edge.IServerMessage): void {
    this.#socket?.send(encode(edge.ServerMessage, message), true);
  }

  /** Sends several messages in one write. */
  sendAll(messages: readonly edge.IServerMessage[]): void {
    this.#socket?.cork(() => {
      for (const message of messages) this.send(message);
    });
  }

  /** Sends an error of the catalogue; a fatal one closes the link after it. */
  refuse(code: LinkCode, more: Partial<edge.IError> = {}): void {
    const { fatal, message } = LINK_ERRORS[code];
    this.#metrics.linkError(code);
    this.send({ error: { code: edge.ErrorCode[code], fatal, message, ...more } });
    if (fatal) this.#socket?.end(code === "SHUTTING_DOWN" ? CLOSE_GOING_AWAY : CLOSE_REFUSED);
  }

  /** The socket's close handler has run. */
  closed(): void {
    this.#socket = undefined;
  }
}
