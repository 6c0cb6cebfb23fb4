// What a search says to workers and how their answers are read. Bytes in, checked values out; no state.
//
// Invariants:
// - a body with a probe is one buffer that the caller wipes; no other copy of the probe is made here;
// - an answer that is malformed in any way is no answer: distances that are no numbers, similarities outside -1..1, ids of a
//   wrong length, handles that were not asked for, more than was asked for.
import type { Signature } from "../palm/signature.js";
import { bus, decode, encode, encodeSecrets } from "../wire/codec.js";
import { toHex } from "../wire/hex.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import type { MaybeSealed } from "../wire/seal.js";
import { ShardSet } from "../wire/shard.js";
import type { Ranked } from "./merge.js";

/** Handles asked of each thread, and compared in all: the nearest of the whole gallery may lie in one thread. */
export const NEAREST = 32;
/** Of bus.CompareReply: the best, a rival of it, and one more. */
const MAX_COMPARED = 3;
/** Products of two unit vectors come out a hair above 1. */
const ROUNDING = 1e-3;
/** Fields of bus.SearchRequest and bus.CompareRequest. */
const SEARCH_PROBE = 4;
const SEARCH_CODES = 8;
const COMPARE_PROBE = 6;
const COMPARE_LINES = 7;

export interface SearchHead {
  organisation: string;
  gallery: string;
  modelId: string;
  /** Log's clock. */
  deadlineUnixMs: number;
}

export interface Near {
  handle: number;
  /** The smaller the nearer. */
  distance: number;
  shard: number;
}

export type SearchAnswer = { workerId: string; thread: number } & (
  | { ok: true; instance: string; shards: ShardSet; near: Near[]; scale: number; templates: number }
  | { ok: false; status: bus.SearchStatus }
);

export type CompareAnswer =
  | { ok: true; candidates: Ranked[]; profile: MaybeSealed }
  | { ok: false; status: bus.SearchStatus };

/** Vector and codes: matchers go by the one or the other. @param shards `undefined`: all that whoever hears it serves */
export function encodeSearch(head: SearchHead, probe: Signature, shards: ShardSet | undefined): Uint8Array {
  const wanted = shards === undefined ? {} : { shards: shards.bytes() };
  const secrets = [{ number: SEARCH_PROBE, bytes: bytesOf(probe.vector) }];
  if (probe.codes.length > 0) secrets.push({ number: SEARCH_CODES, bytes: bytesOf(probe.codes) });
  return encodeSecrets(encode(bus.SearchRequest, { ...head, nearest: NEAREST, ...wanted }), secrets);
}

/** Where the model makes line maps they are compared, else the vectors. */
export function encodeCompare(
  head: SearchHead,
  probe: Signature,
  { instance, handles, nonce }: { instance: string; handles: number[]; nonce: Uint8Array },
): Uint8Array {
  const hasLines = probe.lines.length > 0;
  const secret = hasLines
    ? { number: COMPARE_LINES, bytes: bytesOf(probe.lines) }
    : { number: COMPARE_PROBE, bytes: bytesOf(probe.vector) };
  return encodeSecrets(encode(bus.CompareRequest, { ...head, instance, handles, nonce }), [secret]);
}

/** A view, no copy. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** `undefined`: nobody's answer. */
export function readSearchReply(bytes: Uint8Array): SearchAnswer | undefined {
  const reply = decode(bus.SearchReply, bytes);
  if (reply === undefined || reply.workerId === "") return undefined;
  const { workerId, thread, status, instance, scale, templates } = reply;
  if (status !== bus.SearchStatus.SEARCHED) return { workerId, thread, ok: false, status };
  const shards = ShardSet.from(reply.shards);
  const near = reply.near.map(({ handle, distance, shard }) => ({
    handle: handle ?? 0,
    distance: distance ?? 0,
    shard: shard ?? 0,
  }));
  const whole = near.length <= NEAREST && near.every(({ distance }) => Number.isFinite(distance));
  if (shards === undefined || !whole) return { workerId, thread, ok: false, status: NO_ANSWER };
  return { workerId, thread, ok: true, instance, shards, near, scale, templates };
}

const NO_ANSWER = bus.SearchStatus.SEARCH_STATUS_UNSPECIFIED;

export function readCompareReply(bytes: Uint8Array, instance: string): CompareAnswer {
  const reply = decode(bus.CompareReply, bytes);
  if (reply === undefined) return { ok: false, status: NO_ANSWER };
  if (reply.status !== bus.SearchStatus.SEARCHED) return { ok: false, status: reply.status };
  const candidates: Ranked[] = [];
  for (const { memberId, similarity } of reply.candidates) {
    const isOne = memberId?.length === MEMBER_ID_BYTES && isSimilarity(similarity ?? 0);
    if (!isOne) return { ok: false, status: NO_ANSWER };
    candidates.push({ member: toHex(memberId), similarity: similarity ?? 0 });
  }
  if (reply.instance !== instance || candidates.length > MAX_COMPARED || !isRanked(candidates)) {
    return { ok: false, status: NO_ANSWER };
  }
  return { ok: true, candidates, profile: reply.profile };
}

const isSimilarity = (value: number) => value >= -1 - ROUNDING && value <= 1 + ROUNDING;

/** Best first: the profile that came along is that of the first. Equals may stand in any order. */
const isRanked = (candidates: readonly Ranked[]) =>
  candidates.every((each, at) => at === 0 || each.similarity <= (candidates[at - 1]?.similarity ?? 0));
