// Round one of a search, from the bytes of the message to the bytes of the reply: which templates are nearest?
// Synchronous and without state.
//
// Invariants:
// - every request gets a reply with a status, but for one that wants shards of other threads alone: those answer it;
// - handles come only with SEARCHED, which names exactly the shards that were searched: caught up, and current by the
//   log's beat, and with nobody of that gallery set aside: who is enrolled is never a stranger;
// - what is past its deadline is not worked on;
// - a probe that is not a unit vector of the gallery's dimension, or whose codes are not those of the gallery's model,
//   never reaches the index;
// - nothing of the probe is left in the message, nor in a copy made here. What the connection itself copied on its way in
//   is out of reach.
import { PROBE_CODE_WORDS } from "../palm/codes/layout.js";
import { type Signature, wipe } from "../palm/signature.js";
import { bus, decode, encode } from "../wire/codec.js";
import { MAX_CANDIDATES } from "../wire/limits.js";
import { ShardSet } from "../wire/shard.js";
import { NO_WORDS, readVector, readWords } from "./probe.js";
import type { SegmentFacts, Served, ServingThread } from "./serving.js";

export type SearchStatusName = Exclude<keyof typeof bus.SearchStatus, "SEARCH_STATUS_UNSPECIFIED">;
type Refusal = Exclude<SearchStatusName, "SEARCHED">;

export interface SearchAnswer {
  status: SearchStatusName;
  searchMs: number;
  reply: Uint8Array;
}

interface Found {
  served: Served;
  near: bus.INear[];
  /** Of the distances. */
  scale: number;
  templates: number;
}

/**
 * `undefined`: the wanted shards are others'.
 * @param body the request; zeroed when this returns or throws
 */
export function answerSearch(thread: ServingThread, body: Uint8Array): SearchAnswer | undefined {
  const startedAtMs = performance.now();
  try {
    const found = search(thread, body);
    if (found === "NOT_HERE") return undefined;
    const status = typeof found === "string" ? found : "SEARCHED";
    const searchMs = performance.now() - startedAtMs;
    const { workerId, instance, thread: number } = thread.identity;
    const head = { workerId, instance, thread: number, status: bus.SearchStatus[status], searchMs };
    if (typeof found === "string") return { status, searchMs, reply: encode(bus.SearchReply, head) };
    const { served, near, scale, templates } = found;
    const { shards, appliedSequence } = served;
    const reply = { ...head, shards: shards.bytes(), near, scale, templates, appliedSequence };
    return { status, searchMs, reply: encode(bus.SearchReply, reply) };
  } finally {
    body.fill(0);
  }
}

function search(thread: ServingThread, body: Uint8Array): Found | Refusal | "NOT_HERE" {
  const request = decode(bus.SearchRequest, body);
  if (request === undefined) return "PROBE_INVALID";
  const wanted = request.shards.length === 0 ? ShardSet.all() : ShardSet.from(request.shards);
  if (wanted === undefined) return "PROBE_INVALID";
  const served = thread.serving(wanted);
  if (served === "NOT_HERE") return served;
  if (request.deadlineUnixMs <= thread.nowUnixMs()) return "PAST_DEADLINE";
  const { organisation, gallery, modelId, nearest } = request;
  if (nearest < 1 || nearest > MAX_CANDIDATES) return "PROBE_INVALID";
  if (typeof served === "string") return served;
  const segment = thread.segment(organisation, gallery);
  if (segment === undefined) return "NOT_READY";
  if (modelId !== segment.facts.modelId) return "MODEL_MISMATCH";
  const shards = served.shards.copy();
  shards.deleteAll(thread.asideIn(organisation, gallery));
  if (shards.isEmpty) return "NOT_READY";
  const probe = probeIn(request, segment.facts);
  if (probe === undefined) return "PROBE_INVALID";
  const { templates } = segment;
  try {
    const near = templates.shortlist(probe, nearest, shards);
    const searched = { ...served, shards };
    return { served: searched, near, scale: templates.scale, templates: templates.templatesOf(shards) };
  } finally {
    wipe(probe);
  }
}

/** What round one goes by. The caller wipes it. */
function probeIn(
  { probe, codes: codeBytes }: bus.SearchRequest,
  { dimension, lineMaps }: SegmentFacts,
): Signature | undefined {
  const codes = readWords(codeBytes, lineMaps ? PROBE_CODE_WORDS : 0);
  if (codes === undefined) return undefined;
  const vector = readVector(probe, dimension);
  if (vector !== undefined) return { vector, lines: NO_WORDS, codes };
  codes.fill(0);
  return undefined;
}
