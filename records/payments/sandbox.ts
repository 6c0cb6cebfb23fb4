// The embedded sandbox processor: a processor in a box for demo, tests and a first day without a contract.
//
// Its behaviour is chosen by the token:
//   tok_approve       approved at once
//   tok_decline       declined, do_not_honour
//   tok_insufficient  declined, insufficient_funds
//   tok_slow          approved, but only after `slowMs`: later than any lane waits
//   tok_unknown       approved, but the answer never comes; `query` knows it at once
//   anything else     declined, token_unknown
//
// Invariants:
// - its rows lie in a bucket of the bus and are written before an answer is given: any gateway and ledger share them,
//   and one that is started anew finds every payment;
// - one row per key, changed only by the moves in `MOVES`, by compare-and-set; `holds` and `takes` count how often money
//   was held and taken for that key, so that "never taken twice" can be checked from outside (`readSandbox`);
// - a bucket that does not answer is NO_ANSWER, as an issuer's would be.
import { createHash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { type BucketSpec, isLostRace, openBucket, readBucket } from "../../wire/bucket.js";
import { parseJson } from "../../wire/json.js";
import { BUCKETS } from "../../wire/subjects.js";
import type {
  AuthoriseAnswer,
  AuthoriseRequest,
  DeclineCode,
  MoveAnswer,
  PaymentProcessor,
  ProcessorState,
  QueryAnswer,
} from "./processor.js";
import { DECLINE_CODES } from "./processor.js";

const DEFAULT_SLOW_MS = 3000;
const DEFAULT_LATENCY_MS = 5;
/** Others that write the same row first, in a row. */
const MAX_RACES = 64;
const REF_DIGITS = 16;
const DAY_MS = 24 * 60 * 60 * 1000;
const SPEC: BucketSpec = { name: BUCKETS.sandbox, storage: "file", ttlMs: 400 * DAY_MS };

const row = z.object({
  key: z.string(),
  ref: z.string(),
  /** PENDING is not stored: it is AUTHORISED with `settlesAtUnixMs` in the future. */
  state: z.enum(["AUTHORISED", "DECLINED", "CAPTURED", "VOIDED", "REFUNDED"]),
  settlesAtUnixMs: z.number(),
  amountMinor: z.number(),
  currency: z.string(),
  token: z.string(),
  declineCode: z.enum(DECLINE_CODES).optional(),
  holds: z.number(),
  takes: z.number(),
  refunds: z.number(),
});
export type SandboxRow = z.output<typeof row>;

export interface SandboxOptions {
  /** Time every answer takes. */
  latencyMs?: number;
  slowMs?: number;
}

/** Opens the sandbox over its bucket, which is made when it is first asked for something. */
export function sandboxProcessor(nc: NatsConnection, options: SandboxOptions = {}): PaymentProcessor {
  return new Sandbox(nc, options);
}

class Sandbox implements PaymentProcessor {
  readonly name = "sandbox";
  readonly #rows: Rows;
  readonly #latencyMs: number;
  readonly #slowMs: number;
  readonly #closing = new AbortController();

  constructor(
    nc: NatsConnection,
    { latencyMs = DEFAULT_LATENCY_MS, slowMs = DEFAULT_SLOW_MS }: SandboxOptions,
  ) {
    this.#rows = new Rows(nc);
    this.#latencyMs = latencyMs;
    this.#slowMs = slowMs;
  }

  authorise(request: AuthoriseRequest, signal: AbortSignal): Promise<AuthoriseAnswer> {
    return answered(() => this.#authorise(request, signal));
  }

  capture(key: string, signal: AbortSignal): Promise<MoveAnswer> {
    return answered(() => this.#move("capture", key, signal));
  }

  void(key: string, signal: AbortSignal): Promise<MoveAnswer> {
    return answered(() => this.#move("void", key, signal));
  }

  refund(key: string, signal: AbortSignal): Promise<MoveAnswer> {
    return answered(() => this.#move("refund", key, signal));
  }

  query(key: string, signal: AbortSignal): Promise<QueryAnswer> {
    return answered(async () => {
      if (!(await this.#answerAfter(this.#latencyMs, signal))) return NO_ANSWER;
      const found = await this.#rows.read(key);
      if (!found) return { ok: true, state: "NOT_FOUND" };
      const { ref, declineCode } = found;
      return { ok: true, state: stateOf(found, Date.now()), ref, ...(declineCode ? { declineCode } : {}) };
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #authorise(request: AuthoriseRequest, signal: AbortSignal): Promise<AuthoriseAnswer> {
    const now = Date.now();
    const fresh = newRow(request, now, this.#slowMs);
    const made = (await this.#rows.change(request.key, (before) => (before ? undefined : fresh))) ?? fresh;
    if (!sameRequest(made, request)) return { ok: false, code: "KEY_REUSED" };
    const isHeld = made.state !== "DECLINED" && made.state !== "VOIDED";
    if (isHeld && made.token === "tok_unknown") {
      await this.#answerAfter(2 ** 30, signal);
      return NO_ANSWER;
    }
    if (!(await this.#answerAfter(Math.max(this.#latencyMs, made.settlesAtUnixMs - now), signal))) {
      return NO_ANSWER;
    }
    // Read again: it may have been voided while the issuer thought.
    const { state, ref, declineCode = "do_not_honour" } = (await this.#rows.read(request.key)) ?? made;
    if (state === "DECLINED") return { ok: false, code: "DECLINED", declineCode };
    if (state === "VOIDED") return { ok: false, code: "DECLINED", declineCode: "voided" };
    return { ok: true, ref };
  }

  async #move(kind: keyof typeof MOVES, key: string, signal: AbortSignal): Promise<MoveAnswer> {
    const { from, to } = MOVES[kind];
    let answer: MoveAnswer = { ok: true };
    await this.#rows.change(key, (before) => {
      const state = before ? stateOf(before, Date.now()) : "NOT_FOUND";
      answer = { ok: true };
      if (state === to) return undefined;
      if (from.includes(state)) return moved(before ?? barredRow(key), to);
      answer = { ok: false, code: "REFUSED", state };
      return undefined;
    });
    return (await this.#answerAfter(this.#latencyMs, signal)) ? answer : NO_ANSWER;
  }

  /** Waits as the wire would; false when nobody waits for the answer any more. */
  #answerAfter(ms: number, signal: AbortSignal): Promise<boolean> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    return wait(ms, true, { signal: either }).catch(() => false);
  }
}

const NO_ANSWER = { ok: false, code: "NO_ANSWER" } as const;

/** Whatever the bus does, the caller hears it as an issuer that does not answer. */
async function answered<T>(ask: () => Promise<T>): Promise<T | typeof NO_ANSWER> {
  try {
    return await ask();
  } catch {
    return NO_ANSWER; // the caller asks again, and counts it
  }
}

/** The bucket's rows. */
class Rows {
  readonly #nc: NatsConnection;
  #opened: KV | undefined;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
  }

  async read(key: string): Promise<SandboxRow | undefined> {
    const found = await (await this.#kv()).get(key);
    return found?.operation === "PUT" ? parseRow(found.value) : undefined;
  }

  /** One row, read and changed with nobody in between; `undefined` leaves it as it is. @returns the row as it is then */
  async change(
    key: string,
    make: (before: SandboxRow | undefined) => SandboxRow | undefined,
  ): Promise<SandboxRow | undefined> {
    const kv = await this.#kv();
    for (let races = 0; races < MAX_RACES; races++) {
      const found = await kv.get(key);
      const before = found?.operation === "PUT" ? parseRow(found.value) : undefined;
      const after = make(before);
      if (after === undefined) return before;
      try {
        await kv.put(key, JSON.stringify(after), { previousSeq: found?.revision ?? 0 });
        return after;
      } catch (error) {
        if (!isLostRace(error)) throw error;
      }
    }
    throw new Error("the sandbox's row keeps changing");
  }

  async #kv(): Promise<KV> {
    this.#opened ??= await openBucket(this.#nc, SPEC);
    return this.#opened;
  }
}

/** Every row of the sandbox, for audits and tests. Rejects when the bucket does not answer. */
export async function readSandbox(nc: NatsConnection): Promise<SandboxRow[]> {
  return [...(await readBucket(nc, SPEC)).values()].map(parseRow);
}

interface Move {
  from: readonly (ProcessorState | "NOT_FOUND")[];
  to: SandboxRow["state"];
}

const MOVES: Record<"capture" | "void" | "refund", Move> = {
  capture: { from: ["AUTHORISED"], to: "CAPTURED" },
  void: { from: ["AUTHORISED", "PENDING", "DECLINED", "NOT_FOUND"], to: "VOIDED" },
  refund: { from: ["CAPTURED"], to: "REFUNDED" },
};

function newRow(
  { key, token, amountMinor, currency }: AuthoriseRequest,
  now: number,
  slowMs: number,
): SandboxRow {
  const declineCode = declineCodeOf(token);
  return {
    key,
    ref: `sbx_${createHash("sha256").update(key).digest("hex").slice(0, REF_DIGITS)}`,
    state: declineCode ? "DECLINED" : "AUTHORISED",
    settlesAtUnixMs: token === "tok_slow" ? now + slowMs : now,
    amountMinor,
    currency,
    token,
    ...(declineCode ? { declineCode } : {}),
    holds: declineCode ? 0 : 1,
    takes: 0,
    refunds: 0,
  };
}

/** A key that was voided before it was ever seen. */
function barredRow(key: string): SandboxRow {
  return {
    key,
    ref: "",
    state: "DECLINED",
    settlesAtUnixMs: 0,
    amountMinor: 0,
    currency: "",
    token: "",
    holds: 0,
    takes: 0,
    refunds: 0,
  };
}

function moved(before: SandboxRow, to: SandboxRow["state"]): SandboxRow {
  return {
    ...before,
    state: to,
    takes: before.takes + (to === "CAPTURED" ? 1 : 0),
    refunds: before.refunds + (to === "REFUNDED" ? 1 : 0),
  };
}

const stateOf = ({ state, settlesAtUnixMs }: SandboxRow, now: number): ProcessorState =>
  state === "AUTHORISED" && settlesAtUnixMs > now ? "PENDING" : state;

/** A barred key answers any request with its refusal; else the same key means the same payment. */
const sameRequest = (made: SandboxRow, { token, amountMinor, currency }: AuthoriseRequest): boolean =>
  made.token === "" ||
  (made.token === token && made.amountMinor === amountMinor && made.currency === currency);

function declineCodeOf(token: string): DeclineCode | undefined {
  if (["tok_approve", "tok_slow", "tok_unknown"].includes(token)) return undefined;
  if (token === "tok_decline") return "do_not_honour";
  if (token === "tok_insufficient") return "insufficient_funds";
  return "token_unknown";
}

const parseRow = (value: Uint8Array): SandboxRow => row.parse(parseJson(value));
