// One search request, from the bytes of the message to the bytes of the reply. Synchronous and without state.
//
// Invariants:
// - every request gets a reply with a status; candidates come only with SEARCHED;
// - a probe that is not a unit vector of the gallery's dimension, or whose line maps or codes are not those of the
//   gallery's model, never reaches the index;
// - nothing of the probe is left in the message, nor in a copy made here. What the connection itself copied on its way in
//   is out of reach.
import { PROBE_CODE_WORDS } from "../palm/codes/layout.js";
import { PROBE_LINES_WORDS } from "../palm/lines/frames.js";
import { type Signature, wipe } from "../palm/signature.js";
import { bus, decode, encode } from "../wire/codec.js";
import { MAX_CANDIDATES } from "../wire/limits.js";
import { fromHex } from "../wire/partition.js";
import type { MemberCandidate } from "./index/merge.js";
import { vectorFault } from "./index/signature-index.js";

export interface Searchable {
  readonly partition: number;
  readonly modelId: string;
  readonly dimension: number;
  /** Its model's signatures have line maps. */
  readonly lineMaps: boolean;
  readonly ready: boolean;
  readonly templates: number;
  search(probe: Signature, k: number): MemberCandidate[];
}

export type SearchStatusName = Exclude<keyof typeof bus.SearchStatus, "SEARCH_STATUS_UNSPECIFIED">;

export interface SearchAnswer {
  status: SearchStatusName;
  searchMs: number;
  reply: Uint8Array;
}

/** Of a float32 of the vector, and of a uint32 of line maps and codes. */
const WORD_BYTES = 4;

/** @param body the request; zeroed when this returns or throws */
export function answerSearch(target: Searchable, body: Uint8Array, workerId: string): SearchAnswer {
  const startedAtMs = performance.now();
  const { status, candidates } = searchAndWipe(target, body);
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

function searchAndWipe(target: Searchable, body: Uint8Array): Found {
  try {
    return search(target, body);
  } finally {
    body.fill(0);
  }
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
  const probe = probeIn(request, target);
  if (probe === undefined) return refused("PROBE_INVALID");
  try {
    return { status: "SEARCHED", candidates: target.search(probe, wanted) };
  } finally {
    wipe(probe);
  }
}

/** The caller wipes it. */
function probeIn(request: bus.SearchRequest, { dimension, lineMaps }: Searchable): Signature | undefined {
  const [lineWords, codeWords] = lineMaps ? [PROBE_LINES_WORDS, PROBE_CODE_WORDS] : [0, 0];
  const { probe: vectorBytes, lines: lineBytes, codes: codeBytes } = request;
  if (vectorBytes.length !== dimension * WORD_BYTES) return undefined;
  if (lineBytes.length !== lineWords * WORD_BYTES || codeBytes.length !== codeWords * WORD_BYTES) {
    return undefined;
  }
  const vector = aligned(vectorBytes);
  const probe: Signature = {
    vector: new Float32Array(vector.buffer, vector.byteOffset, dimension),
    lines: wordsIn(lineBytes),
    codes: wordsIn(codeBytes),
  };
  if (vectorFault(probe.vector, dimension) === undefined) return probe;
  wipe(probe);
  return undefined;
}

function wordsIn(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes);
  return new Uint32Array(buffer, byteOffset, byteLength / WORD_BYTES);
}

/** Little-endian words, to be seen as numbers: the bytes of the message where they lie aligned, else a copy. */
function aligned(bytes: Uint8Array): Uint8Array {
  // Not slice(): NATS hands over a Buffer, whose slice is no copy.
  return bytes.byteOffset % WORD_BYTES === 0 ? bytes : new Uint8Array(bytes);
}
