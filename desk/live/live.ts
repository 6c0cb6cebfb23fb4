// The live feed: decisions over the WebSocket /live, for the live page and whoever else watches.
//
// Invariants (test/desk/live.test.ts):
// - decisions go out in batches, made once for all viewers; between two batches at most MAX_BATCH_DECISIONS are shown;
// - a viewer that does not read is dropped at MAX_BACKPRESSURE_BYTES; there are at most MAX_VIEWERS;
// - with `livePage: "token"` nothing of the feed is sent before the operator token was seen;
// - a browser on another site cannot read the feed: the Origin must be our own host.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { LiveDecision } from "../../wire/live.js";
import type { Status } from "../fleet/status.js";
import type { LiveFeed } from "./feed.js";

const MAX_VIEWERS = 100;
const MAX_BACKPRESSURE_BYTES = 1024 * 1024;
/** A viewer has nothing to say. */
const MAX_VIEWER_MESSAGE_BYTES = 1024;
const PING_INTERVAL_MS = 15_000;
const BATCH_INTERVAL_MS = 100;
const STATUS_INTERVAL_MS = 2000;
/** More decisions than these between two batches are counted, not shown. */
const MAX_BATCH_DECISIONS = 60;

const PROTOCOL = "palmgate-live";
const TOKEN_PREFIX = "token.";
export const CLOSED_UNAUTHORISED = 4401;
export const CLOSED_FULL = 4429;
const CLOSED_GOING_AWAY = 1001;
/** Who has not answered the farewell by then is cut off. */
const FAREWELL_MS = 500;

export interface LiveOptions {
  feed: LiveFeed;
  status(): Status;
  /** Whether an operator's token is this; `undefined`: all may watch. */
  tokenHolds: ((token: string, request: IncomingMessage) => boolean) | undefined;
}

export interface Live {
  /** Takes an upgrade of /live. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  viewers(): number;
  /** Says farewell to every viewer. */
  close(): Promise<void>;
}

export function openLive(options: LiveOptions): Live {
  return new LiveServer(options);
}

class LiveServer implements Live {
  readonly #options: LiveOptions;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_VIEWER_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  /** Who watches, and whether they have answered since they were asked last. */
  readonly #viewers = new Map<WebSocket, { isAlive: boolean }>();
  readonly #timers: NodeJS.Timeout[];
  readonly #unsubscribe: () => void;
  #waiting: LiveDecision[] = [];

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#unsubscribe = options.feed.subscribe((decision) => {
      if (this.#viewers.size === 0) return;
      this.#waiting.push(decision);
      if (this.#waiting.length > MAX_BATCH_DECISIONS) this.#waiting.shift();
    });
    this.#timers = [
      setInterval(() => this.#tellBatch(), BATCH_INTERVAL_MS),
      setInterval(() => {
        if (this.#viewers.size > 0) this.#tell({ kind: "status", ...this.#overview() });
      }, STATUS_INTERVAL_MS),
      setInterval(() => this.#ping(), PING_INTERVAL_MS),
    ];
  }

  viewers = () => this.#viewers.size;

  upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (!isSameOrigin(request)) {
      socket.end("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    const { tokenHolds } = this.#options;
    const isWelcome = tokenHolds === undefined || tokenHolds(tokenIn(request), request);
    this.#server.handleUpgrade(request, socket, head, (viewer) => this.#welcome(viewer, isWelcome));
  };

  async close(): Promise<void> {
    this.#unsubscribe();
    for (const timer of this.#timers) clearInterval(timer);
    const viewers = [...this.#viewers.keys()];
    const gone = viewers.map((viewer) => new Promise((resolve) => viewer.once("close", resolve)));
    for (const viewer of viewers) viewer.close(CLOSED_GOING_AWAY, "the desk is stopping");
    const hard = setTimeout(() => {
      for (const viewer of viewers) viewer.terminate();
    }, FAREWELL_MS);
    await Promise.all(gone);
    clearTimeout(hard);
    this.#server.close();
  }

  #welcome(viewer: WebSocket, isWelcome: boolean): void {
    viewer.on("error", () => viewer.terminate());
    if (!isWelcome || this.#viewers.size >= MAX_VIEWERS) {
      if (isWelcome) viewer.close(CLOSED_FULL, "too many viewers");
      else viewer.close(CLOSED_UNAUTHORISED, "operator token needed");
      return;
    }
    const state = { isAlive: true };
    this.#viewers.set(viewer, state);
    viewer.on("pong", () => {
      state.isAlive = true;
    });
    viewer.on("close", () => this.#viewers.delete(viewer));
    viewer.send(
      JSON.stringify({ kind: "snapshot", decisions: this.#options.feed.recent(), ...this.#overview() }),
    );
  }

  #overview() {
    const status = this.#options.status();
    return { status, stats: { ...this.#options.feed.stats(), members: status.fleet.members } };
  }

  #tellBatch(): void {
    if (this.#waiting.length === 0) return;
    this.#tell({ kind: "decisions", decisions: this.#waiting });
    this.#waiting = [];
  }

  #tell(message: object): void {
    const text = JSON.stringify(message);
    for (const viewer of this.#viewers.keys()) {
      if (viewer.bufferedAmount > MAX_BACKPRESSURE_BYTES) viewer.terminate();
      else if (viewer.readyState === WebSocket.OPEN) viewer.send(text);
    }
  }

  #ping(): void {
    for (const [viewer, state] of this.#viewers) {
      if (!state.isAlive) viewer.terminate();
      state.isAlive = false;
      viewer.ping();
    }
  }
}

/** Browsers name where a page came from; programs need not. */
function isSameOrigin({ headers: { origin, host } }: IncomingMessage): boolean {
  if (origin === undefined) return true;
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}

function tokenIn(request: IncomingMessage): string {
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim());
  const token = offered.find((each) => each.startsWith(TOKEN_PREFIX)) ?? "";
  return Buffer.from(token.slice(TOKEN_PREFIX.length), "base64url").toString("utf8");
}
