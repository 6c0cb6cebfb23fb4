// Asks matchers as a gateway does, one question at a time and without any of its cleverness: what they say is what a test
// gets to see.
import { randomBytes } from "node:crypto";
import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../../../wire/codec.js";
import { openFacts } from "../../../wire/facts.js";
import { fromHex, toHex } from "../../../wire/hex.js";
import type { Keyring } from "../../../wire/keyring.js";
import type { LogClock } from "../../../wire/log-clock.js";
import { SHARDS, ShardSet, shardOf } from "../../../wire/shard.js";
import {
  compareSubject,
  memberReadSubject,
  rowSearchSubject,
  workerSearchSubject,
} from "../../../wire/subjects.js";
import { bytesOf } from "./vectors.js";

const PATIENCE_MS = 1500;

export interface Answers {
  replies: bus.SearchReply[];
  /** Shards of which somebody says SEARCHED. */
  searched: ShardSet;
}

export interface Best {
  member: string;
  similarity: number;
  facts: bus.MemberFacts | undefined;
}

export interface Asked {
  organisation?: string;
  gallery?: string;
  modelId?: string;
  shards?: ShardSet;
  nearest?: number;
  deadlineUnixMs?: number;
  probe?: Uint8Array;
  /** No more than so many are waited for. */
  answers?: number;
}

/** Between the rounds the template or the shard has gone: whoever asks, asks again. */
export class StaleHandlesError extends Error {}

export class Searcher {
  readonly #nc: NatsConnection;
  readonly #keyring: Keyring;
  readonly #clock: LogClock;

  constructor(nc: NatsConnection, keyring: Keyring, clock: LogClock) {
    this.#nc = nc;
    this.#keyring = keyring;
    this.#clock = clock;
  }

  /** Round one, of a row: all that is said until every wanted shard was searched, or the patience is over. */
  row(row: number, vector: Float32Array, asked: Asked = {}): Promise<Answers> {
    return this.#searchAt(rowSearchSubject(row), vector, asked);
  }

  /** Round one, of one worker with one thread. */
  worker(workerId: string, vector: Float32Array, asked: Asked = {}): Promise<Answers> {
    return this.#searchAt(workerSearchSubject(workerId), vector, { answers: 1, ...asked });
  }

  async compare(reply: bus.SearchReply, fields: Partial<bus.ICompareRequest>, vector: Float32Array) {
    const nonce = new Uint8Array(randomBytes(16));
    const request = {
      ...{ organisation: "org", gallery: "members", modelId: "test-64-v1", instance: reply.instance, nonce },
      ...{ probe: bytesOf(vector), deadlineUnixMs: this.#clock.nowUnixMs() + PATIENCE_MS, ...fields },
    };
    const answer = await this.#nc.request(
      compareSubject(reply.workerId, reply.thread),
      encode(bus.CompareRequest, request),
      { timeout: PATIENCE_MS },
    );
    const compared = decode(bus.CompareReply, answer.data);
    if (compared === undefined) throw new Error("no CompareReply");
    return { compared, nonce };
  }

  /** Both rounds of one row. Throws when a shard was not searched, and StaleHandlesError when handles had gone stale. */
  async best(row: number, vector: Float32Array, asked: Asked = {}): Promise<Best | undefined> {
    const { replies, searched } = await this.row(row, vector, asked);
    const wanted = asked.shards ?? ShardSet.all();
    if (!searched.hasAll(wanted))
      throw new Error(`only ${searched.size} of ${wanted.size} shards were searched`);
    const { organisation = "org", gallery = "members" } = asked;
    const found: Best[] = [];
    for (const reply of replies) {
      const handles = reply.near.map(({ handle }) => handle ?? 0);
      if (handles.length === 0) continue;
      const { compared, nonce } = await this.compare(reply, { organisation, gallery, handles }, vector);
      if (compared.status !== bus.SearchStatus.SEARCHED) {
        throw new StaleHandlesError(`round two: ${bus.SearchStatus[compared.status]}`);
      }
      const [best] = compared.candidates;
      if (best?.memberId == null) continue;
      const key = this.#keyring.busKey("facts", organisation);
      const facts = openFacts(key, nonce, best.memberId, compared.profile);
      found.push({ member: toHex(best.memberId), similarity: best.similarity ?? 0, facts });
    }
    return found.sort((a, b) => b.similarity - a.similarity)[0];
  }

  async member(workerId: string, hex: string, organisation = "org") {
    const memberId = fromHex(hex);
    const nonce = new Uint8Array(randomBytes(16));
    const subject = memberReadSubject(workerId, shardOf(memberId));
    const body = encode(bus.MemberRequest, { organisation, memberId, nonce });
    const answer = await this.#nc.request(subject, body, { timeout: PATIENCE_MS });
    const reply = decode(bus.MemberReply, answer.data);
    if (reply === undefined) throw new Error("no MemberReply");
    const facts = openFacts(this.#keyring.busKey("facts", organisation), nonce, memberId, reply.facts);
    return { status: bus.MemberStatus[reply.status], reply, facts };
  }

  #searchAt(subject: string, vector: Float32Array, asked: Asked): Promise<Answers> {
    const { organisation = "org", gallery = "members", modelId = "test-64-v1", nearest = 16 } = asked;
    const shards = asked.shards?.bytes() ?? new Uint8Array();
    const deadlineUnixMs = asked.deadlineUnixMs ?? this.#clock.nowUnixMs() + PATIENCE_MS;
    const probe = asked.probe ?? bytesOf(vector);
    const request = { organisation, gallery, modelId, probe, nearest, deadlineUnixMs, shards };
    const wanted = asked.shards?.size ?? SHARDS;
    return new Promise((resolve) => {
      const replies: bus.SearchReply[] = [];
      const searched = new ShardSet();
      const end = () => {
        clearTimeout(timer);
        inbox.unsubscribe();
        resolve({ replies, searched });
      };
      const hear = (message: Msg) => {
        const reply = message.headers?.code === 503 ? undefined : decode(bus.SearchReply, message.data);
        if (reply === undefined) return end();
        replies.push(reply);
        if (reply.status === bus.SearchStatus.SEARCHED) {
          searched.addAll(ShardSet.from(reply.shards) ?? new ShardSet());
        }
        if (searched.size >= wanted || replies.length === asked.answers) end();
      };
      const inbox = this.#nc.subscribe(createInbox(), {
        callback: (error, message) => {
          if (error === null) hear(message);
        },
      });
      const timer = setTimeout(end, PATIENCE_MS);
      this.#nc.publish(subject, encode(bus.SearchRequest, request), { reply: inbox.getSubject() });
    });
  }
}
