// From captures to a member that every matcher will know, as a list of named steps: for POST /api/members, where an
// operator enrols, and for POST /api/enrolments, where a person does (gateway/passes/self-enrol.ts).
//
// Invariants:
// - nobody is enrolled twice, as far as the search can tell: the whole gallery is asked, with a partition missing
//   nobody is enrolled at all, and enrolments under way are compared with each other;
// - captures of one hand agree with each other, so that no member is made of two people's palms;
// - "ok" is said only when the record is durable (records.enrolMember) and this gateway knows the member;
// - signatures are zeroed when the request ends, however it ends; they are never logged or answered.
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type Signature, similarity, templateCopyOf, templateOf, wipe } from "../../palm/index.js";
import { enrolMember } from "../../records/index.js";
import { MEMBER_ID_BYTES } from "../../wire/limits.js";
import { partitionOf, toHex } from "../../wire/partition.js";
import type { KnownMember } from "../members/member.js";
import { type Answer, done, type Refused, refuse } from "./answer.js";
import type { ApiDeps } from "./api.js";
import { type EnrolCapture, type EnrolOrder, parseEnrolRequest } from "./enrol-request.js";
import { openTurnstile } from "./turnstile.js";

const MAX_RUNNING_ENROLMENTS = 8;
const MAX_WAITING_ENROLMENTS = 64;
const DUPLICATE_SEARCH_DEADLINE_MS = 1000;
/** How long this gateway's own view may take to show what the log and a matcher have. */
const SEEN_DEADLINE_MS = 2000;

interface Signed {
  signature: Signature;
  position: number;
}

/** An enrolment whose palm the matchers may not know yet. */
interface UnderWay {
  gallery: string;
  signed: readonly Signed[];
}

interface Compared {
  /** Highest similarity found. */
  closest: number;
  comparisons: number;
}

type Step<T> = { ok: true; value: T } | { ok: false; refused: Refused };
const stop = (...refusal: Parameters<typeof refuse>) => ({ ok: false, refused: refuse(...refusal) }) as const;

export interface Enrolled {
  member: KnownMember;
  partition: number;
  templates: number;
}

/** `memberHex`: the log has the member, and only the confirmation did not come (NOT_YET_DURABLE). */
export type EnrolResult =
  | { ok: true; enrolled: Enrolled }
  | { ok: false; refused: Refused; memberHex?: string };

/** Enrols in the order of arrival. The captures are the caller's to wipe. */
export type Enrol = (order: EnrolOrder) => Promise<EnrolResult>;

/** Makes the one enroller; at most MAX_RUNNING_ENROLMENTS run at once, so that presentations keep the signers. */
export function openEnroller(deps: ApiDeps): Enrol {
  const turnstile = openTurnstile(MAX_RUNNING_ENROLMENTS, MAX_WAITING_ENROLMENTS);
  const underWay = new Set<UnderWay>();
  return async (order) => {
    const gallery = deps.site().galleries.find(({ name }) => name === order.gallery);
    if (!gallery) return stop("GALLERY_UNKNOWN", "The site file has no such gallery.");
    const entered = await turnstile.enter();
    if (!entered) return stop("BUSY", "Too many enrolments are waiting.");
    const signed: Signed[] = [];
    const self: UnderWay = { gallery: order.gallery, signed };
    try {
      const unfit = (await signCaptures(deps, order.captures, signed)) ?? checkAgreement(deps, signed);
      if (unfit) return { ok: false, refused: unfit };
      // Those who came before us are known and we are seen by those who come after, in one breath.
      const others = copiesOf(order.gallery, underWay);
      underWay.add(self);
      const compared = await compareWith(others, signed);
      const duplicate = await checkDuplicates(deps, self, compared);
      if (duplicate) return { ok: false, refused: duplicate };
      return await record(deps, order, gallery.partitions, signed);
    } finally {
      underWay.delete(self);
      for (const { signature } of signed) wipe(signature);
      turnstile.leave();
    }
  };
}

/** POST /api/members. */
export const enrolHandler =
  (deps: ApiDeps, enrol: Enrol) =>
  async (body: Buffer): Promise<Answer> => {
    const parsed = parseEnrolRequest(body);
    if (!parsed.ok) return parsed.refused;
    const result = await enrol(parsed.value);
    if (!result.ok) return result.refused;
    const { member, partition, templates } = result.enrolled;
    const { id: memberId, gallery } = member;
    return done({ memberId, gallery, partition, templates, pairwiseIds: pairwiseIds(deps, member) }, 201);
  };

/** One after the other: an enrolment takes one signer at most. Fills `signed`. */
async function signCaptures(
  deps: ApiDeps,
  captures: readonly EnrolCapture[],
  signed: Signed[],
): Promise<Refused | undefined> {
  for (const [index, { encoding, width, height, image, position }] of captures.entries()) {
    const one = await signOne(deps, { encoding, width, height, image }, `captures[${index}]`);
    if (!one.ok) return one.refused;
    signed.push({ signature: one.value, position });
  }
  return undefined;
}

async function signOne(
  { signers }: ApiDeps,
  { encoding, width, height, image }: Omit<EnrolCapture, "position">,
  where: string,
): Promise<Step<Signature>> {
  // A buffer of its own: it is handed over to the signer's thread.
  const pixels = new Uint8Array(image).buffer;
  const result = await signers.sign({ encoding, width, height, pixels });
  if (result.ok) {
    if (result.quality.reason === "OK") return { ok: true, value: result.signature };
    return stop("LOW_QUALITY", `${where} is ${result.quality.reason.toLowerCase().replaceAll("_", " ")}.`);
  }
  switch (result.code) {
    case "BAD_IMAGE":
      return stop("BAD_IMAGE", `${where} does not decode to its declared size and encoding.`);
    case "TOO_LARGE":
      return stop("TOO_LARGE", `${where} is too large.`);
    case "POOL_FULL":
    case "POOL_CLOSED":
      return stop("BUSY", "No signer is free.");
    case "SIGNER_FAILED":
      return stop("INTERNAL", `${where} could not be signed.`);
  }
}

/** Every two captures of one position must look like one hand. */
function checkAgreement({ site, similarityFor }: ApiDeps, signed: readonly Signed[]): Refused | undefined {
  const threshold = similarityFor(site().policy.enrolment.agreementFmr);
  for (const [index, a] of signed.entries()) {
    for (const b of signed.slice(index + 1)) {
      if (a.position === b.position && similarity(a.signature, b.signature) < threshold) {
        return refuse("CAPTURES_DISAGREE", "Two captures of one position are not of the same hand.");
      }
    }
  }
  return undefined;
}

/** What is enrolled in the gallery right now, copied: an enrolment wipes its own when it ends. */
function copiesOf(wanted: string, underWay: ReadonlySet<UnderWay>): Signature[] {
  return [...underWay]
    .filter(({ gallery }) => gallery === wanted)
    .flatMap(({ signed }) => signed.map(({ signature }) => templateCopyOf(signature)));
}

/** One capture at a time, so that lanes are served in between. Wipes the others. */
async function compareWith(others: readonly Signature[], signed: readonly Signed[]): Promise<Compared> {
  let closest = -1;
  try {
    for (const { signature } of signed) {
      for (const other of others) closest = Math.max(closest, similarity(signature, other));
      await setImmediate();
    }
  } finally {
    for (const other of others) wipe(other);
  }
  return { closest, comparisons: others.length * signed.length };
}

async function checkDuplicates(
  { search, similarityFor, site }: ApiDeps,
  { gallery, signed }: UnderWay,
  others: Compared,
): Promise<Refused | undefined> {
  const results = await Promise.all(
    signed.map(({ signature }) => search(gallery, signature, DUPLICATE_SEARCH_DEADLINE_MS)),
  );
  if (results.some(({ complete }) => !complete)) {
    return refuse("BUSY", "A partition did not answer, so that a duplicate could not be ruled out.");
  }
  const comparisons = results.reduce((sum, { templates }) => sum + templates, others.comparisons);
  // Bonferroni over all comparisons of this request: together they are wrong at the wanted rate.
  const threshold = similarityFor(site().policy.enrolment.duplicateFpir / Math.max(1, comparisons));
  const closest = Math.max(
    others.closest,
    ...results.flatMap(({ candidates }) => candidates.map((each) => each.similarity)),
  );
  return closest >= threshold
    ? refuse("DUPLICATE_MEMBER", "This palm is enrolled in the gallery already.")
    : undefined;
}

async function record(
  deps: ApiDeps,
  { gallery, consents, instrument, contact, consentTextSha256 }: EnrolOrder,
  partitions: number,
  signed: readonly Signed[],
): Promise<EnrolResult> {
  const memberId = new Uint8Array(randomBytes(MEMBER_ID_BYTES));
  const partition = partitionOf(memberId, partitions);
  const recorded = await enrolMember(deps.records, {
    gallery,
    partition,
    memberId,
    templates: signed.map(({ signature, position }) => ({
      signature: templateOf(signature),
      position,
      modelId: deps.modelId,
    })),
    consents,
    instrument,
    contact,
    consentTextSha256,
  });
  const memberHex = toHex(memberId);
  if (!recorded.ok) {
    const refused = refuse(recorded.code, recorded.detail);
    return { ok: false, refused, ...(recorded.code === "NOT_YET_DURABLE" ? { memberHex } : {}) };
  }
  const member = await deps.members.seen(memberHex, SEEN_DEADLINE_MS);
  if (member) return { ok: true, enrolled: { member, partition, templates: signed.length } };
  const refused = refuse(
    "NOT_YET_DURABLE",
    `Member ${memberHex} is in the log and not in this gateway's view.`,
  );
  return { ok: false, refused, memberHex };
}

/** The member's pseudonym at every site. */
export const pairwiseIds = (
  { site }: Pick<ApiDeps, "site">,
  member: { pairwiseId(site: string): string },
): Record<string, string> =>
  Object.fromEntries(site().sites.map(({ name }) => [name, member.pairwiseId(name)]));
