// What the agent's core asks of the machine that it runs on: a socket, its device's signature, a log. The core is
// lane-agent.ts and everything below it; it names neither Node nor the browser, and each brings its own host
// (node-host.ts, and the lane page).

/** The gateway's messages are small; anything larger is not from a gateway. */
export const MAX_SERVER_MESSAGE_BYTES = 64 * 1024;
export const CLOSE_NORMAL = 1000;
/** How long a socket that we close may take to say good-bye. */
export const CLOSE_DEADLINE_MS = 500;

/** Who listens to a socket; it may change hands between two messages. */
export interface SocketListener {
  /** @param bytes a binary message; undefined: the other side sent text */
  onMessage(bytes: Uint8Array | undefined): void;
  /** The socket failed or was closed. Nothing comes after it. */
  onEnd(why: string): void;
}

export interface Socket {
  /** Set before the first message can come, and never left without one until `letGo`. */
  listener: SocketListener;
  readonly isOpen: boolean;
  send(bytes: Uint8Array): void;
  /** Ends it: with a close frame when there is time for one, else at once. The listener hears nothing any more. */
  letGo(gently: boolean): void;
}

/** The device's private key, which stays where it is. */
export interface DeviceSigner {
  /** Ed25519, 64 bytes. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

export interface Host {
  /** Starts to connect; never throws: a failure is told to the listener, later. */
  openSocket(url: URL, listener: SocketListener): Socket;
  readonly signer: DeviceSigner;
}

/** What the core says to people. A pino logger fits. */
export interface AgentLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
