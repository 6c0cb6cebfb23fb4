// The core of one lane's agent: a link to one of the gateways, a gate, and palms presented one at a time. The same on
// Node (agent.ts) and in a browser: what differs between them is the host.
//
// Invariants:
// - a Decision goes through the gate keeper before `present` resolves, and every granted one is reported until a gateway
//   has it on record (passages.ts);
// - a Decision for a presentation that has ended opens nothing;
// - after `close` nothing of the agent runs.
import { edge } from "../wire/edge-codec.js";
import type { Charge, PresentationErrorCode } from "./attempt.js";
import { laneNowMs } from "./clock.js";
import type { Connection, SendResult } from "./connection.js";
import type { ErrorName, Reply } from "./conversation.js";
import { type Gate, GateKeeper, noGate } from "./gate.js";
import type { AgentLog, Host } from "./host.js";
import { LINK_TIMINGS, Link, type LinkState, type LinkTimings, linkUrl } from "./link.js";
import { memoryStore, type PassageStore } from "./passage-store.js";
import { type PassageCounters, Passages } from "./passages.js";
import { newPresentationId, presentPalm } from "./presentation.js";
import { type Palm, type PalmImage, palmOfImages } from "./source/source.js";
import type { LaneTerms } from "./terms.js";

/** Nobody stands before a gate for longer when it does not move: a gate that opened then would open for somebody else. */
const ENTRY_DEADLINE_MS = 5_000;
/** Whoever pays waits a little longer. */
const PAY_DEADLINE_MS = 10_000;
/** What a lane that closes waits for the last passages to be acknowledged. */
const DRAIN_DEADLINE_MS = 500;

/** What an agent counts. */
export interface AgentCounters extends PassageCounters {
  connected(isOpen: boolean): void;
  frame(result: SendResult): void;
  decision(outcome: edge.Outcome | null | undefined): void;
  gate(passage: edge.Passage): void;
  reconnect(): void;
  linkError(code: ErrorName): void;
}

export interface LaneAgentOptions {
  /** The gateways' addresses (ws, wss, http or https), e.g. http://127.0.0.1:8080, in the order in which they are tried. */
  gateway: URL | string | readonly (URL | string)[];
  deviceId: string;
  host: Host;
  gate?: Gate;
  /** What keeps passages until they are on record; without one they die with the process. The agent closes it. */
  passageStore?: PassageStore | undefined;
  log: AgentLog;
  metrics?: AgentCounters;
  onState?: (state: LinkState) => void;
  /** Every Decision on the link, before the gate acts on it. */
  onDecision?: (decision: edge.Decision.$Properties) => void;
  /** Gives up waiting for the first Welcome. */
  signal?: AbortSignal;
  timings?: Partial<LinkTimings>;
}

export interface PresentOptions {
  charge?: Charge | undefined;
  /** Of an earlier presentation with a charge whose end stayed open: asks for the same payment again. */
  presentationId?: Uint8Array | undefined;
  /** Of the whole; a Progress extends it. Default: 5 s, 10 s with a charge. */
  deadlineMs?: number | undefined;
  /** The person is known, the money is awaited: one moment. */
  onProgress?: ((progress: edge.Progress.$Properties) => void) | undefined;
}

export type PresentationEnd =
  | {
      kind: "decision";
      presentationId: Uint8Array;
      decision: edge.Decision.$Properties;
      roundTripMs: number;
      /** What the gate did; undefined: nothing was granted. */
      passage: edge.Passage | undefined;
    }
  | {
      kind: "error";
      presentationId: Uint8Array;
      code: PresentationErrorCode;
      message: string;
      retryAfterMs: number;
    }
  | { kind: "lost"; presentationId: Uint8Array };

export interface Agent {
  /** Of the newest connection. */
  terms(): LaneTerms;
  state(): LinkState;
  /**
   * Presents a palm and resolves with its end. Waits for the link within its deadline.
   * @throws when a presentation is under way: a lane has one reader
   */
  present(palm: Palm | readonly PalmImage[], options?: PresentOptions): Promise<PresentationEnd>;
  close(): Promise<void>;
}

/** Starts an agent and resolves when the gateway has welcomed it for the first time. */
export async function startLaneAgent(options: LaneAgentOptions): Promise<Agent> {
  const agent = new LaneAgent(options);
  const giveUp = () => void agent.close();
  options.signal?.addEventListener("abort", giveUp);
  if (options.signal?.aborted) giveUp();
  const isWelcome = await agent.welcomed();
  options.signal?.removeEventListener("abort", giveUp);
  if (!isWelcome) throw new Error("the agent was stopped before the gateway welcomed it");
  return agent;
}

class LaneAgent implements Agent {
  readonly #options: LaneAgentOptions;
  readonly #link: Link;
  readonly #passages: Passages;
  readonly #keeper: GateKeeper;
  /** Decisions that the gate acts on. */
  readonly #acting = new Set<Promise<unknown>>();
  #terms: LaneTerms | undefined;
  #presenting: Promise<PresentationEnd> | undefined;

  constructor(options: LaneAgentOptions) {
    const { deviceId, host, log } = options;
    const timings = { ...LINK_TIMINGS, ...options.timings };
    this.#options = options;
    this.#passages = new Passages({
      store: options.passageStore ?? memoryStore,
      pauses: timings.report,
      log,
      counters: options.metrics,
    });
    this.#keeper = new GateKeeper({ gate: options.gate ?? noGate, passages: this.#passages, log });
    this.#link = new Link({
      gateways: [options.gateway].flat().map((each) => linkUrl(new URL(each))),
      host,
      deviceId,
      log,
      timings,
      onState: (state) => this.#stateChanged(state),
      onOpen: (connection) => this.#passages.linked(connection),
      events: {
        onStray: (reply, connection) => this.#receiveStray(reply, connection),
        onPassageAck: (presentationId) => this.#passages.acknowledged(presentationId),
        onLinkError: (code, message, fatal) => this.#linkError(code, message, fatal),
      },
    });
  }

  /** @returns false when the agent was closed before */
  async welcomed(): Promise<boolean> {
    return (await this.#link.connection(undefined)) !== undefined;
  }

  terms(): LaneTerms {
    if (!this.#terms) throw new Error("an agent has terms once it is welcomed");
    return this.#terms;
  }

  state(): LinkState {
    return this.#link.state;
  }

  async present(palm: Palm | readonly PalmImage[], options: PresentOptions = {}): Promise<PresentationEnd> {
    if (this.#presenting) throw new Error("a presentation is under way: a lane presents one palm at a time");
    this.#presenting = this.#present("frames" in palm ? palm : palmOfImages(palm), options);
    try {
      return await this.#presenting;
    } finally {
      this.#presenting = undefined;
    }
  }

  /** Ends the link; a gate that is open is shut first, and its report has a moment to be acknowledged. */
  async close(): Promise<void> {
    await this.#options.gate?.shut?.();
    await Promise.all(this.#acting);
    await this.#passages.drained(DRAIN_DEADLINE_MS);
    await this.#link.close();
    await this.#presenting;
    await Promise.all(this.#acting);
    await this.#passages.close();
  }

  async #present(palm: Palm, options: PresentOptions): Promise<PresentationEnd> {
    const { charge } = options;
    const end = await presentPalm(this.#link, {
      palm,
      presentationId: options.presentationId ?? newPresentationId(),
      charge,
      deadlineMs: options.deadlineMs ?? (charge ? PAY_DEADLINE_MS : ENTRY_DEADLINE_MS),
      onFrame: (result) => this.#options.metrics?.frame(result),
      onProgress: options.onProgress,
    });
    if (end.kind !== "decision") return end;
    const { connection, ...rest } = end;
    return { ...rest, passage: await this.#act(end.decision, connection, true) };
  }

  /** Lets the gate act on a Decision. */
  async #act(
    decision: edge.Decision.$Properties,
    { clock, terms }: Connection,
    isWaitedFor: boolean,
  ): Promise<edge.Passage | undefined> {
    const { metrics, onDecision } = this.#options;
    metrics?.decision(decision.outcome);
    onDecision?.(decision);
    const acting = this.#keeper.pass({
      decision,
      latestGatewayMs: () => clock.latestMs(laneNowMs()),
      isWaitedFor,
      isPaid: terms.purpose === edge.Purpose.PAY,
    });
    this.#acting.add(acting);
    const passage = await acting;
    this.#acting.delete(acting);
    if (passage !== undefined) metrics?.gate(passage);
    return passage;
  }

  #receiveStray(reply: Reply, connection: Connection): void {
    if (reply.kind === "decision") void this.#act(reply.decision, connection, false);
    else if (reply.kind === "error" && reply.code === "TOKEN_INVALID") {
      this.#passages.refused(reply.presentationId);
    }
  }

  #linkError(code: ErrorName, message: string, fatal: boolean): void {
    this.#options.metrics?.linkError(code);
    // A fatal one is explained by the link, with what to do.
    if (!fatal) this.#options.log.warn({ device: this.#options.deviceId, code }, `gateway: ${message}`);
  }

  #stateChanged(state: LinkState): void {
    if (state.phase === "open") this.#terms = state.terms;
    if (state.phase === "waiting") {
      this.#passages.unlinked();
      this.#options.metrics?.reconnect();
    }
    this.#options.metrics?.connected(state.phase === "open");
    this.#options.onState?.(state);
  }
}
