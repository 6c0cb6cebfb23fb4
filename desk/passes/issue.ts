// POST /api/passes (operators): gives out a pass. POST /api/passes/terms (whoever has one): what it is good for.
//
// Invariants: the code is told once, in the answer to the operator; asking for terms takes no use.
import { z } from "zod";
import { NAME_PATTERN } from "../../wire/limits.js";
import { type Answer, done, refuse } from "../api/answer.js";
import type { ApiDeps } from "../api/api.js";
import { parseBody } from "./body.js";
import { shownPassCode } from "./code.js";
import { consentText } from "./consent-text.js";
import type { EnrolPass, LanePass, Pass } from "./pass.js";
import { MAX_VALID_MS } from "./passes.js";
import { passRefused, refusePlace } from "./refusals.js";
import { TEST_CARDS } from "./test-cards.js";

const MINUTE_MS = 60_000;
const DEFAULT_VALID_MINUTES = 15;
const MAX_VALID_MINUTES = MAX_VALID_MS / MINUTE_MS;
const MAX_USES = 1000;
/** Attempts that may be refused without costing a use: blurred captures, a hand that slipped. */
const RETURNS_PER_USE = 10;
const PAGES = { LANE: "/lane", ENROL: "/enroll" } as const;

const name = z.string().regex(NAME_PATTERN, "must be 1 to 32 of a-z, 0-9 and -");
const purpose = z.enum(["ENTRY", "PAY"]);
const common = {
  site: name,
  gallery: name,
  validMinutes: z.int().min(1).max(MAX_VALID_MINUTES).default(DEFAULT_VALID_MINUTES),
  uses: z.int().min(1).max(MAX_USES).default(1),
};
const passOrder = z.discriminatedUnion("kind", [
  z.object({ ...common, kind: z.literal("LANE"), purpose }),
  z.object({
    ...common,
    kind: z.literal("ENROL"),
    consents: z
      .array(purpose)
      .min(1)
      .refine((given) => new Set(given).size === given.length, "must name each purpose once"),
  }),
]);
type PassOrder = z.output<typeof passOrder>;

const termsQuestion = z.object({ pass: z.string(), kind: z.enum(["LANE", "ENROL"]) });

export async function issuePass(deps: ApiDeps, body: Buffer): Promise<Answer> {
  const order = parseBody(passOrder, body);
  if (!order.ok) return order.refused;
  const unknown = refusePlace(deps.site(), order.value);
  if (unknown) return unknown;
  const issued = await deps.passes.issue(passOf(order.value, Date.now()));
  if (!issued.ok) {
    return issued.code === "LIMIT_REACHED"
      ? refuse("LIMIT_REACHED", "Too many passes were given out.")
      : passRefused(issued.code);
  }
  const { kind, expiresAtUnixMs, usesLeft } = issued.pass;
  const code = shownPassCode(issued.code);
  return done({ code, url: passUrl(kind, code, deps.publicUrl), kind, expiresAtUnixMs, uses: usesLeft }, 201);
}

/** In the fragment the code reaches no server and no log. Relative where the gateway does not know its own address. */
function passUrl(kind: Pass["kind"], code: string, publicUrl: string | undefined): string {
  const path = `${PAGES[kind]}#pass=${code}`;
  return publicUrl === undefined ? path : new URL(path, publicUrl).href;
}

function passOf(order: PassOrder, nowUnixMs: number): Pass {
  const { site, gallery, validMinutes, uses } = order;
  const place = {
    site,
    gallery,
    expiresAtUnixMs: nowUnixMs + validMinutes * MINUTE_MS,
    usesLeft: uses,
    returnsLeft: uses * RETURNS_PER_USE,
  };
  return order.kind === "LANE"
    ? { ...place, kind: "LANE", purpose: order.purpose }
    : { ...place, kind: "ENROL", consents: order.consents };
}

export async function tellTerms({ passes }: ApiDeps, body: Buffer): Promise<Answer> {
  const question = parseBody(termsQuestion, body);
  if (!question.ok) return question.refused;
  const looked = await passes.look(question.value.pass, question.value.kind);
  if (!looked.ok) return passRefused(looked.code);
  return done(looked.pass.kind === "LANE" ? laneTerms(looked.pass) : enrolTerms(looked.pass));
}

const laneTerms = ({ kind, site, gallery, purpose, expiresAtUnixMs }: LanePass) => ({
  kind,
  site,
  gallery,
  purpose,
  expiresAtUnixMs,
});

const enrolTerms = ({ kind, site, consents, expiresAtUnixMs }: EnrolPass) => ({
  kind,
  site,
  consents,
  expiresAtUnixMs,
  consentText: consentText.content,
  consentTextSha256: consentText.sha256Hex,
  testCards: Object.entries(TEST_CARDS).map(([card, { brand, last4, what }]) => ({
    name: card,
    brand,
    last4,
    what,
  })),
});
