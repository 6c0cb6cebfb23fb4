// Round two of a search: how alike is the probe to these templates, and what does a decision need of the best's member?
// Synchronous and without state.
//
// Invariants:
// - every request gets a reply with a status; candidates come only with SEARCHED, the profile with the first of them;
// - handles of another life of the process, or of a template that is gone, compare with nothing: STALE_HANDLES;
// - a template of a shard that is not current any more is not compared;
// - the profile opens only with the request's nonce;
// - nothing of the probe is left in the message, nor in a copy made here.
import { PROBE_LINES_WORDS } from "../palm/lines/frames.js";
import { type Signature, wipe } from "../palm/signature.js";
import { bus, decode, encode } from "../wire/codec.js";
import { FACTS_NONCE_BYTES, sealFacts } from "../wire/facts.js";
import { fromHex } from "../wire/hex.js";
import { MAX_CANDIDATES } from "../wire/limits.js";
import { ShardSet } from "../wire/shard.js";
import type { MemberCandidate } from "./index/merge.js";
import { NO_WORDS, readVector, readWords } from "./probe.js";
import type { SearchAnswer, SearchStatusName } from "./search-request.js";
import type { SegmentFacts, ServingThread } from "./serving.js";

type Refusal = Exclude<SearchStatusName, "SEARCHED">;

interface Found {
  candidates: MemberCandidate[];
  profile: bus.ISealed | null;
}

/** @param body the request; zeroed when this returns or throws */
export function answerCompare(thread: ServingThread, body: Uint8Array): SearchAnswer {
  const startedAtMs = performance.now();
  try {
    const found = compare(thread, body);
    const status = typeof found === "string" ? found : "SEARCHED";
    const { workerId, instance, thread: number } = thread.identity;
    const head = { workerId, instance, thread: number, status: bus.SearchStatus[status] };
    const searchMs = performance.now() - startedAtMs;
    if (typeof found === "string") return { status, searchMs, reply: encode(bus.CompareReply, head) };
    const candidates = found.candidates.map(({ member, similarity }) => ({
      memberId: fromHex(member),
      similarity,
    }));
    const reply = encode(bus.CompareReply, { ...head, candidates, profile: found.profile });
    return { status, searchMs, reply };
  } finally {
    body.fill(0);
  }
}

function compare(thread: ServingThread, body: Uint8Array): Found | Refusal {
  const request = decode(bus.CompareRequest, body);
  if (request === undefined || request.nonce.length !== FACTS_NONCE_BYTES) return "PROBE_INVALID";
  if (request.deadlineUnixMs <= thread.nowUnixMs()) return "PAST_DEADLINE";
  const { organisation, gallery, modelId, instance, handles, nonce } = request;
  if (handles.length < 1 || handles.length > MAX_CANDIDATES) return "PROBE_INVALID";
  if (instance !== thread.identity.instance) return "STALE_HANDLES";
  const served = thread.serving(ShardSet.all());
  if (served === "NOT_HERE") return "STALE_HANDLES";
  if (typeof served === "string") return served;
  const segment = thread.segment(organisation, gallery);
  if (segment === undefined) return "NOT_READY";
  if (modelId !== segment.facts.modelId) return "MODEL_MISMATCH";
  const probe = probeIn(request, segment.facts);
  if (probe === undefined) return "PROBE_INVALID";
  try {
    const compared = segment.templates.compare(probe, handles, served.shards);
    if (!compared.ok) return compared.code === "OTHER_SHARD" ? "NOT_CURRENT" : "STALE_HANDLES";
    const { candidates } = compared;
    const [best] = candidates;
    if (best === undefined) return "STALE_HANDLES";
    const known = thread.member(organisation, best.member);
    // Its key is being destroyed: a moment later its template is gone too.
    if (known.status !== "FOUND") return "STALE_HANDLES";
    return { candidates, profile: sealFacts(thread.factsKey(organisation), nonce, known.facts) };
  } finally {
    wipe(probe);
  }
}

const NO_NUMBERS = new Float32Array();

/** The vector where the model has that alone, else the line maps. The caller wipes them. */
function probeIn(
  { probe, lines }: bus.CompareRequest,
  { dimension, lineMaps }: SegmentFacts,
): Signature | undefined {
  if (lineMaps) {
    const words = readWords(lines, PROBE_LINES_WORDS);
    return words && { vector: NO_NUMBERS, lines: words, codes: NO_WORDS };
  }
  if (lines.length > 0) return undefined;
  const vector = readVector(probe, dimension);
  return vector && { vector, lines: NO_WORDS, codes: NO_WORDS };
}
