// The agent's host in a browser: the browser's WebSocket, and a signature of WebCrypto.
//
// A browser's socket cannot be cut, only closed; `letGo` takes the listener off first, so that an end that comes late
// (a half-open connection takes the browser minutes) is told to nobody.
import {
  CLOSE_NORMAL,
  type DeviceSigner,
  type Host,
  MAX_SERVER_MESSAGE_BYTES,
  type Socket,
  type SocketListener,
} from "../edge-agent/host.js";

export const browserHost = (signer: DeviceSigner): Host => ({
  openSocket: (url, listener) => new BrowserSocket(url, listener),
  signer,
});

const DEAF: SocketListener = { onMessage: () => {}, onEnd: () => {} };

class BrowserSocket implements Socket {
  listener: SocketListener;
  readonly #socket: WebSocket;

  constructor(url: URL, listener: SocketListener) {
    this.listener = listener;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }: MessageEvent<unknown>) => this.#received(data);
    // The browser tells no cause with an error; a close follows each, with its code.
    this.#socket.onclose = ({ code }) => this.listener.onEnd(`closed with code ${code}`);
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  letGo(): void {
    this.listener = DEAF;
    this.#socket.close(CLOSE_NORMAL);
  }

  #received(data: unknown): void {
    if (data instanceof ArrayBuffer && data.byteLength > MAX_SERVER_MESSAGE_BYTES) {
      const { listener } = this;
      this.letGo();
      listener.onEnd("the other side sent more than a gateway says at once");
      return;
    }
    this.listener.onMessage(data instanceof ArrayBuffer ? new Uint8Array(data) : undefined);
  }
}
