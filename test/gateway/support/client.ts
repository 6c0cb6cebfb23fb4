// A lane's end of a link, and what it says.
import { type KeyObject, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";
import { decode, edge, encode } from "../../../wire/codec.js";
import { helloBytes } from "../../../wire/hello.js";

export const SIDE_PX = 64;

export function helloOf(
  deviceId: string,
  nonce: Uint8Array,
  key: KeyObject,
  protocolVersion = 1,
): edge.IHello {
  const signature = sign(null, helloBytes(nonce, protocolVersion, deviceId), key);
  return { deviceId, protocolVersion, signature, agentVersion: "test" };
}

export const newId = () => randomBytes(16);

export const frameOf = (presentationId: Uint8Array, more: Partial<edge.IFrame> = {}): edge.IFrame => ({
  presentationId,
  sequence: 0,
  capturedUnixMs: Date.now(),
  encoding: edge.Encoding.GRAY8,
  widthPx: SIDE_PX,
  heightPx: SIDE_PX,
  stage: edge.Stage.ROI,
  modality: edge.Modality.NIR,
  image: new Uint8Array(SIDE_PX * SIDE_PX).fill(7),
  ...more,
});

type Kind =
  | "challenge"
  | "welcome"
  | "credit"
  | "guide"
  | "decision"
  | "progress"
  | "passageAck"
  | "error"
  | "heartbeat";

/** The other end of a link, with everything it was told in order. */
export class Client {
  readonly #socket: WebSocket;
  readonly #told: edge.ServerMessage[] = [];
  #wake: (() => void) | undefined;
  #credit = 0;
  closeCode: number | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (bytes: Buffer) => {
      const message = decode(edge.ServerMessage, bytes);
      if (message === undefined) throw new Error("the gateway sent no ServerMessage");
      this.#told.push(message);
      const limit = [message.credit, message.welcome, message.decision, message.error]
        .map((each) => each?.creditLimit ?? 0)
        .reduce((a, b) => Math.max(a, b), this.#credit);
      this.#credit = limit;
      this.#wake?.();
    });
    socket.on("close", (code) => {
      this.closeCode = code;
      this.#wake?.();
    });
  }

  static async connect(port: number): Promise<Client> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/link`);
    const client = new Client(socket);
    await once(socket, "open");
    return client;
  }

  /** Highest credit limit heard so far. */
  get credit(): number {
    return this.#credit;
  }

  send(message: edge.IClientMessage): void {
    this.#socket.send(encode(edge.ClientMessage, message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  /** The next message of this kind; those of other kinds before it are dropped, but an error is never overlooked. */
  async next<K extends Kind>(kind: K): Promise<NonNullable<edge.ServerMessage[K]>> {
    for (;;) {
      const message = this.#told.shift();
      const wanted = message?.[kind];
      if (wanted !== undefined && wanted !== null) return wanted;
      if (message?.error) throw new Error(`told ${edge.ErrorCode[message.error.code ?? 0]}, not ${kind}`);
      if (message !== undefined) continue;
      if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode}, before ${kind}`);
      await this.#change();
    }
  }

  /** The code of the next error. */
  async nextError(): Promise<keyof typeof edge.ErrorCode> {
    const { code } = await this.next("error");
    return edge.ErrorCode[code ?? 0] as keyof typeof edge.ErrorCode;
  }

  /** Everything told and not yet taken. */
  take(): edge.ServerMessage[] {
    return this.#told.splice(0);
  }

  /** Waits until the gateway has handled everything sent before, by a heartbeat's echo. */
  async settled(): Promise<void> {
    const sentUnixMs = Math.floor(Math.random() * 2 ** 40) + 1;
    this.send({ heartbeat: { sentUnixMs } });
    while (!this.#told.some((each) => each.heartbeat?.echoSentUnixMs === sentUnixMs)) await this.#change();
  }

  async closed(): Promise<number> {
    while (this.closeCode === undefined) await this.#change();
    return this.closeCode;
  }

  close(): void {
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
