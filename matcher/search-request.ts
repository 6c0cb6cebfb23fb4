// One search request, from the bytes of the message to the bytes of the reply. Synchronous and without state.
//
// Invariants:
// - every request gets a reply with a status; candidates come only with SEARCHED;
// - a probe that is not a unit vector of the gallery's dimension never reaches the index.
import { bus, decode, encode } from "../wire/codec.js";
import { MAX_CANDIDATES } from "../wire/limits.js";
import { fromHex } from "../wire/partition.js";
import type { MemberCandidate } from "./index/merge.js";
import { vectorFault } from "./index/signature-index.js";

export interface Searchable {
  readonly partition: number;
  readonly modelId: string;
  readonly dimension: number;
  readonly ready: boolean;
  readonly templates: number;
  search(probe: Float32Array, k: number): MemberCandidate[];
}

export type SearchStatusName = Exclude<keyof typeof bus.SearchStatus, "SEARCH_STATUS_UNSPECIFIED">;

export interface SearchAnswer {
  status: SearchStatusName;
  searchMs: number;
  reply: Uint8Array;
}

const BYTES_PER_NUMBER = Float32Array.BYTES_PER_ELEMENT;

export function answerSearch(target: Searchable, body: Uint8Array, workerId: string): SearchAnswer {
  const startedAtMs = performance.now();
  const { status, candidates } = search(target, body);
  const searchMs = performance.now() - startedAtMs;
  const reply = encode(bus.SearchReply, {
    partition: target.partition,
    status: bus.SearchStatus[status],
    candidates: candidates.map(({ member, similarity }) => ({ memberId: fromHex(member), similarity })),
    templates: target.templates,
    workerId,
    searchMs,
  });
  return { status, searchMs, reply };
}

interface Found {
  status: SearchStatusName;
  candidates: MemberCandidate[];
}

function search(target: Searchable, body: Uint8Array): Found {
  const refused = (status: SearchStatusName): Found => ({ status, candidates: [] });
  if (!target.ready) return refused("NOT_READY");
  const request = decode(bus.SearchRequest, body);
  if (request === undefined) return refused("PROBE_INVALID");
  if (request.modelId !== target.modelId) return refused("MODEL_MISMATCH");
  const wanted = request.maxCandidates;
  if (wanted < 1 || wanted > MAX_CANDIDATES) return refused("PROBE_INVALID");
  const probe = asFloats(request.probe);
  if (probe === undefined || vectorFault(probe, target.dimension) !== undefined) {
    return refused("PROBE_INVALID");
  }
  return { status: "SEARCHED", candidates: target.search(probe, wanted) };
}

/** Little-endian float32s as numbers: a view on the message where it lies aligned, else a copy. */
function asFloats(bytes: Uint8Array): Float32Array | undefined {
  if (bytes.length % BYTES_PER_NUMBER !== 0) return undefined;
  // Not slice(): NATS hands over a Buffer, whose slice is no copy.
  const aligned = bytes.byteOffset % BYTES_PER_NUMBER === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, bytes.length / BYTES_PER_NUMBER);
}
