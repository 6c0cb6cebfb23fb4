// The directory: organisations, their galleries, sites, devices and policies, and the shape of the fleet; one bucket,
// followed by every process.
//
// Invariants:
// - a value that does not fit is logged and left out, and the value before it goes on counting;
// - current() is true only while the bucket's leader confirms that nothing newer is there (wire/bucket.ts);
// - of two who write one key at once, one is told CONFLICT; what was written here is known here at once;
// - a fleet of another layout is refused in one clear line.
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import {
  type BucketEntry,
  type BucketSpec,
  type BucketWatch,
  isLostRace,
  openBucket,
  type Written,
  watchBucket,
} from "./bucket.js";
import { UsageError } from "./config.js";
import { DirectoryTable, type DirectoryView } from "./directory-table.js";
import { parseJson } from "./json.js";
import { LAYOUT } from "./limits.js";
import type { Log } from "./log.js";
import { requireServer } from "./nats.js";
import { BUCKETS } from "./subjects.js";

export type { Written } from "./bucket.js";
export type { DirectoryView } from "./directory-table.js";
export type {
  Device,
  Fleet,
  Gallery,
  LanePurpose,
  Organisation,
  Policy,
  ReceiptKey,
  Site,
} from "./directory-values.js";
export { directoryKey } from "./directory-values.js";
export { LAYOUT } from "./limits.js";

export interface Directory extends DirectoryView {
  /** After every change, at most once a turn of the event loop. @returns ends it */
  onChange(listener: () => void): () => void;
  /**
   * Writes on top of what is known here of that key, be it nothing. UNAVAILABLE: JetStream did not answer in time, and
   * the value may stand there all the same. Throws when the value does not fit the key.
   */
  put(key: string, value: unknown): Promise<Written>;
  /** CONFLICT when the key is there. */
  create(key: string, value: unknown): Promise<Written>;
  /** CONFLICT when it is not there, or changed meanwhile. */
  remove(key: string): Promise<Written>;
  /** All that was written until a moment ago is here. */
  current(): boolean;
  close(): Promise<void>;
}

const SPEC: BucketSpec = { name: BUCKETS.directory, storage: "file" };
const WRITE_TIMEOUT_MS = 2000;

/** Resolves when caught up, waiting for JetStream as long as it takes. @throws UsageError for another layout */
export async function openDirectory(nc: NatsConnection, log: Log): Promise<Directory> {
  requireServer(nc);
  const directory = new FollowedDirectory(nc, log);
  await directory.caughtUp();
  const layout = directory.fleet()?.layout ?? LAYOUT;
  if (layout === LAYOUT) return directory;
  await directory.close();
  throw new UsageError(
    `this fleet's records have layout ${layout}, and this Palmgate reads layout ${LAYOUT}. ` +
      "Use the Palmgate that wrote them, or another nats-server.",
  );
}

class FollowedDirectory extends DirectoryTable implements Directory {
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #watch: BucketWatch;
  /** Newest revision known of each key, also of one that was removed. */
  readonly #revisions = new Map<string, number>();
  readonly #there = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #telling = false;

  constructor(nc: NatsConnection, log: Log) {
    super();
    this.#nc = nc;
    this.#log = log;
    this.#watch = watchBucket(nc, SPEC, { log, onEntry: (entry) => this.#know(entry) });
  }

  caughtUp = () => this.#watch.caughtUp();
  current = () => this.#watch.current();

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async put(key: string, value: unknown): Promise<Written> {
    const text = this.#textOf(key, value);
    if (!this.#there.has(key)) return this.create(key, value);
    const known = this.#revisions.get(key) ?? 0;
    return this.#written(async (kv) => {
      this.#know({ key, value: text, revision: await kv.update(key, text, known, WRITE_TIMEOUT_MS) });
    });
  }

  async create(key: string, value: unknown): Promise<Written> {
    const text = this.#textOf(key, value);
    return this.#written(async (kv) => {
      this.#know({ key, value: text, revision: await kv.create(key, text) });
    });
  }

  async remove(key: string): Promise<Written> {
    if (!this.#there.has(key)) return { ok: false, code: "CONFLICT" };
    const known = this.#revisions.get(key) ?? 0;
    return this.#written(async (kv) => {
      await kv.delete(key, { previousSeq: known });
      this.#know({ key, value: undefined, revision: known + 1 });
    });
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#watch.stop();
  }

  #textOf(key: string, value: unknown): Uint8Array {
    const checked = this.check(key, value);
    if (!checked.ok) throw new Error(`${key} cannot be written: ${checked.problem}`);
    return Buffer.from(JSON.stringify(checked.value));
  }

  async #written(write: (kv: KV) => Promise<void>): Promise<Written> {
    try {
      await write(await openBucket(this.#nc, SPEC));
      return { ok: true };
    } catch (error) {
      if (isLostRace(error)) return { ok: false, code: "CONFLICT" };
      this.#log.warn({ error: String(error) }, "the directory did not take a change");
      return { ok: false, code: "UNAVAILABLE" };
    }
  }

  /** Takes what is newer than what is known; a watch that began anew tells old values too. */
  #know({ key, value, revision }: BucketEntry): void {
    const isGone = value === undefined && revision === 0;
    if (!isGone && revision <= (this.#revisions.get(key) ?? 0)) return;
    this.#revisions.set(key, Math.max(revision, this.#revisions.get(key) ?? 0));
    if (value === undefined) {
      this.#there.delete(key);
      this.drop(key);
    } else {
      this.#there.add(key);
      const taken = this.take(key, parseJson(value));
      if (!taken.ok)
        this.#log.error({ entry: key, problem: taken.problem }, "the directory's value is left out");
    }
    this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#telling) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}
