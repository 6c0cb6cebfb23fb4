// One payment over the API: how it stands, and its refund. The ledgers do what has to be done (ledger/refund-saga.ts).
//
// Invariants (test/desk/payments.test.ts): a payment is refunded once, however often and wherever it is asked for; only
// what was captured is refunded.
import { z } from "zod";
import type { EventLog, Saga, Sagas } from "../../records/index.js";
import { bus, decode, encode } from "../../wire/codec.js";
import type { DirectoryView } from "../../wire/directory.js";
import { API_ERRORS } from "../../wire/errors.js";
import { fromHex } from "../../wire/hex.js";
import { paymentSubject, STREAMS } from "../../wire/subjects.js";
import type { App } from "../fastify.js";
import { API } from "../openapi.js";
import { organisationOf, organisationQuery } from "../organisation.js";
import { refuse } from "../problem.js";
import { logged, refusalOf } from "../saga-answers.js";

const WAIT_MS = 10_000;
const STEPS = ["REQUESTED", "AUTHORISED", "DECLINED", "UNKNOWN", "CAPTURED", "VOIDED", "REFUNDED"] as const;

const paymentSchema = z
  .object({
    presentationId: z.string(),
    organisation: z.string(),
    site: z.string(),
    deviceId: z.string(),
    amountMinor: z.number(),
    currency: z.string(),
    orderRef: z.string(),
    step: z.enum(STEPS),
    atUnixMs: z.number().meta({ description: "Of this step" }),
    why: z.string().meta({ description: "CAPTURED, VOIDED: why; else empty" }),
  })
  .meta({ id: "Payment" });

const refundPendingSchema = z
  .object({
    code: z.literal("NOT_YET_DURABLE"),
    presentationId: z.string(),
    detail: z.string(),
    next: z.string(),
  })
  .meta({ id: "RefundUnderWay" });

const params = z.object({
  presentationId: z.string().regex(/^[0-9a-f]{32}$/, "must be 32 hexadecimal digits, in lower case"),
});

export interface PaymentRoutesOptions {
  eventLog: Pick<EventLog, "last">;
  sagas: Pick<Sagas, "begin" | "read" | "ended">;
  directory: DirectoryView;
}

export function paymentRoutes(app: App, { eventLog, sagas, directory }: PaymentRoutesOptions): void {
  const read = (organisation: string, id: string) => readPayment(eventLog, organisation, id);
  app.get(
    `${API}/payments/:presentationId`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "readPayment",
        summary: "How a payment stands",
        tags: ["payments"],
        querystring: organisationQuery,
        params,
        response: { 200: paymentSchema },
      },
    },
    async ({ params: { presentationId }, query }) =>
      read(organisationOf(directory, query.organisation), presentationId),
  );

  app.post(
    `${API}/payments/:presentationId/refund`,
    {
      config: { access: "operator" },
      schema: {
        operationId: "refundPayment",
        summary: "Give a captured payment back, whole; asked again, how it stands",
        tags: ["payments"],
        querystring: organisationQuery,
        params,
        response: { 200: paymentSchema, 202: refundPendingSchema },
      },
    },
    async ({ params: { presentationId }, query }, reply) => {
      const organisation = organisationOf(directory, query.organisation);
      const { amountMinor, step } = await read(organisation, presentationId);
      const found = await logged(() => sagas.read("refund", organisation, presentationId));
      if (!found && step !== "CAPTURED") throw refuse("NOT_REFUNDABLE", `The payment is ${step}.`);
      const saga = found ?? (await beginRefund(sagas, { organisation, presentationId, amountMinor }));
      const ended =
        (await logged(() => sagas.ended("refund", organisation, presentationId, WAIT_MS))) ?? saga;
      if (ended.step === "REFUSED") throw refundRefused(ended);
      if (ended.step === "DONE") return read(organisation, presentationId);
      reply.code(202);
      const code = "NOT_YET_DURABLE" as const;
      return { code, presentationId, detail: "The refund goes on by itself.", next: API_ERRORS[code].next };
    },
  );
}

async function readPayment(eventLog: Pick<EventLog, "last">, organisation: string, presentationId: string) {
  const last = await logged(() =>
    eventLog.last(STREAMS.payments, paymentSubject(organisation, presentationId)),
  );
  const event = last && decode(bus.PaymentEvent, last.body);
  const step = STEPS.find((name) => event && bus.PaymentStep[name] === event.step);
  if (!event || !step) throw refuse("NOT_FOUND", "The organisation has no such payment.");
  const { site, deviceId, amountMinor, currency, orderRef, atUnixMs, why } = event;
  return {
    presentationId,
    organisation,
    site,
    deviceId,
    amountMinor,
    currency,
    orderRef,
    step,
    atUnixMs,
    why,
  };
}

async function beginRefund(
  sagas: Pick<Sagas, "begin">,
  {
    organisation,
    presentationId: id,
    amountMinor,
  }: { organisation: string; presentationId: string; amountMinor: number },
): Promise<Saga> {
  const presentationId = fromHex(id);
  const intent = encode(bus.RefundIntent, { presentationId, amountMinor });
  // One payment, one refund: whoever asks, it is the same body.
  const begun = await sagas.begin({
    kind: "refund",
    organisation,
    id,
    by: "operator",
    bodySha256: presentationId,
    intent,
  });
  if (begun.ok) return begun.saga;
  if (begun.code === "OTHER_BODY")
    throw refuse("CONFLICT", "Something else stands in the log under this payment.");
  throw refuse(begun.code, "The event log did not take the refund.");
}

const refundRefused = (saga: Saga) =>
  saga.code === "CONFLICT"
    ? refuse("NOT_REFUNDABLE", saga.detail || "The payment was not captured.")
    : refusalOf(saga);
