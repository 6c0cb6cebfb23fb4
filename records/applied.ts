// Asks workers by name whether each has durably applied the log up to a sequence in a shard.
//
// Invariants:
// - it ends within waitMs, and says of every worker that was asked whether it has confirmed;
// - only APPLIED counts as a confirmation, and only of a worker that speaks with one voice: two processes under one
//   worker id confirm nothing;
// - a worker that nobody hears is asked again until the time is up: it may be starting.
import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../wire/codec.js";
import { appliedSubject } from "../wire/subjects.js";

/** How long the ask is repeated after nobody was there. */
const NOBODY_RETRY_MS = 100;
/** Workers answer this much before our own time is up, so that their NOT_YET still arrives. */
const ANSWER_MARGIN_MS = 50;
/** An erasure is confirmed only when no second voice has spoken up within this after the first one. */
const SECOND_VOICE_MS = 100;
const NO_RESPONDERS = 503;

export interface AppliedQuestion {
  /** Ids of those that must confirm, each once. */
  workers: readonly string[];
  shard: number;
  /** Of stream MEMBERS. */
  sequence: number;
  waitMs: number;
  /** The workers also confirm that nothing of this member is left in them. */
  erasedMemberId?: Uint8Array | undefined;
}

export interface Confirmation {
  workerId: string;
  instance: string;
}

export interface AppliedAnswer {
  /** In the order of their answers. */
  confirmed: Confirmation[];
  /** Asked, and not confirmed: whoever is in none of the lists below was not heard, or was not as far in time. */
  missing: string[];
  /** Of those missing: their disk refuses writes. */
  storeFull: string[];
  /** Of those missing: the erased member was still found there, a bug. */
  stillPresent: string[];
  /** Of those missing: several processes answer under one id. */
  doubled: string[];
}

export async function askApplied(nc: NatsConnection, question: AppliedQuestion): Promise<AppliedAnswer> {
  const verdicts = await Promise.all(question.workers.map((workerId) => askOne(nc, question, workerId)));
  const having = (kind: Verdict["kind"]) =>
    verdicts.filter((verdict) => verdict.kind === kind).map(({ workerId }) => workerId);
  const confirmed = verdicts
    .flatMap((verdict) => (verdict.kind === "confirmed" ? [verdict] : []))
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ workerId, instance }) => ({ workerId, instance }));
  return {
    confirmed,
    missing: verdicts.filter(({ kind }) => kind !== "confirmed").map(({ workerId }) => workerId),
    storeFull: having("storeFull"),
    stillPresent: having("stillPresent"),
    doubled: having("doubled"),
  };
}

type Verdict =
  | { kind: "confirmed"; workerId: string; instance: string; atMs: number }
  | { kind: "notYet" | "storeFull" | "stillPresent" | "doubled"; workerId: string };

function askOne(nc: NatsConnection, question: AppliedQuestion, workerId: string): Promise<Verdict> {
  return new Promise((resolve) => {
    const { shard, sequence, waitMs, erasedMemberId } = question;
    const endsAtMs = performance.now() + waitMs;
    const voices = new Set<string>();
    let verdict: Verdict = { kind: "notYet", workerId };
    const timers = new Set<NodeJS.Timeout>();
    const after = (ms: number, act: () => void) => timers.add(setTimeout(act, Math.max(0, ms)));

    const settle = (settled: Verdict) => {
      for (const timer of timers) clearTimeout(timer);
      if (!inbox.isClosed()) inbox.unsubscribe();
      resolve(settled);
    };
    const ask = () => {
      if (nc.isClosed()) return settle({ kind: "notYet", workerId });
      const leftMs = Math.max(0, Math.floor(endsAtMs - performance.now() - ANSWER_MARGIN_MS));
      const request = { streamSequence: sequence, waitMs: leftMs, erasedMemberId: erasedMemberId ?? null };
      nc.publish(appliedSubject(workerId, shard), encode(bus.AppliedRequest, request), {
        reply: inbox.getSubject(),
      });
    };
    const onMessage = (message: Msg) => {
      if (message.headers?.code === NO_RESPONDERS) return after(NOBODY_RETRY_MS, ask);
      const reply = decode(bus.AppliedReply, message.data);
      if (reply?.workerId !== workerId || reply.instance === "") return;
      voices.add(reply.instance);
      if (voices.size > 1) return settle({ kind: "doubled", workerId });
      verdict = verdictOf(reply);
      if (verdict.kind === "storeFull" || verdict.kind === "stillPresent") return settle(verdict);
      if (verdict.kind !== "confirmed") return;
      if (erasedMemberId === undefined) return settle(verdict);
      const settled = verdict;
      after(Math.min(SECOND_VOICE_MS, endsAtMs - performance.now()), () => settle(settled));
    };
    const inbox = nc.subscribe(createInbox(), {
      callback: (error, message) => {
        if (error === null) onMessage(message);
      },
    });
    after(waitMs, () => settle(verdict));
    ask();
  });
}

function verdictOf({ workerId, instance, status }: bus.AppliedReply): Verdict {
  switch (status) {
    case bus.AppliedStatus.APPLIED:
      return { kind: "confirmed", workerId, instance, atMs: performance.now() };
    case bus.AppliedStatus.STORE_FULL:
      return { kind: "storeFull", workerId };
    case bus.AppliedStatus.STILL_PRESENT:
      return { kind: "stillPresent", workerId };
    default:
      return { kind: "notYet", workerId };
  }
}
