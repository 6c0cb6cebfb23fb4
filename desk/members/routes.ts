// One member over the API: read it and its history, change its consents or its instrument, erase it; and how an erasure
// stands. What it does is in members.ts and eraser.ts.
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { receiptSchema } from "../../records/index.js";
import type { DirectoryView } from "../../wire/directory.js";
import { API_ERRORS } from "../../wire/errors.js";
import { askHistory } from "../../wire/history.js";
import { instrumentSchema, numbersOf, POSITIONS, PURPOSES, purposesSchema } from "../enrolment/order.js";
import type { App } from "../fastify.js";
import { API } from "../openapi.js";
import { organisationOf, organisationQuery } from "../organisation.js";
import { limitField } from "../paging.js";
import type { Authorities } from "../passes/authority.js";
import { refuse } from "../problem.js";
import type { Eraser, Erasure } from "./eraser.js";
import { useSchema, usesOf } from "./history.js";
import type { Members } from "./members.js";

const MAX_CURSOR_CHARS = 128;

const memberParams = z.object({
  memberId: z.string().regex(/^[0-9a-f]{32}$/, "must be 32 hexadecimal digits, in lower case"),
});
/** An id that is none is nobody's. */
const looseParams = z.object({ memberId: z.string() });
const purpose = z.enum(PURPOSES);

const memberSchema = z
  .object({
    memberId: z.string(),
    organisation: z.string(),
    gallery: z.string(),
    enrolledAtUnixMs: z.number(),
    revision: z.number().meta({ description: "Grows with every change" }),
    templates: z.array(z.object({ modelId: z.string(), position: z.enum(POSITIONS) })),
    consents: z.array(purpose),
    instrument: z.object({ brand: z.string(), last4: z.string() }).nullable(),
    phoneEnding: z.string().nullable(),
    pairwiseIds: z.record(z.string(), z.string()),
  })
  .meta({ id: "Member" });

const pendingSchema = z
  .object({
    code: z.literal("ERASURE_PENDING"),
    memberId: z.string(),
    receipt: z.string().meta({ description: "Where the receipt will be" }),
    detail: z.string(),
    next: z.string(),
  })
  .meta({ id: "ErasurePending" });

const historySchema = z
  .object({
    uses: z.array(useSchema).meta({ description: "Latest first" }),
    before: z
      .string()
      .optional()
      .meta({ description: "Where the next page begins; not there on the last one" }),
  })
  .meta({ id: "History" });

export interface MemberRoutesOptions {
  nats: NatsConnection;
  members: Members;
  eraser: Eraser;
  authorities: Authorities;
  directory: DirectoryView;
}

export function memberRoutes(app: App, options: MemberRoutesOptions): void {
  readRoutes(app, options);
  changeRoutes(app, options);
  erasureRoutes(app, options);
}

function readRoutes(app: App, { nats, members, directory }: MemberRoutesOptions): void {
  app.get(
    `${API}/members/:memberId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readMember",
        summary: "Read a member",
        tags: ["members"],
        querystring: organisationQuery,
        params: looseParams,
        response: { 200: memberSchema },
      },
    },
    async ({ params, query }) => {
      const memberId = idIn(params.memberId);
      const organisation = organisationOf(directory, query.organisation);
      return members.told(organisation, memberId, await members.get(organisation, memberId));
    },
  );

  app.get(
    `${API}/members/:memberId/history`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readMemberHistory",
        summary: "A member's uses: decisions, passages, payments",
        tags: ["members"],
        querystring: organisationQuery.extend({
          limit: limitField,
          before: z
            .string()
            .max(MAX_CURSOR_CHARS)
            .optional()
            .meta({ description: "`before` of the page before" }),
        }),
        params: looseParams,
        response: { 200: historySchema },
      },
    },
    async ({ params, query: { organisation: named, limit, before } }) => {
      const memberId = idIn(params.memberId);
      const organisation = organisationOf(directory, named);
      const { facts } = await members.get(organisation, memberId);
      const answer = await askHistory(nats, { organisation, booksRef: facts.booksRef, limit, before });
      if (answer.ok) {
        return {
          uses: usesOf(answer.entries),
          ...(answer.before === undefined ? {} : { before: answer.before }),
        };
      }
      if (answer.code === "INVALID")
        throw refuse("BAD_REQUEST", "before must be the cursor of an earlier page.");
      throw refuse("HISTORY_UNAVAILABLE", "No ledger could tell the whole history in time.");
    },
  );
}

function changeRoutes(app: App, { members, directory }: MemberRoutesOptions): void {
  app.put(
    `${API}/members/:memberId/consents`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "changeConsents",
        summary: "Set what a member consents to from now on",
        tags: ["members"],
        querystring: organisationQuery,
        params: memberParams,
        body: z.object({
          consents: purposesSchema.meta({ description: "All that hold; none withdraws every consent" }),
        }),
        response: { 200: memberSchema },
      },
    },
    async ({ params: { memberId }, query, body }) => {
      const organisation = organisationOf(directory, query.organisation);
      const consents = numbersOf(body.consents);
      return members.told(
        organisation,
        memberId,
        await members.change(organisation, memberId, (profile) => ({ ...profile, consents })),
      );
    },
  );

  app.put(
    `${API}/members/:memberId/instrument`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "changeInstrument",
        summary: "Set a member's payment instrument",
        tags: ["members"],
        querystring: organisationQuery,
        params: memberParams,
        body: instrumentSchema,
        response: { 200: memberSchema },
      },
    },
    async ({ params: { memberId }, query, body: instrument }) => {
      const organisation = organisationOf(directory, query.organisation);
      return members.told(
        organisation,
        memberId,
        await members.change(organisation, memberId, (profile) => ({ ...profile, instrument })),
      );
    },
  );
}

function erasureRoutes(app: App, { eraser, authorities, directory }: MemberRoutesOptions): void {
  const response = { 200: receiptSchema, 202: pendingSchema };
  app.delete(
    `${API}/members/:memberId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "eraseMember",
        summary: "Erase a member for good",
        tags: ["members", "erasures"],
        querystring: organisationQuery,
        params: looseParams,
        response,
      },
    },
    async ({ params, query }, reply) => {
      const memberId = idIn(params.memberId);
      const organisation = organisationOf(directory, query.organisation);
      const answer = erasureAnswer(
        organisation,
        memberId,
        await eraser.erase(organisation, memberId, "operator"),
      );
      if (answer.status === 202) reply.code(202).header("location", answer.body.receipt);
      return answer.body;
    },
  );

  app.get(
    `${API}/erasures/:memberId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readErasure",
        summary: "How an erasure stands: its receipt, once every holder has confirmed",
        tags: ["erasures"],
        querystring: organisationQuery,
        params: looseParams,
        response,
      },
    },
    async ({ params, query }, reply) => {
      const memberId = idIn(params.memberId);
      const organisation = organisationOf(directory, query.organisation);
      const answer = erasureAnswer(organisation, memberId, await eraser.find(organisation, memberId));
      reply.code(answer.status);
      return answer.body;
    },
  );

  app.post(
    `${API}/erasures`,
    {
      config: { access: "anybody", random: ["memberId", "authority"] },
      schema: {
        operationId: "forgetMe",
        summary: "A member asks to be forgotten; asked again, how it stands",
        tags: ["erasures"],
        body: z.object({
          memberId: z.string(),
          authority: z.string().max(256).meta({ description: "As the enrolment gave it" }),
        }),
        response,
      },
    },
    async ({ body: { memberId, authority } }, reply) => {
      const organisation = authorities.organisationOf(memberId, authority);
      if (organisation === undefined) {
        throw refuse("AUTHORITY_WRONG", "This is not the authority that the enrolment gave for this member.");
      }
      const answer = erasureAnswer(
        organisation,
        memberId,
        await eraser.erase(organisation, memberId, "member"),
      );
      reply.code(answer.status);
      return answer.body;
    },
  );
}

function idIn(text: string): string {
  if (!memberParams.shape.memberId.safeParse(text).success) {
    throw refuse("NOT_FOUND", "A member id is 32 hexadecimal digits, in lower case.");
  }
  return text;
}

function erasureAnswer(organisation: string, memberId: string, erasure: Erasure) {
  if (erasure.state === "DONE") return { status: 200 as const, body: receiptSchema.parse(erasure.receipt) };
  const code = "ERASURE_PENDING" as const;
  const body = {
    code,
    memberId,
    receipt: `${API}/erasures/${memberId}?organisation=${organisation}`,
    detail: erasure.detail || "Not every holder has confirmed yet.",
    next: API_ERRORS[code].next,
  };
  return { status: 202 as const, body };
}
