// An enrolment after the signing: who it is that stands there, a member, and the end of the intent.
//
//   OPEN                   compared with those under way and with the whole gallery  -> ACCEPTED, or OPEN with a code
//   ACCEPTED               data key and member into the log                          -> ACCEPTED without its intent
//   ACCEPTED, no intent    captures destroyed; applied by every worker that serves   -> DONE
//   OPEN with a code       captures destroyed                                        -> REFUSED
//
// Invariants:
// - the same palm twice at once is one member: whoever came later in the log waits for the one before that has the same
//   palm, and is refused when that one is accepted. Whoever began after a search did finds the searcher in the log;
// - nobody is enrolled while any shard of the gallery did not answer;
// - what is ACCEPTED is completed: the member id stands in the log before anything of the member does, and another
//   ledger goes on with it under that id and under the data key that the log has;
// - nothing of the captures is left in the log when the saga has ended: they are destroyed before DONE or REFUSED is
//   appended, by whichever ledger appends it;
// - DONE means: whoever is asked from now on knows the member (records/served.ts);
// - nobody is accepted into the room that the log keeps for beats and erasures (headroom.ts): STORE_FULL;
// - an enrolment that cannot be decided is refused GIVE_UP_AFTER_MS after it began: a person does not wait longer.
import { randomBytes } from "node:crypto";
import type { SearchRequest } from "../identify/search.js";
import { templateOf } from "../palm/signature.js";
import {
  type EventLog,
  keySubjectOf,
  openEnrolIntent,
  type Saga,
  type Sagas,
  type ServedBy,
  storeMember,
} from "../records/index.js";
import { bus, decode, encode } from "../wire/codec.js";
import type { Directory } from "../wire/directory.js";
import type { Keyring } from "../wire/keyring.js";
import { MEMBER_ID_BYTES } from "../wire/limits.js";
import { shardOf } from "../wire/shard.js";
import { type MemberPlace, STREAMS } from "../wire/subjects.js";
import type { Headroom } from "./headroom.js";
import { comparePalms, FLOAT_BYTES, type Palms, palmsOf } from "./palms.js";
import type { OpenSaga } from "./saga-runner.js";
import { type Attempted, later, notAdvanced } from "./work-list.js";

export const GIVE_UP_AFTER_MS = 60_000;
const SEARCH_DEADLINE_MS = 1000;
/** How soon one looks again whether the one before it has ended. */
const WAIT_FOR_OTHER_MS = 100;

export interface EnrolDeps {
  eventLog: EventLog;
  sagas: Pick<Sagas, "advance" | "tidy">;
  keyring: Keyring;
  directory: Pick<Directory, "gallery" | "policy" | "current">;
  nowUnixMs(): number;
  /** Never rejects. */
  search(request: SearchRequest): Promise<SearchedGallery>;
  /** Similarity that a non-mated comparison passes with the given probability, of the model `modelId`. */
  similarityFor(falseMatchRate: number): number;
  modelId: string;
  /** Enrolments that are open now, in this process's order of the log. */
  open(): Iterable<OpenSaga>;
  servedBy: Pick<ServedBy, "ask">;
  headroom: Pick<Headroom, "hasRoom" | "noteFull">;
}

export interface SearchedGallery {
  complete: boolean;
  templates: number;
  candidates: readonly { similarity: number }[];
}

type Refusal = {
  code: "DUPLICATE_MEMBER" | "GALLERY_UNKNOWN" | "BUSY" | "STORE_FULL" | "INTERNAL";
  detail: string;
};
/** LATER: nothing can be said now. */
type Decided = { accept: true } | { accept: false; refusal: Refusal } | { accept: "LATER"; later: Attempted };

const laterThanOther = (detail: string): Attempted => ({
  ...{ done: false, detail, afterMs: WAIT_FOR_OTHER_MS },
  inVain: true,
});
const refuse = (code: Refusal["code"], detail: string) =>
  ({ accept: false, refusal: { code, detail } }) as const;

export async function enrolStep(deps: EnrolDeps, saga: Saga): Promise<Attempted> {
  if (saga.step === "ACCEPTED") return complete(deps, saga);
  if (saga.code !== "") return finishRefusal(deps, saga);
  const opened = openEnrolIntent(deps.keyring, saga, saga.intent);
  if (opened === undefined) {
    if (!deps.directory.current()) return later("the directory is not current");
    return decideRefusal(deps, saga, { code: "INTERNAL", detail: "The intent does not open." });
  }
  try {
    const decided = await decide(deps, saga, opened.plain);
    if (decided.accept === "LATER") return decided.later;
    if (!decided.accept) return decideRefusal(deps, saga, decided.refusal);
    return await accept(deps, saga, opened.plain);
  } finally {
    opened.close();
  }
}

// ---------------------------------------------------------------- OPEN

async function decide(deps: EnrolDeps, saga: Saga, plain: bus.EnrolPlain): Promise<Decided> {
  const { directory, modelId } = deps;
  const gallery = directory.gallery(saga.organisation, plain.gallery);
  if (gallery === undefined) {
    if (!directory.current()) return { accept: "LATER", later: later("the directory is not current") };
    return refuse("GALLERY_UNKNOWN", "The organisation has no such gallery.");
  }
  if (gallery.modelId !== modelId)
    return refuse("INTERNAL", `The gallery's model is ${gallery.modelId}, the ledger's is ${modelId}.`);
  if (!(await deps.headroom.hasRoom()))
    return refuse("STORE_FULL", "What room the event log still has is kept for erasures.");
  const own = palmsOf(plain.captures, gallery);
  if (own === undefined) return refuse("INTERNAL", "The captures are not of the gallery's model.");
  try {
    return await decidePalms(deps, saga, { name: plain.gallery, own });
  } finally {
    own.close();
  }
}

async function decidePalms(
  deps: EnrolDeps,
  saga: Saga,
  { name, own }: { name: string; own: Palms },
): Promise<Decided> {
  // Those under way first: one that ends while they are compared is in the gallery by the time it is searched.
  const underWay = await compareWithOthers(deps, saga, { name, own });
  if (underWay === "UNKNOWN") {
    const until = laterThanOther("an enrolment under way must end first");
    return undecidable(
      deps,
      saga,
      until,
      "Another enrolment did not end, so that a duplicate could not be ruled out.",
    );
  }
  const { organisation } = saga;
  const requests = own.palms.map(({ probe, modelId }) => ({
    ...{ organisation, gallery: name, modelId, probe },
    deadlineMs: SEARCH_DEADLINE_MS,
  }));
  const results = await Promise.all(requests.map((request) => deps.search(request)));
  if (results.some(({ complete }) => !complete)) {
    const until = later("a shard of the gallery does not answer");
    return undecidable(
      deps,
      saga,
      until,
      "A shard of the gallery did not answer, so that a duplicate could not be ruled out.",
    );
  }
  const comparisons = results.reduce((sum, { templates }) => sum + templates, underWay.comparisons);
  const { duplicateFpir } = deps.directory.policy(organisation).enrolment;
  // Bonferroni over all comparisons of this request: together they are wrong at the wanted rate.
  const threshold = deps.similarityFor(duplicateFpir / Math.max(1, comparisons));
  const found = results.flatMap(({ candidates }) => candidates.map(({ similarity }) => similarity));
  if (Math.max(underWay.closestAccepted, ...found) >= threshold) {
    return refuse("DUPLICATE_MEMBER", "This palm is enrolled in the gallery already.");
  }
  if (underWay.closestBefore >= threshold) {
    const until = laterThanOther("the same palm is being enrolled");
    return undecidable(deps, saga, until, "The same palm is being enrolled, and that did not end.");
  }
  return { accept: true };
}

/** @param detail of the refusal, when its time is over */
function undecidable(
  { nowUnixMs }: EnrolDeps,
  { beganUnixMs }: Saga,
  until: Attempted,
  detail: string,
): Decided {
  if (nowUnixMs() - beganUnixMs < GIVE_UP_AFTER_MS) return { accept: "LATER", later: until };
  return refuse("BUSY", detail);
}

interface UnderWay {
  closestAccepted: number;
  /** Of those not decided that came before. */
  closestBefore: number;
  comparisons: number;
}

/** UNKNOWN: one that is accepted already cannot be looked at any more, and is not known to be found by a search yet. */
async function compareWithOthers(
  deps: EnrolDeps,
  saga: Saga,
  { name, own }: { name: string; own: Palms },
): Promise<UnderWay | "UNKNOWN"> {
  const underWay = { closestAccepted: -1, closestBefore: -1, comparisons: 0 };
  for (const other of [...deps.open()]) {
    if (other.saga.organisation !== saga.organisation || other.saga.id === saga.id) continue;
    const isAccepted = other.saga.step === "ACCEPTED";
    const isBefore = other.saga.code === "" && other.saga.sequence < saga.sequence;
    if (!isAccepted && !isBefore) continue;
    const opened = openEnrolIntent(deps.keyring, other.saga, other.intent);
    if (opened === undefined) {
      if (isAccepted && acceptedGallery(other.saga) === name) return "UNKNOWN";
      continue;
    }
    try {
      const gallery = deps.directory.gallery(saga.organisation, opened.plain.gallery);
      if (gallery === undefined || gallery.name !== name) continue;
      const theirs = palmsOf(opened.plain.captures, gallery);
      if (theirs === undefined) continue;
      const { closest, comparisons } = await comparePalms(own, theirs).finally(() => theirs.close());
      underWay.comparisons += comparisons;
      if (isAccepted) underWay.closestAccepted = Math.max(underWay.closestAccepted, closest);
      else underWay.closestBefore = Math.max(underWay.closestBefore, closest);
    } finally {
      opened.close();
    }
  }
  return underWay;
}

const acceptedGallery = ({ result }: Saga) => decode(bus.EnrolResult, result)?.gallery;

async function accept(deps: EnrolDeps, saga: Saga, plain: bus.EnrolPlain): Promise<Attempted> {
  const memberId = new Uint8Array(randomBytes(MEMBER_ID_BYTES));
  const result = { memberId, gallery: plain.gallery, templates: plain.captures.length };
  const advanced = await deps.sagas.advance(saga, {
    step: "ACCEPTED",
    result: encode(bus.EnrolResult, result),
  });
  return advanced.ok ? complete(deps, advanced.saga) : notAdvanced(advanced.code);
}

async function decideRefusal(deps: EnrolDeps, saga: Saga, { code, detail }: Refusal): Promise<Attempted> {
  const decided = await deps.sagas.advance(saga, { step: "OPEN", code, detail, dropIntent: true });
  return decided.ok ? finishRefusal(deps, decided.saga) : notAdvanced(decided.code);
}

async function finishRefusal(deps: EnrolDeps, saga: Saga): Promise<Attempted> {
  if (!(await deps.sagas.tidy(saga))) return later("the captures cannot be destroyed yet");
  const { code, detail } = saga;
  const ended = await deps.sagas.advance(saga, { step: "REFUSED", code, detail });
  return ended.ok ? { done: true } : notAdvanced(ended.code);
}

// ---------------------------------------------------------------- ACCEPTED

async function complete(deps: EnrolDeps, saga: Saga): Promise<Attempted> {
  const result = decode(bus.EnrolResult, saga.result);
  if (result?.memberId.length !== MEMBER_ID_BYTES) return later("its result is not readable: a bug");
  const { memberId, gallery, templates } = result;
  if (saga.intent.length === 0) return finish(deps, saga, memberId, result.sequence);
  const stored = await store(deps, saga, { organisation: saga.organisation, gallery, memberId });
  if (!stored.ok) {
    if (stored.code === "STORE_FULL") deps.headroom.noteFull();
    return later(stored.detail);
  }
  const { sequence } = stored;
  const dropped = await deps.sagas.advance(saga, {
    step: "ACCEPTED",
    result: encode(bus.EnrolResult, { memberId, gallery, templates, sequence }),
    dropIntent: true,
  });
  return dropped.ok ? finish(deps, dropped.saga, memberId, sequence) : notAdvanced(dropped.code);
}

/** @param sequence of Enrolled; 0: the member was erased meanwhile, and nobody has to know it */
async function finish(
  deps: EnrolDeps,
  saga: Saga,
  memberId: Uint8Array,
  sequence: number,
): Promise<Attempted> {
  if (!(await deps.sagas.tidy(saga))) return later("the captures cannot be destroyed yet");
  if (sequence > 0) {
    const served = await deps.servedBy.ask(shardOf(memberId), sequence);
    if (!served.ok) return later(served.detail);
  }
  const ended = await deps.sagas.advance(saga, { step: "DONE" });
  return ended.ok ? { done: true } : notAdvanced(ended.code);
}

type InLog = { ok: true; sequence: number } | { ok: false; code?: string; detail: string };

async function store({ eventLog, keyring }: EnrolDeps, saga: Saga, place: MemberPlace): Promise<InLog> {
  const opened = openEnrolIntent(keyring, saga, saga.intent);
  const own = opened && palmsOf(opened.plain.captures, modelOf(opened.plain));
  try {
    if (opened === undefined || own === undefined) return { ok: false, detail: "the intent does not open" };
    const stored = await storeMember(eventLog, keyring, {
      ...place,
      templates: own.palms.map(({ probe, modelId, position }) => ({
        ...{ modelId, position },
        signature: templateOf(probe),
      })),
      profile: opened.plain.profile ?? {},
    });
    if (stored.ok || stored.code !== "ERASED") return stored;
    // Erased since: a ledger that woke up late, we, may have made another key for it.
    const key = await eventLog.secureDelete(STREAMS.keys, keySubjectOf(place));
    return key.ok ? { ok: true, sequence: 0 } : key;
  } finally {
    own?.close();
    opened?.close();
  }
}

/** That of the first capture: what they must all be of was looked at when they were accepted. */
function modelOf({ captures: [first] }: bus.EnrolPlain) {
  return {
    modelId: first?.modelId ?? "",
    dimension: (first?.vector?.length ?? 0) / FLOAT_BYTES,
    lineMaps: (first?.lines?.length ?? 0) > 0,
  };
}
