// POST /passes gives out a pass; GET lists them; DELETE revokes one; POST /passes/terms tells whoever has one what it is
// good for.
//
// Invariants (test/desk/passes.api.test.ts): the code is told to the operator who ordered it, and to nobody else; asking
// for terms takes no use.
import { createHash } from "node:crypto";
import { z } from "zod";
import type { DirectoryView } from "../../wire/directory.js";
import { nameSchema } from "../../wire/directory-values.js";
import { PURPOSES, purposesSchema } from "../enrolment/order.js";
import type { App } from "../fastify.js";
import { idempotencyHeaders, keyOf } from "../idempotency.js";
import { API } from "../openapi.js";
import { demandPlace, organisationOf, organisationQuery } from "../organisation.js";
import { nextCursorField, pageOf, pageQuery } from "../paging.js";
import { type Refusal, refuse } from "../problem.js";
import { addressKey } from "../throttle.js";
import { shownPassCode } from "./code.js";
import { consentText, consentTextSchema } from "./consent-text.js";
import type { EnrolPass, LanePass, Pass } from "./pass.js";
import { MAX_VALID_MS, type Passes, type PassRefusal } from "./passes.js";
import { TEST_CARDS } from "./test-cards.js";

const MINUTE_MS = 60_000;
const DEFAULT_VALID_MINUTES = 15;
const MAX_VALID_MINUTES = MAX_VALID_MS / MINUTE_MS;
const MAX_USES = 1000;
/** Attempts that may be refused without costing a use: blurred captures, a hand that slipped. */
const RETURNS_PER_USE = 10;
const PAGES = { LANE: "/lane", ENROL: "/enrol" } as const;

const kind = z.enum(["LANE", "ENROL"]);
const purpose = z.enum(PURPOSES);
const place = { site: nameSchema, gallery: nameSchema };
const common = {
  ...place,
  validMinutes: z.int().min(1).max(MAX_VALID_MINUTES).default(DEFAULT_VALID_MINUTES),
  uses: z.int().min(1).max(MAX_USES).default(1),
};
const orderSchema = z.discriminatedUnion("kind", [
  z.object({ ...common, kind: z.literal("LANE"), purpose }),
  z.object({ ...common, kind: z.literal("ENROL"), consents: purposesSchema.min(1) }),
]);
type Order = z.output<typeof orderSchema>;

const issuedSchema = z.object({
  passId: z.string(),
  code: z
    .string()
    .meta({ description: "As people read it; told here and never again, unless ordered with the same key" }),
  url: z.string().meta({ description: "Without a host where the desk does not know its own" }),
  kind,
  expiresAtUnixMs: z.int(),
  uses: z.int(),
});

const listedSchema = z.object({
  passId: z.string(),
  kind,
  ...place,
  purpose: purpose.optional(),
  consents: z.array(purpose).optional(),
  expiresAtUnixMs: z.int(),
  usesLeft: z.int(),
});

const laneTermsSchema = z.object({
  kind: z.literal("LANE"),
  organisation: z.string(),
  ...place,
  purpose,
  expiresAtUnixMs: z.int(),
});
const enrolTermsSchema = z.object({
  kind: z.literal("ENROL"),
  organisation: z.string(),
  site: nameSchema,
  consents: z.array(purpose),
  expiresAtUnixMs: z.int(),
  consentText: consentTextSchema,
  consentTextSha256: z.string(),
  testCards: z.array(z.object({ name: z.string(), brand: z.string(), last4: z.string(), what: z.string() })),
});

const WHY: Record<PassRefusal, string> = {
  PASS_UNKNOWN: "There is no such pass.",
  PASS_EXPIRED: "The pass has expired.",
  PASS_USED: "The pass has been used up.",
  PASS_WRONG_KIND: "The pass is for something else.",
  TOO_MANY_TRIES: "Too many wrong codes were tried from this address.",
  BUSY: "Too many use this pass at once.",
  LOG_UNAVAILABLE: "The store of passes did not answer.",
};

export const passRefused = (code: PassRefusal): Refusal => refuse(code, WHY[code]);

export interface PassRoutesOptions {
  passes: Passes;
  directory: DirectoryView;
  publicUrl: string | undefined;
}

export function passRoutes(app: App, { passes, directory, publicUrl }: PassRoutesOptions): void {
  app.post(
    `${API}/passes`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "issuePass",
        summary: "Give out a pass",
        tags: ["passes"],
        querystring: organisationQuery,
        headers: idempotencyHeaders,
        body: orderSchema,
        response: { 201: issuedSchema },
      },
    },
    async ({ body, query, headers }, reply) => {
      const organisation = organisationOf(directory, query.organisation);
      demandPlace(directory, { organisation, ...body });
      const issued = await passes.issue(passOf(organisation, body, Date.now()), keyOf(headers, reply));
      if (!issued.ok) throw issueRefused(issued.code);
      const { expiresAtUnixMs } = issued.pass;
      const code = shownPassCode(issued.code);
      const url = passUrl(body.kind, code, publicUrl);
      reply.code(201);
      return { passId: issued.id, code, url, kind: body.kind, expiresAtUnixMs, uses: body.uses };
    },
  );

  app.get(
    `${API}/passes`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "listPasses",
        summary: "Passes that are not forgotten yet",
        tags: ["passes"],
        querystring: organisationQuery.extend(pageQuery.shape),
        response: { 200: z.object({ passes: z.array(listedSchema), nextCursor: nextCursorField }) },
      },
    },
    async ({ query }) => {
      const organisation = organisationOf(directory, query.organisation);
      const listed = await passes.list(organisation);
      if (!listed.ok) throw passRefused(listed.code);
      const { entries, nextCursor } = pageOf(listed.value, ({ id }) => id, query);
      return { passes: entries.map(({ id, pass }) => toldPass(id, pass)), nextCursor };
    },
  );

  app.delete(
    `${API}/passes/:passId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "revokePass",
        summary: "Revoke a pass",
        tags: ["passes"],
        querystring: organisationQuery,
        params: z.object({ passId: z.string().regex(/^[0-9a-f]{64}$/, "must be the passId of a pass") }),
        response: { 200: z.object({ passId: z.string(), revoked: z.literal(true) }) },
      },
    },
    async ({ params: { passId }, query }) => {
      const revoked = await passes.revoke(organisationOf(directory, query.organisation), passId);
      if (revoked === "NOT_FOUND") throw passRefused("PASS_UNKNOWN");
      if (revoked === "LOG_UNAVAILABLE") throw passRefused(revoked);
      return { passId, revoked: true as const };
    },
  );

  app.post(
    `${API}/passes/terms`,
    {
      config: { access: "anybody", random: ["pass"] },
      schema: {
        operationId: "readPassTerms",
        summary: "What a pass is good for",
        tags: ["passes"],
        body: z.object({ pass: z.string().meta({ description: "The code" }), kind }),
        response: { 200: z.union([laneTermsSchema, enrolTermsSchema]) },
      },
    },
    async ({ body, ip }) => {
      const looked = await passes.look(body.pass, body.kind, addressKey(ip));
      if (!looked.ok) throw passRefused(looked.code);
      return looked.pass.kind === "LANE" ? laneTerms(looked.pass) : enrolTerms(looked.pass);
    },
  );
}

const issueRefused = (code: "LIMIT_REACHED" | "KEY_REUSED" | "LOG_UNAVAILABLE"): Refusal => {
  const words = {
    LIMIT_REACHED: "Too many passes were given out.",
    KEY_REUSED: "This Idempotency-Key came with another order before.",
    LOG_UNAVAILABLE: WHY.LOG_UNAVAILABLE,
  };
  return refuse(code, words[code]);
};

/** In the fragment the code reaches no server and no log. Relative where the desk does not know its own address. */
function passUrl(passKind: Pass["kind"], code: string, publicUrl: string | undefined): string {
  const path = `${PAGES[passKind]}#pass=${code}`;
  return publicUrl === undefined ? path : new URL(path, publicUrl).href;
}

function passOf(organisation: string, order: Order, nowUnixMs: number): Pass {
  const { site, gallery, validMinutes, uses } = order;
  const basis = {
    organisation,
    site,
    gallery,
    expiresAtUnixMs: nowUnixMs + validMinutes * MINUTE_MS,
    usesLeft: uses,
    returnsLeft: uses * RETURNS_PER_USE,
    takenFor: [],
    orderSha256: createHash("sha256").update(JSON.stringify(order)).digest("hex"),
  };
  return order.kind === "LANE"
    ? { ...basis, kind: "LANE", purpose: order.purpose }
    : { ...basis, kind: "ENROL", consents: order.consents };
}

function toldPass(passId: string, pass: Pass): z.output<typeof listedSchema> {
  const { site, gallery, expiresAtUnixMs, usesLeft } = pass;
  const basis = { passId, kind: pass.kind, site, gallery, expiresAtUnixMs, usesLeft };
  return pass.kind === "LANE"
    ? { ...basis, purpose: pass.purpose }
    : { ...basis, consents: [...pass.consents] };
}

const laneTerms = ({ organisation, site, gallery, purpose: decidesAbout, expiresAtUnixMs }: LanePass) => ({
  kind: "LANE" as const,
  organisation,
  site,
  gallery,
  purpose: decidesAbout,
  expiresAtUnixMs,
});

const enrolTerms = ({ organisation, site, consents, expiresAtUnixMs }: EnrolPass) => ({
  kind: "ENROL" as const,
  organisation,
  site,
  consents: [...consents],
  expiresAtUnixMs,
  consentText: consentText.content,
  consentTextSha256: consentText.sha256Hex,
  testCards: Object.entries(TEST_CARDS).map(([name, { brand, last4, what }]) => ({
    name,
    brand,
    last4,
    what,
  })),
});
