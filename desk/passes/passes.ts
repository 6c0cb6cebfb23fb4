// The passes that operators gave out: kept in a NATS bucket, so that any gateway redeems what another one issued.
//
// Invariants:
// - a code is stored nowhere: the bucket's key is its HMAC under a key derived from the site's master key, so that the
//   bucket tells nobody a code, and how long a lookup takes tells nothing about codes that exist;
// - a use is taken by compare-and-set on the revision that was read: of two who race for the last one, one gets it;
// - wrong codes are bounded per minute (tries.ts), live passes by MAX_PASSES, a pass's life by MAX_VALID_MS: the bucket
//   forgets what has not changed for that long.
import { createHmac, hkdfSync } from "node:crypto";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, isLostRace, openBucket } from "../../wire/bucket.js";
import type { Log } from "../../wire/log.js";
import { BUCKETS } from "../../wire/subjects.js";
import type { GatewayMetrics } from "../metrics.js";
import { newPassCode, readPassCode } from "./code.js";
import {
  decodePass,
  encodePass,
  isOfKind,
  type Pass,
  type PassKind,
  type PassOf,
  type Unusable,
  unusable,
  withUseReturned,
  withUseTaken,
} from "./pass.js";
import { Tries } from "./tries.js";

export const MAX_VALID_MS = 24 * 60 * 60 * 1000;
const MAX_PASSES = 10_000;
const MAX_WRONG_TRIES = 300;
const TRIES_WINDOW_MS = 60_000;
/** Of one change, when others change the pass at the same time. */
const MAX_CHANGE_TRIES = 32;
const KEY_BYTES = 32;
const HASH_PURPOSE = "palmgate-pass-codes";
const SPEC: BucketSpec = { name: BUCKETS.passes, storage: "file", ttlMs: MAX_VALID_MS };

export type PassRefusal = "PASS_UNKNOWN" | Unusable | "TOO_MANY_TRIES" | "BUSY" | "LOG_UNAVAILABLE";

export type Issued =
  | { ok: true; code: string; pass: Pass }
  | { ok: false; code: "LIMIT_REACHED" | "LOG_UNAVAILABLE" };

export type Redeemed<P extends Pass> =
  /** `giveBack`: what the use was taken for was refused. Never rejects. */
  { ok: true; pass: P; giveBack(): Promise<void> } | { ok: false; code: PassRefusal };

export interface PassesOptions {
  nats: NatsConnection;
  masterKey: Uint8Array;
  metrics: Pick<GatewayMetrics, "pass">;
  log: Log;
  /** Default: Date.now. */
  nowUnixMs?: () => number;
  tries?: Tries;
  /** Default: MAX_PASSES. */
  maxPasses?: number;
}

interface Kept {
  pass: Pass;
  revision: number;
}

type Change = { ok: true; pass: Pass } | { ok: false; code: PassRefusal };

export class Passes {
  readonly #options: PassesOptions;
  readonly #hashKey: Uint8Array;
  readonly #nowUnixMs: () => number;
  readonly #tries: Tries;
  #bucket: Promise<KV> | undefined;

  constructor(options: PassesOptions) {
    this.#options = options;
    this.#nowUnixMs = options.nowUnixMs ?? Date.now;
    this.#tries = options.tries ?? new Tries(MAX_WRONG_TRIES, TRIES_WINDOW_MS);
    this.#hashKey = new Uint8Array(hkdfSync("sha256", options.masterKey, "", HASH_PURPOSE, KEY_BYTES));
  }

  /** Stores the pass under a new code. */
  async issue(pass: Pass): Promise<Issued> {
    const { maxPasses = MAX_PASSES } = this.#options;
    const code = newPassCode();
    const stored = await this.#asked(async (bucket) => {
      if ((await bucket.status()).values >= maxPasses) return "LIMIT_REACHED" as const;
      await bucket.create(this.#keyOf(code), encodePass(pass));
      return undefined;
    });
    if (!stored.ok) return stored;
    if (stored.value !== undefined) return { ok: false, code: stored.value };
    this.#options.metrics.pass("issued");
    return { ok: true, code, pass };
  }

  /** What the pass is good for now; takes nothing. */
  async look<K extends PassKind>(
    typed: string,
    kind: K,
  ): Promise<{ ok: true; pass: PassOf<K> } | { ok: false; code: PassRefusal }> {
    const found = await this.#find(typed, kind);
    if (!found.ok) return found;
    const { pass } = found.kept;
    return isOfKind(pass, kind) ? { ok: true, pass } : { ok: false, code: "PASS_WRONG_KIND" };
  }

  /** Takes one use. */
  async redeem<K extends PassKind>(typed: string, kind: K): Promise<Redeemed<PassOf<K>>> {
    const taken = await this.#change(typed, kind, withUseTaken);
    if (!taken.ok) return taken;
    const { pass } = taken;
    if (!isOfKind(pass, kind)) return { ok: false, code: "PASS_WRONG_KIND" };
    this.#options.metrics.pass("taken");
    return { ok: true, pass, giveBack: () => this.#giveBack(typed) };
  }

  async #giveBack(typed: string): Promise<void> {
    const code = readPassCode(typed);
    if (code === undefined) return;
    for (let tries = 0; tries < MAX_CHANGE_TRIES; tries++) {
      const read = await this.#read(code);
      const returned = read.ok && read.value ? withUseReturned(read.value.pass) : undefined;
      if (!read.ok || !read.value || !returned) return;
      const written = await this.#write(code, returned, read.value.revision);
      if (written === "WRITTEN") this.#options.metrics.pass("returned");
      if (written !== "LOST_RACE") return;
    }
  }

  async #change(typed: string, kind: PassKind, make: (pass: Pass) => Pass): Promise<Change> {
    for (let tries = 0; tries < MAX_CHANGE_TRIES; tries++) {
      const found = await this.#find(typed, kind);
      if (!found.ok) return found;
      const pass = make(found.kept.pass);
      const written = await this.#write(found.code, pass, found.kept.revision);
      if (written === "WRITTEN") return { ok: true, pass };
      if (written === "UNAVAILABLE") return { ok: false, code: "LOG_UNAVAILABLE" };
    }
    return { ok: false, code: "BUSY" };
  }

  /** A pass that may be used for that now. Counts what is refused. */
  async #find(
    typed: string,
    kind: PassKind,
  ): Promise<{ ok: true; code: string; kept: Kept } | { ok: false; code: PassRefusal }> {
    const { metrics } = this.#options;
    if (!this.#tries.enter()) {
      metrics.pass("throttled");
      return { ok: false, code: "TOO_MANY_TRIES" };
    }
    const code = readPassCode(typed);
    // Never rejects: what was entered is left.
    const read = code === undefined ? ({ ok: true, value: undefined } as const) : await this.#read(code);
    this.#tries.leave(read.ok && read.value === undefined);
    if (!read.ok) return read;
    if (code === undefined || read.value === undefined) {
      metrics.pass("refused");
      return { ok: false, code: "PASS_UNKNOWN" };
    }
    const refusal = unusable(read.value.pass, kind, this.#nowUnixMs());
    if (refusal === undefined) return { ok: true, code, kept: read.value };
    metrics.pass("refused");
    return { ok: false, code: refusal };
  }

  #read(code: string) {
    return this.#asked(async (bucket): Promise<Kept | undefined> => {
      const entry = await bucket.get(this.#keyOf(code));
      if (entry?.operation !== "PUT") return undefined;
      const pass = decodePass(entry.value);
      return pass && { pass, revision: entry.revision };
    });
  }

  async #write(code: string, pass: Pass, revision: number): Promise<"WRITTEN" | "LOST_RACE" | "UNAVAILABLE"> {
    const written = await this.#asked(async (bucket) => {
      try {
        await bucket.update(this.#keyOf(code), encodePass(pass), revision);
        return "WRITTEN" as const;
      } catch (error) {
        if (isLostRace(error)) return "LOST_RACE" as const;
        throw error;
      }
    });
    return written.ok ? written.value : "UNAVAILABLE";
  }

  async #asked<T>(
    ask: (bucket: KV) => Promise<T>,
  ): Promise<{ ok: true; value: T } | { ok: false; code: "LOG_UNAVAILABLE" }> {
    try {
      this.#bucket ??= openBucket(this.#options.nats, SPEC);
      return { ok: true, value: await ask(await this.#bucket) };
    } catch (error) {
      this.#bucket = undefined;
      this.#options.log.warn({ error: String(error) }, "the bucket of passes did not answer");
      return { ok: false, code: "LOG_UNAVAILABLE" };
    }
  }

  #keyOf(code: string): string {
    return createHmac("sha256", this.#hashKey).update(code).digest("hex");
  }
}
