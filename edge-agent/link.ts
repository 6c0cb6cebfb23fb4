// The link to the gateway: one connection after another, for ever, until it is closed.
//
// Invariants:
// 1. At most one connection or greeting lives at a time; each owns its socket and its timers.
// 2. Every end of a connection leads to exactly one of: a retry after a jittered wait, or `closed`.
// 3. Refusals that only a person can mend are retried slowly and logged with what to do.
// 4. A connection that held for stableAfterMs starts the backoff afresh; a shorter one does not, so that a gateway
//    that welcomes and drops is not hammered.
import { type BackoffBounds, backoffMs, RECONNECT_BACKOFF, REFUSED_BACKOFF } from "./backoff.js";
import type { Connection, ConnectionEnd } from "./connection.js";
import { type GreetingOptions, greet } from "./greeting.js";
import type { AgentLog } from "./host.js";
import type { LaneTerms } from "./terms.js";

export interface LinkTimings {
  greetingDeadlineMs: number;
  /** A heartbeat without echo for so long means that the link is half-open. */
  echoDeadlineMs: number;
  stableAfterMs: number;
  reconnect: BackoffBounds;
  refused: BackoffBounds;
}

export const LINK_TIMINGS: Readonly<LinkTimings> = {
  greetingDeadlineMs: 5_000,
  echoDeadlineMs: 5_000,
  stableAfterMs: 2_000,
  reconnect: RECONNECT_BACKOFF,
  refused: REFUSED_BACKOFF,
};

export type LinkState =
  | { phase: "connecting" }
  | { phase: "open"; terms: LaneTerms }
  | { phase: "waiting"; retryInMs: number; after: ConnectionEnd }
  | { phase: "closed" };

export interface LinkOptions
  extends Omit<GreetingOptions, "greetingDeadlineMs" | "echoDeadlineMs" | "signal"> {
  timings: Readonly<LinkTimings>;
  log: AgentLog;
  onState(state: LinkState): void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;
  #state: LinkState = { phase: "connecting" };
  #connection: Connection | undefined;
  #waiting = new Set<(connection: Connection | undefined) => void>();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  get state(): LinkState {
    return this.#state;
  }

  /**
   * The open connection, or the next one to open.
   * Resolves with `undefined` at the deadline, and when the link is closed.
   * @param deadlineAtMs on the clock of performance.now(); `undefined`: waits as long as it takes
   */
  connection(deadlineAtMs: number | undefined): Promise<Connection | undefined> {
    if (this.#closing.signal.aborted) return Promise.resolve(undefined);
    if (this.#connection?.isOpen) return Promise.resolve(this.#connection);
    return new Promise((resolve) => {
      const answer = (connection: Connection | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(answer);
        resolve(connection);
      };
      const timer =
        deadlineAtMs === undefined
          ? undefined
          : setTimeout(() => answer(undefined), Math.max(0, deadlineAtMs - performance.now()));
      this.#waiting.add(answer);
    });
  }

  /** Resolves after `ms`, or as soon as the link is closed. */
  rest(ms: number): Promise<void> {
    return elapsed(ms, this.#closing.signal);
  }

  /** Ends the link for good. No retry comes any more; the last socket may still say good-bye. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#connection?.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let attempt = 0;
    // The caller gets the link before it hears of its first state.
    await Promise.resolve();
    while (!signal.aborted) {
      this.#enter({ phase: "connecting" });
      const { end, heldMs } = await this.#connectAndHold();
      if (signal.aborted) break;
      if (heldMs >= this.#options.timings.stableAfterMs) attempt = 0;
      const retryInMs = backoffMs(attempt++, Math.random(), this.#backoffAfter(end));
      this.#explain(end, retryInMs);
      this.#enter({ phase: "waiting", retryInMs, after: end });
      await elapsed(retryInMs, signal);
    }
    this.#enter({ phase: "closed" });
    for (const answer of [...this.#waiting]) answer(undefined);
  }

  async #connectAndHold(): Promise<{ end: ConnectionEnd; heldMs: number }> {
    const { timings, ...rest } = this.#options;
    const greeted = await greet({ ...rest, ...timings, signal: this.#closing.signal });
    if (!greeted.ok) return { end: greeted.end, heldMs: 0 };
    const { connection } = greeted;
    const openedAtMs = performance.now();
    this.#connection = connection;
    if (this.#closing.signal.aborted) connection.close();
    else this.#enter({ phase: "open", terms: connection.terms });
    for (const answer of [...this.#waiting]) answer(connection);
    const end = await connection.ended;
    this.#connection = undefined;
    return { end, heldMs: performance.now() - openedAtMs };
  }

  #backoffAfter(end: ConnectionEnd): BackoffBounds {
    const { reconnect, refused } = this.#options.timings;
    return end.kind === "refused" && end.code in WHAT_TO_DO ? refused : reconnect;
  }

  #explain(end: ConnectionEnd, retryInMs: number): void {
    const { log, deviceId } = this.#options;
    const retry = { device: deviceId, retryInMs: Math.round(retryInMs) };
    if (end.kind === "lost") log.warn({ ...retry, why: end.why }, "link to the gateway lost");
    if (end.kind === "refused") {
      const { code, message, protocolVersions } = end;
      log.error(
        { ...retry, code, next: WHAT_TO_DO[code] ?? message, protocolVersions },
        `gateway: ${message}`,
      );
    }
  }

  #enter(state: LinkState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Refusals that no retry mends by itself, and what a person does about them. */
const WHAT_TO_DO: Readonly<Record<string, string>> = {
  VERSION_UNSUPPORTED: "Update this agent, or the gateway, until they share a protocol version.",
  UNAUTHENTICATED:
    "Register this device id with this key's public half in the gateway's site file, or correct --device-id and --device-key.",
  DUPLICATE_DEVICE:
    "Another agent runs under this device id: stop one of them; if it is not yours, revoke the key.",
};

/** Resolves after `ms`, or at once when `signal` aborts. */
function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, Math.max(0, ms));
    signal.addEventListener("abort", finish);
  });
}

/** The link's address from the gateway's: http becomes ws, https wss; the path is /link unless one is given. */
export function linkUrl(gateway: URL): URL {
  const url = new URL(gateway);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.pathname === "/") url.pathname = "/link";
  return url;
}
