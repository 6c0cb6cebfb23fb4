import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  isPaymentEnd,
  nextStep,
  openPaymentLog,
  type PaymentPlace,
  readPayment,
} from "../../../records/index.js";
import { bus } from "../../../wire/codec.js";
import { openRig, type Rig } from "../support/rig.js";

const { PaymentStep } = bus;

describe("the log of payments", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  const place = (): PaymentPlace => ({
    organisation: "acme",
    presentationHex: randomBytes(16).toString("hex"),
  });
  const requested = bus.PaymentEvent.create({
    atUnixMs: 1,
    organisation: "acme",
    site: "main",
    amountMinor: 999,
    currency: "EUR",
    step: PaymentStep.REQUESTED,
  });

  it("takes each step on top of the one that its author had seen, and of two only one", async () => {
    const log = openPaymentLog(rig.eventLog);
    const at = place();
    expect(await log.last(at)).toEqual({ ok: true, at: undefined });
    const first = await log.append(at, requested, 0);
    if (!first.ok) throw new Error(first.code);
    expect(await log.append(at, requested, 0)).toEqual({ ok: false, code: "CONFLICT" });
    const authorised = nextStep(requested, PaymentStep.AUTHORISED, 5, { processorRef: "ref" });
    const unknown = nextStep(requested, PaymentStep.UNKNOWN, 6);
    const both = await Promise.all([authorised, unknown].map((step) => log.append(at, step, first.sequence)));
    expect(both.filter(({ ok }) => ok)).toHaveLength(1);
    const last = await log.last(at);
    expect(last).toMatchObject({ ok: true, at: { event: { amountMinor: 999, currency: "EUR" } } });
    const elsewhere = { ...at, organisation: "other" };
    expect(await log.last(elsewhere)).toEqual({ ok: true, at: undefined });
  });

  it("tells where each payment stands, by its subject", async () => {
    const log = openPaymentLog(rig.eventLog);
    const at = place();
    const first = await log.append(at, requested, 0);
    if (!first.ok) throw new Error(first.code);
    await log.append(at, nextStep(requested, PaymentStep.CAPTURED, 9, { why: "passage" }), first.sequence);
    const events = await rig.eventLog.lastPerSubject("PAYMENTS", "payments.>");
    const read = events.map(readPayment).find((each) => each?.place.presentationHex === at.presentationHex);
    expect(read).toMatchObject({
      place: at,
      at: { event: { step: PaymentStep.CAPTURED, why: "passage", atUnixMs: 9 } },
    });
    const ends = Object.values(PaymentStep).filter((step) => typeof step === "number" && isPaymentEnd(step));
    expect(ends).toEqual([
      PaymentStep.DECLINED,
      PaymentStep.CAPTURED,
      PaymentStep.VOIDED,
      PaymentStep.REFUNDED,
    ]);
  });

  it("says LOG_UNAVAILABLE when the state is not known, never that there is none", async () => {
    const { openEventLog } = await import("../../../records/index.js");
    const nc = await rig.connect();
    const log = openPaymentLog(await openEventLog(nc));
    await nc.close();
    expect(await log.last(place())).toEqual({ ok: false, code: "LOG_UNAVAILABLE" });
    expect(await log.append(place(), requested, 0)).toEqual({ ok: false, code: "LOG_UNAVAILABLE" });
  });
});
