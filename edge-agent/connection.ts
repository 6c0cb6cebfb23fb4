// One welcomed connection to the gateway, from its Welcome to its end.
//
// Invariants:
// - it owns its socket and its timers, and has let go of both when `ended` resolves;
// - a frame goes out only with a credit; frames are counted from zero on every connection;
// - one conversation at a time; what the gateway says about any other presentation is handed to `onStray`;
// - bytes that are no ServerMessage end the connection: nothing after them can be trusted;
// - a gateway that shuts down is left at once, whatever is under way: it goes on at another one.
import { decode, edge, encode } from "../wire/edge-codec.js";
import { type ClockExchange, GatewayClock } from "./clock.js";
import { Conversation, type ErrorName, type Reply } from "./conversation.js";
import { Credits } from "./credits.js";
import { Heartbeats } from "./heartbeats.js";
import type { Socket } from "./host.js";
import type { LaneTerms } from "./terms.js";

export type ConnectionEnd =
  /** By us. */
  | { kind: "closed" }
  | { kind: "lost"; why: string }
  /** By the gateway, with a fatal Error. */
  | { kind: "refused"; code: ErrorName; message: string; protocolVersions: readonly number[] };

export interface ConnectionEvents {
  /** A reply about a presentation that nobody converses about (any more). */
  onStray(reply: Reply, connection: Connection): void;
  /** A passage is on record. */
  onPassageAck(presentationId: Uint8Array): void;
  /** Every Error received; after a fatal one the connection ends. */
  onLinkError(code: ErrorName, message: string, fatal: boolean): void;
}

export interface ConnectionOptions {
  socket: Socket;
  terms: LaneTerms;
  /** Hello and Welcome. */
  greeting: ClockExchange;
  echoDeadlineMs: number;
  events: ConnectionEvents;
}

const NO_BYTES = new Uint8Array();

export type SendResult = "sent" | "no credit" | "too large" | "ended";

export class Connection {
  readonly terms: LaneTerms;
  readonly clock: GatewayClock;
  readonly ended: Promise<ConnectionEnd>;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #credits: Credits;
  readonly #heartbeats: Heartbeats;
  #conversation: Conversation | undefined;
  #resolveEnded: (end: ConnectionEnd) => void = () => {};
  #isOpen = true;
  /** On the clock of performance.now(). */
  #heardAtMs = performance.now();

  constructor({ socket, terms, greeting, echoDeadlineMs, events }: ConnectionOptions) {
    this.terms = terms;
    this.clock = new GatewayClock(greeting);
    this.#socket = socket;
    this.#events = events;
    this.#credits = new Credits(terms.creditLimit);
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    socket.listener = {
      onMessage: (bytes) => this.#receive(bytes),
      onEnd: (why) => this.#end({ kind: "lost", why }),
    };
    this.#heartbeats = new Heartbeats({
      intervalMs: terms.heartbeatIntervalMs,
      echoDeadlineMs,
      clock: this.clock,
      send: (sentUnixMs) => this.#send({ heartbeat: { sentUnixMs } }),
      onSilent: () => this.#end({ kind: "lost", why: `no heartbeat echo for ${echoDeadlineMs} ms` }),
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Opens the conversation about a presentation. It ends with `leave`. */
  converse(presentationId: Uint8Array): Conversation {
    if (this.#conversation) throw new Error("a connection carries one presentation at a time");
    this.#conversation = new Conversation(presentationId, () => this.#credits.available > 0);
    if (!this.#isOpen) this.#conversation.drop();
    return this.#conversation;
  }

  leave(conversation: Conversation): void {
    if (this.#conversation === conversation) this.#conversation = undefined;
  }

  /** Sends a frame and takes its credit, or does neither. */
  sendFrame(frame: edge.Frame.$Properties): SendResult {
    if (!this.#isOpen) return "ended";
    const bytes = encode(edge.ClientMessage, { frame });
    if (bytes.length > this.terms.maxMessageBytes) return "too large";
    if (!this.#credits.take()) return "no credit";
    this.#socket.send(bytes);
    return "sent";
  }

  /** @returns false when the connection is gone and the report with it */
  sendReport(gateReport: edge.GateReport.$Properties): boolean {
    return this.#send({ gateReport });
  }

  /**
   * Cuts the link when nothing has come on it since then.
   * @param sinceMs on the clock of performance.now()
   * @returns whether it was cut
   */
  cutIfSilentSince(sinceMs: number): boolean {
    if (this.#heardAtMs >= sinceMs) return false;
    this.#end({ kind: "lost", why: "the gateway has gone silent" });
    return true;
  }

  close(): void {
    this.#end({ kind: "closed" });
  }

  #send(message: edge.ClientMessage.$Properties): boolean {
    if (!this.#isOpen || !this.#socket.isOpen) return false;
    this.#socket.send(encode(edge.ClientMessage, message));
    return true;
  }

  #receive(bytes: Uint8Array | undefined): void {
    this.#heardAtMs = performance.now();
    const message = bytes && decode(edge.ServerMessage, bytes);
    if (message?.credit) this.#raiseCredit(message.credit.creditLimit);
    else if (message?.guide) this.#receiveGuide(message.guide);
    else if (message?.decision) this.#receiveDecision(message.decision);
    else if (message?.error) this.#receiveError(message.error);
    else if (message?.heartbeat) this.#receiveHeartbeat(message.heartbeat);
    else if (message?.progress) this.#receiveProgress(message.progress);
    else if (message?.passageAck) this.#events.onPassageAck(message.passageAck.presentationId ?? NO_BYTES);
    else this.#end({ kind: "lost", why: "the gateway sent what no gateway sends here" });
  }

  #receiveGuide(guide: edge.Guide.$Properties): void {
    this.#hand(guide.presentationId, { kind: "guide", guide });
  }

  #receiveProgress(progress: edge.Progress.$Properties): void {
    this.#hand(progress.presentationId, { kind: "progress", progress });
  }

  #receiveHeartbeat({ echoSentUnixMs, sentUnixMs }: edge.Heartbeat.$Properties): void {
    this.#heartbeats.echoed(echoSentUnixMs ?? 0, sentUnixMs ?? 0);
  }

  #receiveDecision(decision: edge.Decision.$Properties): void {
    this.#hand(decision.presentationId, { kind: "decision", decision });
    this.#raiseCredit(decision.creditLimit);
  }

  #receiveError(error: edge.Error.$Properties): void {
    const code = errorName(error.code);
    const message = error.message ?? "";
    const isShutting = code === "SHUTTING_DOWN";
    const isEnd = error.fatal === true || isShutting;
    this.#events.onLinkError(code, message, isEnd);
    if (error.presentationId?.length && !isShutting) {
      this.#hand(error.presentationId, {
        kind: "error",
        presentationId: error.presentationId,
        code,
        message,
        retryAfterMs: error.retryAfterMs ?? 0,
      });
    }
    this.#raiseCredit(error.creditLimit);
    if (isEnd) {
      this.#end({ kind: "refused", code, message, protocolVersions: error.protocolVersions ?? [] });
    }
  }

  #hand(presentationId: Uint8Array | null | undefined, reply: Reply): void {
    if (this.#conversation?.isAbout(presentationId)) this.#conversation.deliver(reply);
    else this.#events.onStray(reply, this);
  }

  #raiseCredit(limit: number | null | undefined): void {
    this.#credits.raise(limit ?? 0);
    this.#conversation?.wake();
  }

  #end(end: ConnectionEnd): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#heartbeats.stop();
    this.#socket.letGo(end.kind === "closed");
    this.#conversation?.drop();
    this.#resolveEnded(end);
  }
}

const isErrorName = (name: string): name is Exclude<ErrorName, "UNKNOWN"> =>
  name in edge.ErrorCode && name !== "ERROR_UNSPECIFIED";

export function errorName(code: edge.ErrorCode | null | undefined): ErrorName {
  const name = edge.ErrorCode[code ?? 0] ?? "";
  return isErrorName(name) ? name : "UNKNOWN";
}
