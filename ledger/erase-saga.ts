// An erasure: key and events destroyed, then confirmed by everybody who may hold anything of the member.
//
//   OPEN      is there such a member?  -> ACCEPTED, or REFUSED
//   ACCEPTED  `Erased` into the log, key and earlier events destroyed, every holder confirms  -> DONE with the receipt
//
// Invariants:
// - once ACCEPTED it goes on until it is whole, whatever crashes, for as long as it takes: it is never given up;
// - holders are those that the record names (records/holders.ts), read from its leader after the key is destroyed: a
//   worker that comes later has nothing left to read. One that is paused, lags or is away keeps the receipt pending;
// - the receipt names each holder that confirmed, and is signed once: the one in the log is the one that counts.
import type { KeyObject } from "node:crypto";
import type { NatsConnection } from "@nats-io/transport-node";
import {
  type AppliedAnswer,
  askApplied,
  destroyMember,
  type EventLog,
  type Holders,
  memberSubjectOf,
  type Saga,
  type Sagas,
  signReceipt,
} from "../records/index.js";
import { bus, decode } from "../wire/codec.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import { type Attempted, later, notAdvanced } from "./work-list.js";

/** One ask; a worker that heard of the erasure long ago answers at once, or not yet. */
const ASK_MS = 3000;

export interface EraseDeps {
  nc: NatsConnection;
  eventLog: EventLog;
  sagas: Pick<Sagas, "advance">;
  holders: Pick<Holders, "holdersOf">;
  nowUnixMs(): number;
  /** The fleet's newest; undefined: it is not there yet. */
  receiptKey(): KeyObject | undefined;
  /** Who has not confirmed; empty when all have. For ops. */
  onMissing(saga: Saga, workers: readonly string[]): void;
}

export async function eraseStep(deps: EraseDeps, saga: Saga): Promise<Attempted> {
  const intent = decode(bus.EraseIntent, saga.intent);
  if (intent?.memberId.length !== MEMBER_ID_BYTES)
    return refuse(deps, saga, "INTERNAL", "No member is named.");
  const { memberId, gallery } = intent;
  const place = { organisation: saga.organisation, gallery, memberId };
  return saga.step === "ACCEPTED" ? erase(deps, saga, place) : begin(deps, saga, place);
}

async function begin(deps: EraseDeps, saga: Saga, place: MemberPlace): Promise<Attempted> {
  const known = await deps.eventLog.last(STREAMS.members, memberSubjectOf(place));
  if (known === undefined) return refuse(deps, saga, "NOT_FOUND", "There is no such member.");
  const accepted = await deps.sagas.advance(saga, { step: "ACCEPTED" });
  return accepted.ok ? erase(deps, accepted.saga, place) : notAdvanced(accepted.code);
}

async function refuse(
  { sagas }: EraseDeps,
  saga: Saga,
  code: "NOT_FOUND" | "INTERNAL",
  detail: string,
): Promise<Attempted> {
  const refused = await sagas.advance(saga, { step: "REFUSED", code, detail });
  return refused.ok ? { done: true } : notAdvanced(refused.code);
}

async function erase(deps: EraseDeps, saga: Saga, place: MemberPlace): Promise<Attempted> {
  const destroyed = await destroyMember(deps.eventLog, place, saga.by);
  if (!destroyed.ok) return later(destroyed.detail);
  const { destruction } = destroyed;
  const { shard } = destruction;
  const holders = await deps.holders.holdersOf(shard);
  const answer = await askApplied(deps.nc, {
    workers: holders,
    shard,
    sequence: destruction.erasedSequence,
    waitMs: ASK_MS,
    erasedMemberId: place.memberId,
  });
  const { missing } = answer;
  deps.onMissing(saga, missing);
  if (missing.length > 0) return later(whoIsMissing(answer));
  const key = deps.receiptKey();
  if (key === undefined) return later("the fleet has no key for receipts yet");
  const receipt = signReceipt(key, {
    ...destruction,
    workers: holders,
    confirmedAtUnixMs: deps.nowUnixMs(),
  });
  const result = Buffer.from(JSON.stringify(receipt), "utf8");
  const ended = await deps.sagas.advance(saga, { step: "DONE", result });
  return ended.ok ? { done: true } : notAdvanced(ended.code);
}

function whoIsMissing({ missing, storeFull, stillPresent, doubled }: AppliedAnswer): string {
  const why = (worker: string) => {
    if (storeFull.includes(worker)) return `${worker} (its disk is full)`;
    if (stillPresent.includes(worker)) return `${worker} (still finds the member: a bug)`;
    return doubled.includes(worker) ? `${worker} (two processes under one id)` : worker;
  };
  return `not confirmed yet by ${missing.map(why).join(", ")}`;
}
