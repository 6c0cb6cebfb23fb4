// The agent's host on Node: sockets of `ws`, keys of node:crypto.
import { type KeyObject, sign } from "node:crypto";
import { WebSocket } from "ws";
import {
  CLOSE_DEADLINE_MS,
  CLOSE_NORMAL,
  type Host,
  MAX_SERVER_MESSAGE_BYTES,
  type Socket,
  type SocketListener,
} from "./host.js";

export interface NodeHostOptions {
  /** Ed25519, see device-key.ts. */
  key: KeyObject;
  /** PEM of the certificate authorities to trust instead of the system's. */
  ca?: string | undefined;
}

export function nodeHost({ key, ca }: NodeHostOptions): Host {
  return {
    openSocket: (url, listener) => new NodeSocket(url, ca, listener),
    signer: { sign: async (bytes) => sign(null, bytes, key) },
  };
}

class NodeSocket implements Socket {
  listener: SocketListener;
  readonly #socket: WebSocket;

  constructor(url: URL, ca: string | undefined, listener: SocketListener) {
    this.listener = listener;
    this.#socket = new WebSocket(url, {
      ...(ca ? { ca } : {}),
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: MAX_SERVER_MESSAGE_BYTES,
    });
    this.#socket.on("message", (data, isBinary) =>
      this.listener.onMessage(isBinary && Buffer.isBuffer(data) ? data : undefined),
    );
    this.#socket.on("error", (error) => this.listener.onEnd(reasonOf(error)));
    this.#socket.on("close", (code) => this.listener.onEnd(`closed with code ${code}`));
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  letGo(gently: boolean): void {
    const socket = this.#socket;
    socket.removeAllListeners();
    // A socket without a listener for errors would throw them; why it ended is known already.
    socket.on("error", () => {});
    if (!gently) {
      socket.terminate();
      return;
    }
    const hard = setTimeout(() => socket.terminate(), CLOSE_DEADLINE_MS);
    socket.once("close", () => clearTimeout(hard));
    socket.close(CLOSE_NORMAL);
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
