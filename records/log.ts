// The event log over JetStream: bytes in, a sequence out. What the events mean is not known here.
//
// Invariants:
// - append() ends within APPEND_TIMEOUT_MS and says what it knows: stored, refused, or unknown;
// - last() and all() never say "none" because of a replica that lags: an absence is confirmed by the stream's leader;
// - secureDelete() overwrites the bytes on disk (JetStream's erase; a purge or an expiry would leave them) and ends
//   well only after it has looked again and found none.
import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type MsgRequest,
  type StoredMsg,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { requireServer } from "../wire/nats.js";
import type { Appended, Deleted, LogEvent } from "./event.js";
import { LogUnavailableError } from "./event.js";
import { type Follower, type FollowOptions, startFollower } from "./follower.js";
import { lastEvents } from "./last-events.js";
import { messageIdOf } from "./message-id.js";
import { Publisher } from "./publisher.js";
import { openStreams, type StreamOptions } from "./streams.js";

export const APPEND_TIMEOUT_MS = 2000;
const API_TIMEOUT_MS = 3000;
/** More messages on one subject than any member or payment ever makes. */
const MAX_SUBJECT_MESSAGES = 10_000;

// JetStream's own error numbers that mean "no room".
const NO_ROOM = new Set([10002, 10023, 10028, 10047, 10077]);
/** Delete of a message that is not there: another process was faster. */
const DELETE_NOT_FOUND = new Set([10037, 10043, 10057]);

export interface StreamStanding {
  lastSequence: number;
  bytes: number;
  /** Its quota; undefined: what the server has. */
  maxBytes: number | undefined;
  /** nats-server's own clock, as it answered. */
  serverUnixMs: number;
}

export interface EventLog {
  /**
   * @param expectedSubjectSequence stored only if the subject's last event has this sequence (0: has none)
   * @param messageId an append repeated with it within two minutes is stored once
   * @param ttlMs the event leaves the log by itself after this (stream MEMBERS alone takes it)
   */
  append(
    subject: string,
    body: Uint8Array,
    options?: { expectedSubjectSequence?: number; messageId?: string; ttlMs?: number },
  ): Promise<Appended>;
  /** The subject's last event (`subject` may hold wildcards). Throws LogUnavailableError. */
  last(stream: string, subject: string): Promise<LogEvent | undefined>;
  /** All events of one subject, oldest first, at most MAX_SUBJECT_MESSAGES. Throws LogUnavailableError. */
  all(stream: string, subject: string): Promise<LogEvent[]>;
  /** Sequence of the stream's last event, 0 when it never had one. Throws LogUnavailableError. */
  lastSequence(stream: string): Promise<number>;
  /** The stream as its leader has it now. Throws LogUnavailableError. */
  standing(stream: string): Promise<StreamStanding>;
  /** Destroys the bytes of every event of one subject below `keepFromSequence` (all, if left out). Idempotent. */
  secureDelete(stream: string, subject: string, options?: { keepFromSequence?: number }): Promise<Deleted>;
  /** Takes the subject's events below `beforeSequence` out of the log; their bytes may stay on disk. Idempotent. */
  drop(stream: string, subject: string, beforeSequence: number): Promise<void>;
  follow(options: FollowOptions): Follower;
  /**
   * The last event of every subject that the filter covers, in stream order, in batches; one that is appended meanwhile
   * may come too. Throws LogUnavailableError, and what onEvents throws.
   * @returns a sequence up to which everything was covered: follow after it. Without `onEvents`: all of them, for who
   * knows that they are few
   */
  lastPerSubject(stream: string, filter: string): Promise<LogEvent[]>;
  lastPerSubject(
    stream: string,
    filter: string,
    onEvents: (events: LogEvent[]) => Promise<void> | void,
  ): Promise<number>;
}

/**
 * Makes or checks the streams and returns the log.
 * Throws when a stream is there with a configuration that breaks a law of the record, or nats-server has no JetStream;
 * UsageError for another layout, or a nats-server that is too old.
 */
export async function openEventLog(nc: NatsConnection, options: StreamOptions = {}): Promise<EventLog> {
  requireServer(nc);
  const manager = await jetstreamManager(nc, { timeout: API_TIMEOUT_MS, checkAPI: false });
  await openStreams(manager, options);
  return new JetStreamLog(nc, manager);
}

class JetStreamLog implements EventLog {
  readonly #nc: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #publisher: Publisher;

  constructor(nc: NatsConnection, manager: JetStreamManager) {
    this.#nc = nc;
    this.#manager = manager;
    this.#publisher = new Publisher(nc, APPEND_TIMEOUT_MS);
  }

  async append(
    subject: string,
    body: Uint8Array,
    options: { expectedSubjectSequence?: number; messageId?: string; ttlMs?: number } = {},
  ): Promise<Appended> {
    const published = await this.#publisher.publish(subject, body, options);
    switch (published.kind) {
      case "stored":
        return { ok: true, sequence: published.sequence, duplicate: published.duplicate };
      case "refused":
        return { ok: false, code: refusalCode(published.code), detail: published.detail };
      case "unknown":
        return { ok: false, code: "LOG_UNAVAILABLE", detail: published.detail };
    }
  }

  async last(stream: string, subject: string): Promise<LogEvent | undefined> {
    const query = { last_by_subj: subject };
    return reading(async () => {
      const message = await this.#manager.direct.getMessage(stream, query);
      return message === null ? this.#fromLeader(stream, query) : toEvent(message);
    });
  }

  async all(stream: string, subject: string): Promise<LogEvent[]> {
    return reading(async () => {
      const events: LogEvent[] = [];
      let next = await this.#nextOf(stream, subject, 1);
      while (next !== undefined && events.length < MAX_SUBJECT_MESSAGES) {
        events.push(next);
        next = await this.#nextOf(stream, subject, next.sequence + 1);
      }
      return events;
    });
  }

  async lastSequence(stream: string): Promise<number> {
    return (await this.standing(stream)).lastSequence;
  }

  async standing(stream: string): Promise<StreamStanding> {
    return reading(async () => {
      const { state, config, ts } = await this.#manager.streams.info(stream);
      const serverUnixMs = Date.parse(ts ?? "");
      if (Number.isNaN(serverUnixMs)) throw new Error("nats-server does not say what time it is");
      const maxBytes = config.max_bytes > 0 ? config.max_bytes : undefined;
      return { lastSequence: state.last_seq, bytes: state.bytes, maxBytes, serverUnixMs };
    });
  }

  async secureDelete(
    stream: string,
    subject: string,
    { keepFromSequence = Number.MAX_SAFE_INTEGER }: { keepFromSequence?: number | undefined } = {},
  ): Promise<Deleted> {
    const sequences: number[] = [];
    try {
      for (let round = 0; round < MAX_SUBJECT_MESSAGES; round++) {
        const found = await this.#nextOf(stream, subject, 1);
        if (found === undefined || found.sequence >= keepFromSequence) return { ok: true, sequences };
        if (await this.#erase(stream, found.sequence)) sequences.push(found.sequence);
      }
      return { ok: false, code: "LOG_UNAVAILABLE", detail: `${stream} still has events of this subject` };
    } catch (error) {
      return { ok: false, code: "LOG_UNAVAILABLE", detail: describe(error) };
    }
  }

  async drop(stream: string, subject: string, beforeSequence: number): Promise<void> {
    await reading(() => this.#manager.streams.purge(stream, { filter: subject, seq: beforeSequence }));
  }

  follow(options: FollowOptions): Follower {
    return startFollower(this.#nc, this.#manager, options);
  }

  lastPerSubject(stream: string, filter: string): Promise<LogEvent[]>;
  lastPerSubject(
    stream: string,
    filter: string,
    onEvents: (events: LogEvent[]) => Promise<void> | void,
  ): Promise<number>;
  async lastPerSubject(
    stream: string,
    filter: string,
    onEvents?: (events: LogEvent[]) => Promise<void> | void,
  ): Promise<LogEvent[] | number> {
    if (onEvents === undefined) {
      const all: LogEvent[] = [];
      for await (const events of lastEvents(this.#manager, stream, filter)) all.push(...events);
      return all;
    }
    const before = await this.lastSequence(stream);
    for await (const events of lastEvents(this.#manager, stream, filter)) await onEvents(events);
    return before;
  }

  /** The subject's first event at or after `fromSequence`, as the stream's leader knows it. */
  #nextOf(stream: string, subject: string, fromSequence: number): Promise<LogEvent | undefined> {
    return this.#fromLeader(stream, { seq: fromSequence, next_by_subj: subject });
  }

  async #fromLeader(
    stream: string,
    query: MsgRequest | { seq: number; next_by_subj: string },
  ): Promise<LogEvent | undefined> {
    const message = await this.#manager.streams.getMessage(stream, query);
    return message === null ? undefined : toEvent(message);
  }

  async #erase(stream: string, sequence: number): Promise<boolean> {
    try {
      return await this.#manager.streams.deleteMessage(stream, sequence, true);
    } catch (error) {
      if (error instanceof JetStreamApiError && DELETE_NOT_FOUND.has(error.code)) return false;
      throw error;
    }
  }
}

function toEvent(message: StoredMsg): LogEvent {
  return {
    subject: message.subject,
    sequence: message.seq,
    atUnixMs: message.time.getTime(),
    body: message.data,
    ...messageIdOf(message.header),
  };
}

/** @param code JetStream's own error number */
function refusalCode(code: number): "CONFLICT" | "STORE_FULL" | "LOG_UNAVAILABLE" {
  if (code === JetStreamApiCodes.StreamWrongLastSequence) return "CONFLICT";
  return NO_ROOM.has(code) ? "STORE_FULL" : "LOG_UNAVAILABLE";
}

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new LogUnavailableError(describe(error), { cause: error });
  }
}

const describe = (error: unknown) =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);
