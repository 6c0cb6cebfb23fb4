// A member asked of its shard: profile, gallery and templates' kinds. Synchronous and without state.
//
// Invariants:
// - UNKNOWN and ERASED are said only by a shard that has caught up and is current: else UNREADY, ask another worker;
// - a member of another organisation than the asking one's is UNKNOWN;
// - the facts open only with the request's nonce.
import { bus, decode, encode } from "../wire/codec.js";
import { FACTS_NONCE_BYTES, sealFacts } from "../wire/facts.js";
import { toHex } from "../wire/hex.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { ShardSet, shardOf } from "../wire/shard.js";
import type { ServingThread } from "./serving.js";

export type MemberStatusName = Exclude<keyof typeof bus.MemberStatus, "MEMBER_STATUS_UNSPECIFIED">;

export interface MemberAnswer {
  status: MemberStatusName;
  reply: Uint8Array;
}

/** @param shard that of the subject */
export function answerMember(thread: ServingThread, shard: number, body: Uint8Array): MemberAnswer {
  const { workerId } = thread.identity;
  const request = decode(bus.MemberRequest, body);
  const served = thread.serving(new ShardSet([shard]));
  const say = (status: MemberStatusName, rest: Partial<bus.MemberReply.$Properties> = {}): MemberAnswer => {
    const appliedSequence = typeof served === "string" ? 0 : served.appliedSequence;
    const head = { workerId, status: bus.MemberStatus[status], appliedSequence };
    return { status, reply: encode(bus.MemberReply, { ...head, ...rest }) };
  };
  const isWhole =
    request?.memberId.length === MEMBER_ID_BYTES &&
    request.nonce.length === FACTS_NONCE_BYTES &&
    shardOf(request.memberId) === shard;
  if (request === undefined || !isWhole) return say("UNKNOWN");
  if (typeof served === "string") return say("UNREADY");
  const { organisation, memberId, nonce } = request;
  const known = thread.member(organisation, toHex(memberId));
  if (known.status === "ERASED") return say("ERASED", { gallery: known.gallery });
  if (known.status !== "FOUND") return say(known.status);
  const facts = sealFacts(thread.factsKey(organisation), nonce, known.facts);
  return say("FOUND", { gallery: known.gallery, templates: known.templates, facts });
}
