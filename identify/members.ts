// A member, asked of the shard that it lives in. For who is no search: desk, ledger, passes.
//
// Invariants:
// - get() resolves at the latest at its deadline and never rejects;
// - NOT_FOUND and ERASED are said only by a worker that has caught up and is current; one that is not, that is silent or
//   whose facts do not open counts as none, and the next one is asked;
// - whoever must see a change that was made asks with its sequence: a worker that is behind it counts as none.
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "../wire/codec.js";
import { FACTS_NONCE_BYTES, openFacts } from "../wire/facts.js";
import { fromHex } from "../wire/hex.js";
import type { Keyring } from "../wire/keyring.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { shardOf } from "../wire/shard.js";
import { memberReadSubject } from "../wire/subjects.js";
import type { Fleet } from "./fleet.js";

/** One worker's time; then the next one is asked. */
const WORKER_TIMEOUT_MS = 400;
/** When all were asked and none could say. */
const RETRY_PAUSE_MS = 50;

export interface KnownMember {
  facts: bus.MemberFacts;
  gallery: string;
  templates: { modelId: string; position: number }[];
  /** Of stream MEMBERS: what the worker had applied. */
  appliedSequence: number;
}

export type MemberAnswer =
  | { ok: true; member: KnownMember }
  | { ok: false; code: "NOT_FOUND" | "ERASED" | "UNAVAILABLE" };

export class MemberClient {
  readonly #nats: NatsConnection;
  readonly #fleet: Pick<Fleet, "servers">;
  readonly #keyring: Pick<Keyring, "busKey">;

  constructor(nats: NatsConnection, fleet: Pick<Fleet, "servers">, keyring: Pick<Keyring, "busKey">) {
    this.#nats = nats;
    this.#fleet = fleet;
    this.#keyring = keyring;
  }

  /**
   * @param memberHex 32 hex digits; anything else is NOT_FOUND
   * @param options.atLeastSequence of stream MEMBERS, that the answer must have seen
   */
  async get(
    organisation: string,
    memberHex: string,
    deadlineMs: number,
    { atLeastSequence = 0 }: { atLeastSequence?: number } = {},
  ): Promise<MemberAnswer> {
    const memberId = fromHex(memberHex);
    if (memberId.length !== MEMBER_ID_BYTES) return { ok: false, code: "NOT_FOUND" };
    const shard = shardOf(memberId);
    const endsAtMs = performance.now() + deadlineMs;
    const leftMs = () => endsAtMs - performance.now();
    while (leftMs() > 0) {
      for (const { id } of this.#fleet.servers(shard)) {
        const timeoutMs = Math.min(WORKER_TIMEOUT_MS, leftMs());
        if (timeoutMs <= 0) break;
        const answer = await this.#ask(memberReadSubject(id, shard), { organisation, memberId }, timeoutMs);
        if (answer !== undefined && answer.appliedSequence >= atLeastSequence) return answer.said;
      }
      await pause(Math.max(0, Math.min(RETRY_PAUSE_MS, leftMs())));
    }
    return { ok: false, code: "UNAVAILABLE" };
  }

  /** `undefined`: this worker cannot say. */
  async #ask(
    subject: string,
    { organisation, memberId }: { organisation: string; memberId: Uint8Array },
    timeoutMs: number,
  ): Promise<{ said: MemberAnswer; appliedSequence: number } | undefined> {
    const nonce = new Uint8Array(randomBytes(FACTS_NONCE_BYTES));
    const body = encode(bus.MemberRequest, { organisation, memberId, nonce });
    const message = await this.#nats.request(subject, body, { timeout: timeoutMs }).catch(() => undefined);
    const reply = message && decode(bus.MemberReply, message.data);
    if (reply === undefined) return undefined;
    const { status, gallery, appliedSequence } = reply;
    if (status === bus.MemberStatus.UNKNOWN)
      return { said: { ok: false, code: "NOT_FOUND" }, appliedSequence };
    if (status === bus.MemberStatus.ERASED) return { said: { ok: false, code: "ERASED" }, appliedSequence };
    if (status !== bus.MemberStatus.FOUND) return undefined;
    const facts = openFacts(this.#keyring.busKey("facts", organisation), nonce, memberId, reply.facts);
    if (facts === undefined) return undefined;
    const templates = reply.templates.map(({ modelId, position }) => ({
      modelId: modelId ?? "",
      position: position ?? 0,
    }));
    return { said: { ok: true, member: { facts, gallery, templates, appliedSequence } }, appliedSequence };
  }
}
