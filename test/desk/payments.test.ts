// Payments over the API: how one stands, and its refund, at two desks and with a real ledger.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPaymentLog, processorKey, readSandbox, sandboxProcessor } from "../../records/index.js";
import { bus } from "../../wire/codec.js";
import { fromHex } from "../../wire/hex.js";
import { type DeskRig, ORGANISATION, openDeskRig, refusal } from "./support.js";

let rig: DeskRig;
beforeAll(async () => {
  rig = await openDeskRig({ desks: 2, whole: true });
});
afterAll(() => rig?.close());

const keyOf = (id: string) => processorKey({ organisation: ORGANISATION, presentationHex: id });
const path = (id: string, rest = "") => `/api/v1/payments/${id}${rest}`;

/** A payment that was taken, as gateway and ledger leave it behind. */
async function captured(step = bus.PaymentStep.CAPTURED): Promise<string> {
  const id = randomBytes(16).toString("hex");
  const processor = sandboxProcessor(rig.nats);
  const signal = AbortSignal.timeout(5000);
  const charge = { amountMinor: 990, currency: "EUR" };
  const answer = await processor.authorise(
    { key: keyOf(id), token: "tok_approve", orderRef: "order-1", ...charge },
    signal,
  );
  if (step === bus.PaymentStep.CAPTURED) await processor.capture(keyOf(id), signal);
  const event = bus.PaymentEvent.create({
    ...charge,
    presentationId: fromHex(id),
    organisation: ORGANISATION,
    site: "south",
    deviceId: "till-1",
    orderRef: "order-1",
    step,
    processor: "sandbox",
    processorRef: answer.ok ? answer.ref : "",
    atUnixMs: Date.now(),
    why: step === bus.PaymentStep.CAPTURED ? "passage" : "",
  });
  const appended = await openPaymentLog(rig.eventLog).append(
    { organisation: ORGANISATION, presentationHex: id },
    event,
    0,
  );
  if (!appended.ok) throw new Error(appended.code);
  return id;
}

describe("a payment over the API", () => {
  it("is told as it stands", async () => {
    const id = await captured();
    expect(await rig.anywhere("GET", path(id))).toMatchObject({
      status: 200,
      body: {
        presentationId: id,
        site: "south",
        amountMinor: 990,
        currency: "EUR",
        step: "CAPTURED",
        why: "passage",
      },
    });
  });

  it("is refunded once, at whichever desk and however often it is asked for", async () => {
    const id = await captured();
    const answers = await Promise.all(rig.desks.map((desk) => desk.call("POST", path(id, "/refund"))));
    for (const each of [...answers, await rig.anywhere("POST", path(id, "/refund"))]) {
      expect(each).toMatchObject({ status: 200, body: { presentationId: id, step: "REFUNDED" } });
    }
    expect(await rig.anywhere("GET", path(id))).toMatchObject({ status: 200, body: { step: "REFUNDED" } });
    const row = (await readSandbox(rig.nats)).find(({ key }) => key === keyOf(id));
    expect(row).toMatchObject({ state: "REFUNDED", takes: 1, refunds: 1 });
  });

  it("is not refunded before it was captured", async () => {
    const id = await captured(bus.PaymentStep.DECLINED);
    expect(await rig.anywhere("POST", path(id, "/refund"))).toMatchObject(refusal("NOT_REFUNDABLE"));
  });

  it("is not found under another id, or under none", async () => {
    expect(await rig.anywhere("GET", path("0".repeat(32)))).toMatchObject(refusal("NOT_FOUND"));
    expect(await rig.anywhere("POST", path("0".repeat(32), "/refund"))).toMatchObject(refusal("NOT_FOUND"));
    expect(await rig.anywhere("GET", path("7"))).toMatchObject(refusal("BAD_REQUEST"));
  });
});
