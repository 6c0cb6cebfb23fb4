// Tables in NATS key-value buckets: open, follow, write by compare-and-set.
//
// Invariants of a watch:
// - it tells every key's value once, says that it has caught up, and tells every change from then on, in order;
// - it is current only while the bucket's leader has confirmed, within CONFIRM_WITHIN_MS, that nothing newer is there: a
//   lost link, a half-open one, a consumer that went astray and a bucket that is another one by now are all noticed by
//   that, and the watch begins anew;
// - what vanished while it was away (deleted, or forgotten with a memory bucket) is told as deleted;
// - a bucket that is gone (memory buckets go with the server) is made again.
import { setTimeout as pause } from "node:timers/promises";
import { JetStreamApiCodes, JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm, type KvWatchEntry } from "@nats-io/kv";
import type { NatsConnection, QueuedIterator } from "@nats-io/transport-node";
import { Backoff } from "./backoff.js";
import { watchLink } from "./link.js";
import type { Log } from "./log.js";

export interface BucketSpec {
  name: string;
  storage: "file" | "memory";
  /** Keys vanish this long after their last write. Never, when left out. */
  ttlMs?: number;
}

export interface BucketEntry {
  key: string;
  /** `undefined`: the key was deleted. */
  value: Uint8Array | undefined;
  /** 0: it was not there any more when the watch began anew. */
  revision: number;
}

export interface BucketWatch {
  /** All that was written until a moment ago has been told. */
  current(): boolean;
  /** Resolves when it has caught up for the first time. */
  caughtUp(): Promise<void>;
  stop(): Promise<void>;
}

export interface BucketWatchOptions {
  onEntry(entry: BucketEntry): void;
  /** Also after it had to begin anew. */
  onCaughtUp?(): void;
  log: Log;
}

export type Written = { ok: true } | { ok: false; code: "CONFLICT" | "UNAVAILABLE" };

const CONFIRM_INTERVAL_MS = 1000;
const CONFIRM_WITHIN_MS = 3000;
const API_TIMEOUT_MS = 2000;
const STREAM_NOT_FOUND = 10059;
const RETRY = { firstMs: 50, maxMs: 2000 };

/**
 * Makes the bucket, or opens it when it is there. Reads are answered by its leader: never an old value.
 * Rejects when JetStream does not answer.
 */
export async function openBucket(nc: NatsConnection, { name, storage, ttlMs }: BucketSpec): Promise<KV> {
  return await new Kvm(nc).create(name, {
    storage,
    allow_direct: false,
    timeout: API_TIMEOUT_MS,
    ...(ttlMs === undefined ? {} : { ttl: ttlMs }),
  });
}

/** Whether a write failed because somebody else wrote the key first. */
export const isLostRace = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence;

const isGone = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND;
/** What a bucket holds that is not there any more. */
const GONE = { last_seq: -1, messages: -1 };

/** All keys with their values as the bucket's leader holds them now. Rejects when the bucket cannot be read. */
export async function readBucket(nc: NatsConnection, spec: BucketSpec): Promise<Map<string, Uint8Array>> {
  const kv = await openBucket(nc, spec);
  const manager = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
  const prefix = `$KV.${spec.name}.`;
  const { state } = await manager.streams.info(`KV_${spec.name}`, { subjects_filter: `${prefix}>` });
  const values = new Map<string, Uint8Array>();
  for (const subject of Object.keys(state.subjects ?? {})) {
    const key = subject.slice(prefix.length);
    const entry = await kv.get(key);
    if (entry?.operation === "PUT") values.set(key, entry.value);
  }
  return values;
}

/** Follows all keys of a bucket until it is stopped. */
export function watchBucket(nc: NatsConnection, spec: BucketSpec, options: BucketWatchOptions): BucketWatch {
  return new FollowedBucket(nc, spec, options);
}

class FollowedBucket implements BucketWatch {
  readonly #nc: NatsConnection;
  readonly #spec: BucketSpec;
  readonly #options: BucketWatchOptions;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  readonly #firstCaughtUp: Promise<void>;
  #tellCaughtUp: () => void = () => {};
  /** Every key that was told and is there. */
  readonly #told = new Set<string>();
  #seenRevision = 0;
  #isCaughtUp = false;
  #confirmedAtMs = Number.NEGATIVE_INFINITY;
  #entries: QueuedIterator<KvWatchEntry> | undefined;
  /** How often a session was to end: one that is still opening has to know. */
  #ends = 0;

  constructor(nc: NatsConnection, spec: BucketSpec, options: BucketWatchOptions) {
    this.#nc = nc;
    this.#spec = spec;
    this.#options = options;
    this.#firstCaughtUp = new Promise((resolve) => {
      this.#tellCaughtUp = resolve;
    });
    this.#ended = this.#run();
  }

  current(): boolean {
    return this.#isCaughtUp && performance.now() - this.#confirmedAtMs < CONFIRM_WITHIN_MS;
  }

  caughtUp(): Promise<void> {
    return this.#firstCaughtUp;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#endSession();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const backoff = new Backoff(signal, RETRY);
    const unwatch = watchLink(this.#nc, { lost: () => this.#endSession(), back: () => this.#endSession() });
    while (!signal.aborted && !this.#nc.isClosed()) {
      try {
        await this.#session();
        if (this.#isCaughtUp) backoff.reset();
      } catch (error) {
        if (!this.#nc.isClosed())
          this.#options.log.warn({ bucket: this.#spec.name, error: String(error) }, "bucket not followed");
      }
      this.#isCaughtUp = false;
      if (!signal.aborted) await backoff.wait();
    }
    unwatch();
  }

  #endSession(): void {
    this.#isCaughtUp = false;
    this.#ends++;
    this.#entries?.stop();
  }

  /** One watch, from every key's value to its end. */
  async #session(): Promise<void> {
    const ends = this.#ends;
    const kv = await openBucket(this.#nc, this.#spec);
    const manager = await jetstreamManager(this.#nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
    const stream = `KV_${this.#spec.name}`;
    const missing = new Set(this.#told);
    this.#seenRevision = 0;
    const entries = await kv.watch();
    if (ends !== this.#ends) {
      entries.stop();
      return;
    }
    this.#entries = entries;
    const finishInitial = () => {
      if (this.#isCaughtUp || this.#entries !== entries) return;
      for (const key of missing) this.#tell({ key, value: undefined, revision: 0 });
      missing.clear();
      this.#isCaughtUp = true;
      this.#confirmedAtMs = performance.now();
      this.#tellCaughtUp();
      this.#options.onCaughtUp?.();
    };
    void this.#confirm(entries, async () => (await manager.streams.info(stream)).state, finishInitial);
    try {
      for await (const entry of entries) {
        const { key, value, revision, operation, isUpdate } = entry;
        missing.delete(key);
        this.#seenRevision = Math.max(this.#seenRevision, revision);
        this.#tell({ key, value: operation === "PUT" ? value : undefined, revision });
        if (isUpdate) finishInitial();
      }
    } finally {
      entries.stop();
      if (this.#entries === entries) this.#entries = undefined;
    }
  }

  /** Asks the leader again and again for its newest revision; ends the session when that does not come. Never rejects. */
  async #confirm(
    entries: QueuedIterator<KvWatchEntry>,
    ask: () => Promise<{ last_seq: number; messages: number }>,
    finishInitial: () => void,
  ): Promise<void> {
    let wantedBefore = 0;
    while (this.#entries === entries && !this.#stopping.signal.aborted) {
      const askedAtMs = performance.now();
      const state = await ask().catch((error: unknown) => (isGone(error) ? GONE : undefined));
      if (this.#entries !== entries) return;
      // Gone, or made anew under the same name: its revisions begin again.
      if (state !== undefined && state.last_seq < this.#seenRevision) {
        this.#endSession();
        return;
      }
      if (state?.messages === 0) finishInitial();
      if (state !== undefined && this.#isCaughtUp) {
        if (state.messages === 0 || this.#seenRevision >= state.last_seq) this.#confirmedAtMs = askedAtMs;
        // What the leader had a whole interval ago and has not come by now is not going to come.
        else if (this.#seenRevision < wantedBefore) {
          this.#endSession();
          return;
        }
        wantedBefore = state.last_seq;
      }
      await pause(CONFIRM_INTERVAL_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  /** A deletion of what was never told is told too: who wrote the key may know of it without us. */
  #tell(entry: BucketEntry): void {
    const { key, value } = entry;
    if (value === undefined) this.#told.delete(key);
    else this.#told.add(key);
    this.#options.onEntry(entry);
  }
}
