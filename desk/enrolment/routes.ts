// POST /members: an operator enrols. POST /enrolments: a person enrols themselves; the pass is the authority, and says
// organisation, gallery, site and what may be consented to. GET /enrolments/:requestId: how an enrolment stands.
//
// Invariants (test/desk/enrolment.test.ts, passes.api.test.ts):
// - nobody enrols themselves without the text that is shown now: its hash must come back, and is recorded;
// - one hand or both, three plain captures of each; each capture says which hand it is of;
// - a use of the pass is gone when the person is in the record, and given back (within bounds) when they are not; asked
//   again under the same Idempotency-Key it is the same member and authority, and no further use;
// - the phone number is answered to nobody and logged nowhere; a card is a name of the list of test cards.
import { z } from "zod";
import type { DirectoryView } from "../../wire/directory.js";
import { API_ERRORS } from "../../wire/errors.js";
import { fromHex } from "../../wire/hex.js";
import type { Keyring } from "../../wire/keyring.js";
import { MAX_EDGE_MESSAGE_BYTES, MAX_TEMPLATES_PER_MEMBER } from "../../wire/limits.js";
import { protobufBody } from "../bodies.js";
import type { App } from "../fastify.js";
import { idempotencyHeaders, keyOf, macOfBody, requestId } from "../idempotency.js";
import type { Members } from "../members/members.js";
import { API } from "../openapi.js";
import { demandPlace, organisationOf, organisationQuery } from "../organisation.js";
import type { Authorities } from "../passes/authority.js";
import { consentText } from "../passes/consent-text.js";
import type { EnrolPass } from "../passes/pass.js";
import type { Passes } from "../passes/passes.js";
import { checkPhone } from "../passes/phone.js";
import { passRefused } from "../passes/routes.js";
import { testInstrument } from "../passes/test-cards.js";
import { Refusal, refuse } from "../problem.js";
import { addressKey } from "../throttle.js";
import type { Enroller, Enrolment, EnrolOrder, Request } from "./enroller.js";
import {
  type Capture,
  captureSchema,
  enrolBodyOf,
  enrolSchema,
  numbersOf,
  purposesSchema,
  selfEnrolBodyOf,
} from "./order.js";

export const CAPTURES_PER_HAND = 3;
const MAX_ENROL_BODY_BYTES = MAX_TEMPLATES_PER_MEMBER * MAX_EDGE_MESSAGE_BYTES;
/** Six crops of the usual size come to 100 KB, as base64 to 140. */
const MAX_SELF_ENROL_BODY_BYTES = 512 * 1024;

const requestIdSchema = z.string().regex(/^[0-9a-f]{32}$/, "must be a requestId");

const enrolledSchema = z
  .object({
    requestId: requestIdSchema,
    memberId: z.string(),
    organisation: z.string(),
    gallery: z.string(),
    templates: z.int(),
    pairwiseIds: z
      .record(z.string(), z.string())
      .meta({ description: "Site -> the member's pseudonym there" }),
  })
  .meta({ id: "Enrolled" });

/** 202: it goes on by itself. */
const underWaySchema = z
  .object({
    requestId: requestIdSchema,
    code: z.literal("NOT_YET_DURABLE"),
    memberId: z
      .string()
      .nullable()
      .meta({ description: "Not null: it will be this member, whatever happens" }),
    detail: z.string(),
    next: z.string(),
  })
  .meta({ id: "EnrolmentUnderWay" });

const selfUnderWaySchema = underWaySchema
  .extend({ site: z.string(), authority: z.string().nullable() })
  .meta({ id: "SelfEnrolmentUnderWay" });

const selfEnrolledSchema = z
  .object({
    requestId: requestIdSchema,
    memberId: z.string(),
    site: z.string(),
    pairwiseId: z.string(),
    templates: z.int(),
    authority: z
      .string()
      .meta({ description: "With it the member is forgotten when they ask for it; keep it" }),
  })
  .meta({ id: "SelfEnrolled" });

const selfEnrolSchema = z.object({
  pass: z.string().meta({ description: "The code of an ENROL pass" }),
  captures: z.array(captureSchema).max(2 * CAPTURES_PER_HAND),
  consents: purposesSchema.min(1),
  consentTextSha256: z
    .string()
    .meta({ description: "Hex; of the text that was shown, as the pass's terms told it" }),
  phone: z.string().meta({ description: "E.164" }),
  testCard: z.string().optional().meta({ description: "A name of the terms' list; needed for PAY" }),
});

type SelfEnrolOrder = z.output<typeof selfEnrolSchema>;

export interface EnrolmentRoutesOptions {
  enroller: Enroller;
  members: Members;
  passes: Passes;
  authorities: Authorities;
  directory: DirectoryView;
  keyring: Keyring;
}

export function enrolmentRoutes(app: App, options: EnrolmentRoutesOptions): void {
  operatorRoutes(app, options);
  selfRoute(app, options);
}

function operatorRoutes(app: App, { enroller, members, directory, keyring }: EnrolmentRoutesOptions): void {
  app.post(
    `${API}/members`,
    {
      config: { access: "operator", random: ["captures"] },
      bodyLimit: MAX_ENROL_BODY_BYTES,
      preValidation: protobufBody(enrolBodyOf),
      schema: {
        operationId: "enrolMember",
        summary: "Enrol a member",
        tags: ["members"],
        consumes: ["application/json", "application/x-protobuf"],
        querystring: organisationQuery,
        headers: idempotencyHeaders,
        body: enrolSchema,
        response: { 201: enrolledSchema, 202: underWaySchema },
      },
    },
    async (request, reply) => {
      const { body, query, headers } = request;
      const organisation = organisationOf(directory, query.organisation);
      const key = keyOf(headers, reply);
      const mac = macOfBody(keyring, organisation, "enrol", request);
      try {
        const profile = {
          consents: numbersOf(body.consents),
          ...(body.instrument ? { instrument: body.instrument } : {}),
        };
        const order: EnrolOrder = {
          organisation,
          gallery: body.gallery,
          captures: body.captures,
          profile,
          by: "operator",
        };
        const enrolment = await enroller.enrol({ organisation, key, mac }, order);
        if (enrolment.state === "UNDER_WAY") {
          reply.code(202).header("location", enrolmentPath(organisation, enrolment.requestId));
          return underWay(enrolment);
        }
        reply
          .code(201)
          .header("location", `${API}/members/${enrolment.memberId}?organisation=${organisation}`);
        return await enrolled(members, organisation, enrolment);
      } finally {
        for (const { image } of body.captures) image.fill(0);
      }
    },
  );

  app.get(
    `${API}/enrolments/:requestId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readEnrolment",
        summary: "How an enrolment stands",
        tags: ["members"],
        querystring: organisationQuery,
        params: z.object({ requestId: requestIdSchema }),
        response: { 200: enrolledSchema, 202: underWaySchema },
      },
    },
    async ({ params, query }, reply) => {
      const organisation = organisationOf(directory, query.organisation);
      const enrolment = await enroller.find(organisation, params.requestId);
      if (!enrolment) throw refuse("NOT_FOUND", "There is no such enrolment.");
      if (enrolment.state === "DONE") return enrolled(members, organisation, enrolment);
      reply.code(202);
      return underWay(enrolment);
    },
  );
}

const enrolmentPath = (organisation: string, id: string): string =>
  `${API}/enrolments/${id}?organisation=${organisation}`;

async function enrolled(
  members: Members,
  organisation: string,
  { requestId: id, memberId, gallery, templates }: Extract<Enrolment, { state: "DONE" }>,
) {
  const pairwiseIds = await members.pairwiseIds(organisation, gallery, memberId);
  return { requestId: id, memberId, organisation, gallery, templates, pairwiseIds };
}

function underWay({ requestId: id, memberId }: Extract<Enrolment, { state: "UNDER_WAY" }>) {
  const code = "NOT_YET_DURABLE" as const;
  const detail = "The enrolment is in the log and goes on by itself.";
  return { requestId: id, memberId: memberId ?? null, code, detail, next: API_ERRORS[code].next };
}

function selfRoute(app: App, options: EnrolmentRoutesOptions): void {
  app.post(
    `${API}/enrolments`,
    {
      config: { access: "anybody", random: ["captures", "pass", "consentTextSha256", "phone"] },
      bodyLimit: MAX_SELF_ENROL_BODY_BYTES,
      preValidation: protobufBody(selfEnrolBodyOf),
      schema: {
        operationId: "enrolMyself",
        summary: "A person enrols themselves with a pass",
        tags: ["members"],
        consumes: ["application/json", "application/x-protobuf"],
        headers: idempotencyHeaders,
        body: selfEnrolSchema,
        response: { 201: selfEnrolledSchema, 202: selfUnderWaySchema },
      },
    },
    async (request, reply) => {
      const { body, headers, ip } = request;
      const key = keyOf(headers, reply);
      try {
        const person = personOf(body);
        const macOf = (organisation: string) =>
          macOfBody(options.keyring, organisation, "self-enrol", request);
        const { enrolment, pass } = await enrolWithPass(options, {
          body,
          person,
          key,
          macOf,
          address: addressKey(ip),
        });
        reply.code(enrolment.state === "DONE" ? 201 : 202);
        return await selfAnswer(options, enrolment, pass);
      } finally {
        for (const { image } of body.captures) image.fill(0);
      }
    },
  );
}

type Person = Pick<EnrolOrder, "captures" | "profile">;

interface SelfEnrolment {
  body: SelfEnrolOrder;
  person: Person;
  key: string;
  macOf(organisation: string): Uint8Array;
  address: string;
}

async function enrolWithPass(
  { passes, enroller, directory }: EnrolmentRoutesOptions,
  { body, person, key, macOf, address }: SelfEnrolment,
): Promise<{ enrolment: Enrolment; pass: EnrolPass }> {
  // Whose it is, is known only from the pass: also when this very request has used it up.
  const known = await passes.known(body.pass, address);
  if (!known.ok) throw passRefused(known.code);
  const { organisation } = known.pass;
  const request: Request = { organisation, key, mac: macOf(organisation) };
  if (known.pass.kind === "ENROL" && (await enroller.isStanding(request))) {
    return {
      enrolment: await ended(passes, enroller, { body, person, request, pass: known.pass }),
      pass: known.pass,
    };
  }
  const by = { address, request: requestId(organisation, key) };
  const looked = await passes.lookFor(body.pass, "ENROL", by);
  if (!looked.ok) throw passRefused(looked.code);
  demandPlace(directory, looked.pass);
  if (!body.consents.every((each) => looked.pass.consents.includes(each))) {
    throw refuse("BAD_REQUEST", "consents holds more than the pass allows.");
  }
  const redeemed = await passes.redeem(body.pass, "ENROL", by);
  if (!redeemed.ok) throw passRefused(redeemed.code);
  return {
    enrolment: await ended(passes, enroller, { body, person, request, pass: redeemed.pass }),
    pass: redeemed.pass,
  };
}

/** Gives the use back when the person was refused. */
async function ended(
  passes: Passes,
  enroller: Enroller,
  {
    body,
    person,
    request,
    pass,
  }: { body: SelfEnrolOrder; person: Person; request: Request; pass: EnrolPass },
): Promise<Enrolment> {
  const { organisation, gallery } = pass;
  try {
    return await enroller.enrol(request, { ...person, organisation, gallery, by: "member" });
  } catch (error) {
    const isRefused =
      error instanceof Refusal && error.code !== "LOG_UNAVAILABLE" && error.code !== "KEY_REUSED";
    if (isRefused) await passes.giveBack(body.pass, requestId(organisation, request.key));
    throw error;
  }
}

async function selfAnswer(
  { members, authorities }: EnrolmentRoutesOptions,
  enrolment: Enrolment,
  { organisation, gallery, site }: EnrolPass,
) {
  if (enrolment.state === "UNDER_WAY") {
    const { memberId } = enrolment;
    // Whoever will be a member must be able to end it.
    const authority = memberId === undefined ? null : authorities.of(organisation, memberId);
    return { ...underWay(enrolment), site, authority };
  }
  const { requestId: id, memberId, templates } = enrolment;
  const pairwiseIds = await members.pairwiseIds(organisation, gallery, memberId);
  const authority = authorities.of(organisation, memberId);
  return { requestId: id, memberId, site, pairwiseId: pairwiseIds[site] ?? "", templates, authority };
}

/** All but what the pass says. @throws Refusal */
function personOf({ captures, consents, consentTextSha256, phone, testCard }: SelfEnrolOrder): Person {
  if (consentTextSha256 !== consentText.sha256Hex) {
    throw refuse("CONSENT_TEXT_CHANGED", "This is not the text that holds now.");
  }
  const checked = checkPhone(phone);
  if (!checked.ok) {
    const words = {
      PHONE_INVALID: "phone is no E.164 number.",
      CARD_NUMBER_REFUSED: "phone looks like a card number.",
    };
    throw refuse(checked.code, words[checked.code]);
  }
  const instrument = testCard === undefined ? undefined : testInstrument(testCard);
  if (testCard !== undefined && !instrument) throw refuse("BAD_REQUEST", "testCard is none of the list.");
  if (consents.includes("PAY") && !instrument)
    throw refuse("BAD_REQUEST", "Consent to PAY needs a test card.");
  checkHands(captures);
  const profile = {
    consents: numbersOf(consents),
    contact: { phone: checked.phone },
    consentTextSha256: fromHex(consentTextSha256),
    ...(instrument ? { instrument } : {}),
  };
  return { captures, profile };
}

/** One hand or both, each whole. @throws Refusal */
function checkHands(captures: readonly Capture[]): void {
  const perHand = (["RIGHT", "LEFT"] as const).map(
    (position) => captures.filter((each) => each.position === position).length,
  );
  const inHands = perHand.reduce((sum, count) => sum + count, 0);
  const isWhole = inHands > 0 && perHand.every((count) => count === 0 || count === CAPTURES_PER_HAND);
  if (!isWhole || inHands !== captures.length) {
    throw refuse(
      "BAD_REQUEST",
      `captures must be ${CAPTURES_PER_HAND} of the right hand (position 1), of the left (2), or of each.`,
    );
  }
  if (captures.some(({ encoding }) => encoding !== "GRAY8")) {
    throw refuse("BAD_REQUEST", "captures must be GRAY8: nothing of theirs is unpacked.");
  }
}
