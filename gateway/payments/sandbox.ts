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
// - the ledger lies on disk (LMDB) and is written before an answer is given: a restarted gateway finds every payment;
// - one row per key, changed only by the moves in `MOVES`; `holds` and `takes` count how often money was held and
//   taken for that key, so that "never taken twice" can be checked from outside (`readSandboxLedger`);
// - a ledger may be opened by several processes of one machine. Gateways that do not share it are sandboxes of their own.
import { setTimeout as wait } from "node:timers/promises";
import { open } from "lmdb";
import { z } from "zod";
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
  /** Folder of the ledger, made if it is not there. */
  path: string;
  /** Time every answer takes. */
  latencyMs?: number;
  slowMs?: number;
}

const openLedger = (path: string) => open<string, string>({ path, encoding: "string", noSubdir: false });

/** Opens the sandbox over its ledger. */
export function sandboxProcessor({
  path,
  latencyMs = DEFAULT_LATENCY_MS,
  slowMs = DEFAULT_SLOW_MS,
}: SandboxOptions): PaymentProcessor {
  const ledger = openLedger(path);
  const closing = new AbortController();
  const read = (key: string): SandboxRow | undefined => parseRow(ledger.get(key));
  const writing = new Set<Promise<unknown>>();
  /** One row, read and changed with nobody in between; `undefined` leaves it as it is. */
  const change = async (
    key: string,
    make: (before: SandboxRow | undefined) => SandboxRow | undefined,
  ): Promise<void> => {
    const written = ledger.transaction(() => {
      const after = make(read(key));
      if (after) ledger.put(key, JSON.stringify(after));
    });
    writing.add(written);
    await written.finally(() => writing.delete(written));
  };
  /** Waits as the wire would; false when nobody waits for the answer any more. */
  const answerAfter = async (ms: number, signal: AbortSignal): Promise<boolean> => {
    const either = AbortSignal.any([signal, closing.signal]);
    return wait(ms, true, { signal: either }).catch(() => false);
  };

  async function authorise(request: AuthoriseRequest, signal: AbortSignal): Promise<AuthoriseAnswer> {
    const now = Date.now();
    await change(request.key, (before) => (before ? undefined : newRow(request, now, slowMs)));
    const made = read(request.key) ?? newRow(request, now, slowMs);
    if (!sameRequest(made, request)) return { ok: false, code: "KEY_REUSED" };
    const isHeld = made.state !== "DECLINED" && made.state !== "VOIDED";
    if (isHeld && made.token === "tok_unknown") {
      await answerAfter(2 ** 30, signal);
      return { ok: false, code: "NO_ANSWER" };
    }
    if (!(await answerAfter(Math.max(latencyMs, made.settlesAtUnixMs - now), signal))) {
      return { ok: false, code: "NO_ANSWER" };
    }
    // Read again: it may have been voided while the issuer thought.
    const { state, ref, declineCode = "do_not_honour" } = read(request.key) ?? made;
    if (state === "DECLINED") return { ok: false, code: "DECLINED", declineCode };
    if (state === "VOIDED") return { ok: false, code: "DECLINED", declineCode: "voided" };
    return { ok: true, ref };
  }

  async function move(kind: keyof typeof MOVES, key: string, signal: AbortSignal): Promise<MoveAnswer> {
    const { from, to } = MOVES[kind];
    let answer: MoveAnswer = { ok: true };
    await change(key, (before) => {
      const state = before ? stateOf(before, Date.now()) : "NOT_FOUND";
      if (state === to) return undefined;
      if (from.includes(state)) return moved(before ?? barredRow(key), to);
      answer = { ok: false, code: "REFUSED", state };
      return undefined;
    });
    return (await answerAfter(latencyMs, signal)) ? answer : { ok: false, code: "NO_ANSWER" };
  }

  async function query(key: string, signal: AbortSignal): Promise<QueryAnswer> {
    if (!(await answerAfter(latencyMs, signal))) return { ok: false, code: "NO_ANSWER" };
    const found = read(key);
    if (!found) return { ok: true, state: "NOT_FOUND" };
    const { ref, declineCode } = found;
    return { ok: true, state: stateOf(found, Date.now()), ref, ...(declineCode ? { declineCode } : {}) };
  }

  return {
    name: "sandbox",
    authorise,
    capture: (key, signal) => move("capture", key, signal),
    void: (key, signal) => move("void", key, signal),
    refund: (key, signal) => move("refund", key, signal),
    query,
    close: async () => {
      closing.abort();
      await Promise.allSettled(writing);
      await ledger.close();
    },
  };
}

/** Every row of a sandbox's ledger, for audits and tests; the sandbox may be running. */
export async function readSandboxLedger(path: string): Promise<SandboxRow[]> {
  const ledger = openLedger(path);
  const rows = [...ledger.getRange()].flatMap(({ value }) => parseRow(value) ?? []);
  await ledger.close();
  return rows;
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
    ref: `sbx_${key.slice(0, 16)}`,
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

function parseRow(text: string | undefined): SandboxRow | undefined {
  return text === undefined ? undefined : row.parse(JSON.parse(text));
}
