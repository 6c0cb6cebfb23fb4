// The link to the gateways: one connection after another, for ever, until it is closed.
//
// Invariants:
// 1. At most one connection or greeting lives at a time; each owns its socket and its timers.
// 2. Every end of a connection leads to exactly one of: a retry (at which gateway, and when: turns.ts), or `closed`.
// 3. Refusals that only a person can mend are retried slowly and logged with what to do.
import { type BackoffBounds, RECONNECT_BACKOFF, REFUSED_BACKOFF, REPORT_BACKOFF } from "./backoff.js";
import type { Connection, ConnectionEnd } from "./connection.js";
import { type GreetingOptions, greet } from "./greeting.js";
import type { AgentLog } from "./host.js";
import type { LaneTerms } from "./terms.js";
import { Turns, type TurnTimings, whatToDo } from "./turns.js";

export interface LinkTimings extends TurnTimings {
  greetingDeadlineMs: number;
  /** A heartbeat without echo for so long means that the link is half-open. */
  echoDeadlineMs: number;
  /** Before a passage that nobody acknowledged is reported again on the same connection. */
  report: BackoffBounds;
}

export const LINK_TIMINGS: Readonly<LinkTimings> = {
  greetingDeadlineMs: 5_000,
  echoDeadlineMs: 5_000,
  stableAfterMs: 2_000,
  reconnect: RECONNECT_BACKOFF,
  refused: REFUSED_BACKOFF,
  report: REPORT_BACKOFF,
};

export type LinkState =
  | { phase: "connecting" }
  | { phase: "open"; terms: LaneTerms; gateway: URL }
  | { phase: "waiting"; retryInMs: number; after: ConnectionEnd }
  | { phase: "closed" };

export interface LinkOptions
  extends Omit<GreetingOptions, "url" | "greetingDeadlineMs" | "echoDeadlineMs" | "signal"> {
  /** In the order in which they are tried; at least one. */
  gateways: readonly URL[];
  timings: Readonly<LinkTimings>;
  log: AgentLog;
  onState(state: LinkState): void;
  /** After each Welcome, once the state says so. */
  onOpen(connection: Connection): void;
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
    const { gateways, timings } = this.#options;
    const turns = new Turns(gateways.length, timings);
    // The caller gets the link before it hears of its first state.
    await Promise.resolve();
    while (!signal.aborted) {
      const gateway = gateways[turns.at];
      if (!gateway) throw new RangeError("a link needs a gateway");
      this.#enter({ phase: "connecting" });
      const { end, heldMs } = await this.#connectAndHold(gateway);
      if (signal.aborted) break;
      const retryInMs = turns.ended(end, heldMs, Math.random());
      this.#explain(gateway, end, retryInMs);
      this.#enter({ phase: "waiting", retryInMs, after: end });
      if (retryInMs > 0) await elapsed(retryInMs, signal);
    }
    this.#enter({ phase: "closed" });
    for (const answer of [...this.#waiting]) answer(undefined);
  }

  async #connectAndHold(gateway: URL): Promise<{ end: ConnectionEnd; heldMs: number }> {
    const { timings, ...rest } = this.#options;
    const greeted = await greet({ ...rest, ...timings, url: gateway, signal: this.#closing.signal });
    if (!greeted.ok) return { end: greeted.end, heldMs: 0 };
    const { connection } = greeted;
    const openedAtMs = performance.now();
    this.#connection = connection;
    if (this.#closing.signal.aborted) {
      connection.close();
    } else {
      this.#enter({ phase: "open", terms: connection.terms, gateway });
      this.#options.onOpen(connection);
    }
    for (const answer of [...this.#waiting]) answer(connection);
    const end = await connection.ended;
    this.#connection = undefined;
    return { end, heldMs: performance.now() - openedAtMs };
  }

  #explain(gateway: URL, end: ConnectionEnd, retryInMs: number): void {
    const { log, deviceId } = this.#options;
    const about = { device: deviceId, gateway: gateway.host, retryInMs: Math.round(retryInMs) };
    if (end.kind === "lost") log.warn({ ...about, why: end.why }, "link to the gateway lost");
    if (end.kind !== "refused") return;
    const { code, message, protocolVersions } = end;
    const next = whatToDo(end);
    // A gateway that stops says so: that is no error, and somebody else takes over.
    const say = next === undefined ? log.warn.bind(log) : log.error.bind(log);
    say({ ...about, code, next: next ?? message, protocolVersions }, `gateway: ${message}`);
  }

  #enter(state: LinkState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

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
