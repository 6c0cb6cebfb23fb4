// The passes that operators gave out: kept in a NATS bucket, so that any desk redeems what another one issued.
//
// Invariants (test/desk/passes.test.ts):
// - a code is stored nowhere: the bucket's key is its HMAC under the fleet's key, so that the bucket tells nobody a code,
//   and how long a lookup takes tells nothing about codes that exist;
// - a use is taken by compare-and-set on the revision that was read: of two who race for the last one, one gets it; one
//   request takes one use, however often it is sent;
// - wrong codes are bounded for each address (throttle.ts), and keep nobody else out; live passes by MAX_PASSES, a pass's
//   life by MAX_VALID_MS: the bucket forgets what has not changed for that long.
import { createHmac } from "node:crypto";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, isLostRace, openBucket, readBucket } from "../../wire/bucket.js";
import type { Log } from "../../wire/log.js";
import { BUCKETS } from "../../wire/subjects.js";
import type { DeskMetrics } from "../metrics.js";
import type { Throttle } from "../throttle.js";
import { passCodeOf, readPassCode } from "./code.js";
import {
  decodePass,
  encodePass,
  isOfKind,
  isTakenFor,
  type Pass,
  type PassKind,
  type PassOf,
  type Unusable,
  unusable,
  withoutRequest,
  withUseReturned,
  withUseTaken,
} from "./pass.js";

export const MAX_VALID_MS = 24 * 60 * 60 * 1000;
/** Of one address. */
export const WRONG_CODES = { maxWrong: 20, windowMs: 60_000 };
const MAX_PASSES = 10_000;
/** Of one change, when others change the pass at the same time. */
const MAX_CHANGE_TRIES = 32;
const SPEC: BucketSpec = { name: BUCKETS.passes, storage: "file", ttlMs: MAX_VALID_MS };

export type PassRefusal = "PASS_UNKNOWN" | Unusable | "TOO_MANY_TRIES" | "BUSY" | "LOG_UNAVAILABLE";

export type Issued =
  | { ok: true; code: string; id: string; pass: Pass }
  | { ok: false; code: "LIMIT_REACHED" | "KEY_REUSED" | "LOG_UNAVAILABLE" };

export type Found<P extends Pass> = { ok: true; pass: P } | { ok: false; code: PassRefusal };

export interface PassesOptions {
  nats: NatsConnection;
  /** Of the fleet, 32 bytes. */
  key: Uint8Array;
  throttle: Throttle;
  metrics: Pick<DeskMetrics, "pass">;
  log: Log;
  /** Default: Date.now. */
  nowUnixMs?: () => number;
  /** Default: MAX_PASSES. */
  maxPasses?: number;
}

/** Who asks, and under which name: hex of 16 bytes, one for each request. */
export interface Redeemer {
  address: string;
  request: string;
}

interface Kept {
  pass: Pass;
  revision: number;
}

type FoundKept = { ok: true; code: string; kept: Kept } | { ok: false; code: PassRefusal };

type Asked<T> = { ok: true; value: T } | { ok: false; code: "LOG_UNAVAILABLE" };

export class Passes {
  readonly #options: PassesOptions;
  readonly #nowUnixMs: () => number;
  #bucket: Promise<KV> | undefined;

  constructor(options: PassesOptions) {
    this.#options = options;
    this.#nowUnixMs = options.nowUnixMs ?? Date.now;
  }

  /** Stores the pass under the code of this order. Ordered again, it is the pass as it stands. */
  async issue(pass: Pass, order: string): Promise<Issued> {
    const { maxPasses = MAX_PASSES, key, metrics } = this.#options;
    const code = passCodeOf(key, `${pass.organisation}\0${order}`);
    const id = this.#keyOf(code);
    const before = await this.#read(code);
    if (!before.ok) return before;
    if (before.value !== undefined) return issuedBefore(pass, before.value.pass, { code, id });
    const stored = await this.#asked(async (bucket) => {
      if ((await bucket.status()).values >= maxPasses) return "LIMIT_REACHED" as const;
      await bucket.create(id, encodePass(pass));
      return undefined;
    });
    if (!stored.ok) return stored;
    if (stored.value !== undefined) return { ok: false, code: stored.value };
    metrics.pass("issued");
    return { ok: true, code, id, pass };
  }

  /** What the pass is good for now; takes nothing. */
  async look<K extends PassKind>(typed: string, kind: K, address: string): Promise<Found<PassOf<K>>> {
    const found = await this.#find(typed, kind, { address });
    return found.ok ? ofKind(found.kept.pass, kind) : found;
  }

  /** The pass behind a code, whether it may still be used or not. */
  async known(typed: string, address: string): Promise<Found<Pass>> {
    const found = await this.#tried(typed, address);
    return found.ok ? { ok: true, pass: found.kept.pass } : found;
  }

  /** As look(); a pass that was used up by this very request is still good for it. */
  async lookFor<K extends PassKind>(typed: string, kind: K, by: Redeemer): Promise<Found<PassOf<K>>> {
    const found = await this.#find(typed, kind, by);
    return found.ok ? ofKind(found.kept.pass, kind) : found;
  }

  /** Takes one use for this request, unless it has one. */
  async redeem<K extends PassKind>(typed: string, kind: K, by: Redeemer): Promise<Found<PassOf<K>>> {
    for (let tries = 0; tries < MAX_CHANGE_TRIES; tries++) {
      const found = await this.#find(typed, kind, by);
      if (!found.ok) return found;
      const { pass, revision } = found.kept;
      if (isTakenFor(pass, by.request)) return ofKind(pass, kind);
      const taken = withUseTaken(pass, by.request);
      const written = await this.#write(found.code, taken, revision);
      if (written === "UNAVAILABLE") return { ok: false, code: "LOG_UNAVAILABLE" };
      if (written === "LOST_RACE") continue;
      this.#options.metrics.pass("taken");
      return ofKind(taken, kind);
    }
    return { ok: false, code: "BUSY" };
  }

  /** What the use was taken for was refused. Never rejects. */
  async giveBack(typed: string, request: string): Promise<void> {
    const isGivenBack = await this.#change(typed, (pass) => withUseReturned(pass, request));
    if (isGivenBack) this.#options.metrics.pass("returned");
  }

  /** What the use was taken for is done: asked again, the same would take another use. Never rejects. */
  async settle(typed: string, request: string): Promise<void> {
    await this.#change(typed, (pass) =>
      isTakenFor(pass, request) ? withoutRequest(pass, request) : undefined,
    );
  }

  /** @param make the pass as it becomes; `undefined`: it stays */
  async #change(typed: string, make: (pass: Pass) => Pass | undefined): Promise<boolean> {
    const code = readPassCode(typed);
    if (code === undefined) return false;
    for (let tries = 0; tries < MAX_CHANGE_TRIES; tries++) {
      const read = await this.#read(code);
      const made = read.ok && read.value ? make(read.value.pass) : undefined;
      if (!read.ok || !read.value || !made) return false;
      const written = await this.#write(code, made, read.value.revision);
      if (written !== "LOST_RACE") return written === "WRITTEN";
    }
    return false;
  }

  /** Passes that are not forgotten yet, by id. */
  async list(organisation: string): Promise<Asked<{ id: string; pass: Pass }[]>> {
    return this.#asked(async () => {
      const values = await readBucket(this.#options.nats, SPEC);
      return [...values].flatMap(([id, value]) => {
        const pass = decodePass(value);
        return pass?.organisation === organisation ? [{ id, pass }] : [];
      });
    });
  }

  /** From here on nobody may use it. */
  async revoke(organisation: string, id: string): Promise<"REVOKED" | "NOT_FOUND" | "LOG_UNAVAILABLE"> {
    const removed = await this.#asked(async (bucket) => {
      const entry = await bucket.get(id);
      const pass = entry?.operation === "PUT" ? decodePass(entry.value) : undefined;
      if (pass?.organisation !== organisation) return "NOT_FOUND" as const;
      await bucket.delete(id);
      return "REVOKED" as const;
    });
    return removed.ok ? removed.value : removed.code;
  }

  /** A pass that may be used for that now. Counts what is refused. */
  async #find(
    typed: string,
    kind: PassKind,
    { address, request }: { address: string; request?: string },
  ): Promise<FoundKept> {
    const found = await this.#tried(typed, address);
    if (!found.ok) return found;
    const { pass } = found.kept;
    const refusal = unusable(pass, kind, this.#nowUnixMs());
    const isOwn = request !== undefined && isTakenFor(pass, request) && isOfKind(pass, kind);
    if (refusal === undefined || isOwn) return found;
    this.#options.metrics.pass("refused");
    return { ok: false, code: refusal };
  }

  /** The pass behind what was typed, within the tries of that address. */
  async #tried(typed: string, address: string): Promise<FoundKept> {
    const { metrics, throttle } = this.#options;
    if (!throttle.enter(address)) {
      metrics.pass("throttled");
      return { ok: false, code: "TOO_MANY_TRIES" };
    }
    const code = readPassCode(typed);
    // Never rejects: what was entered is left.
    const read = code === undefined ? ({ ok: true, value: undefined } as const) : await this.#read(code);
    throttle.leave(address, read.ok && read.value === undefined);
    if (!read.ok) return read;
    if (code !== undefined && read.value !== undefined) return { ok: true, code, kept: read.value };
    metrics.pass("refused");
    return { ok: false, code: "PASS_UNKNOWN" };
  }

  #read(code: string): Promise<Asked<Kept | undefined>> {
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

  async #asked<T>(ask: (bucket: KV) => Promise<T>): Promise<Asked<T>> {
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
    return createHmac("sha256", this.#options.key).update(code).digest("hex");
  }
}

const ofKind = <K extends PassKind>(pass: Pass, kind: K): Found<PassOf<K>> =>
  isOfKind(pass, kind) ? { ok: true, pass } : { ok: false, code: "PASS_WRONG_KIND" };

/** The same order again, or another one under the same key. */
const issuedBefore = (wanted: Pass, pass: Pass, named: { code: string; id: string }): Issued =>
  pass.orderSha256 === wanted.orderSha256 ? { ok: true, ...named, pass } : { ok: false, code: "KEY_REUSED" };
