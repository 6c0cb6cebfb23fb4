// PAY on a real log with the sandbox: what the lane is told. (What becomes of the money afterwards is the ledger's.)
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { payBy } from "../../../gateway/purposes/pay.js";
import type { ActRequest, Charge, Purpose } from "../../../gateway/purposes/purpose.js";
import {
  type EventLog,
  openEventLog,
  openPaymentLog,
  type PaymentProcessor,
  readSandbox,
  sandboxProcessor,
} from "../../../records/index.js";
import { bus, decode, edge } from "../../../wire/codec.js";
import { toHex } from "../../../wire/hex.js";
import { paymentSubject, STREAMS } from "../../../wire/subjects.js";
import { openRig, type Rig } from "../../identify/support/rig.js";
import { ALICE, BOB, factsOf, ORGANISATION } from "../support/front.js";

const { Reason } = edge;
const charge: Charge = { amountMinor: 1290, currency: "EUR", orderRef: "basket-7" };

let rig: Rig;
let eventLog: EventLog;
let processor: PaymentProcessor;
beforeAll(async () => {
  rig = await openRig({ rows: 1, slots: 1 });
  eventLog = await openEventLog(rig.nats);
  processor = sandboxProcessor(rig.nats, { slowMs: 700 });
});
afterAll(async () => {
  await processor.close();
  await rig.close();
});

/** One gateway's purpose; two of them share the log and nothing else. */
const gateway = (more: Partial<PaymentProcessor> = {}): Purpose =>
  payBy({
    log: openPaymentLog(eventLog),
    processor: { ...bound(processor), ...more },
    onStep: () => {},
    nowUnixMs: () => Date.now(),
  });

const bound = (of: PaymentProcessor): PaymentProcessor => ({
  name: of.name,
  authorise: (request, signal) => of.authorise(request, signal),
  capture: (key, signal) => of.capture(key, signal),
  void: (key, signal) => of.void(key, signal),
  refund: (key, signal) => of.refund(key, signal),
  query: (key, signal) => of.query(key, signal),
  close: () => of.close(),
});

const member = (token = "tok_approve", hex = ALICE) =>
  factsOf(hex, {
    profile: { consents: [2], instrument: { processor: "sandbox", token, brand: "visa", last4: "4242" } },
  });

const present = (
  presentationId: Uint8Array,
  {
    at = gateway(),
    who = member(),
    budgetMs = 2000,
    ...more
  }: { at?: Purpose; who?: bus.MemberFacts; budgetMs?: number } & Partial<ActRequest> = {},
) =>
  at.act(who, {
    presentationId,
    presentationHex: toHex(presentationId),
    organisation: ORGANISATION,
    site: "north",
    deviceId: "till-1",
    charge,
    deadlineAtMs: performance.now() + budgetMs,
    ...more,
  });

const steps = async (presentationId: Uint8Array) =>
  (await eventLog.all(STREAMS.payments, paymentSubject(ORGANISATION, toHex(presentationId)))).map(
    ({ body }) => bus.PaymentStep[decode(bus.PaymentEvent, body)?.step ?? 0],
  );
const rowOf = async (presentationId: Uint8Array, organisation = ORGANISATION) =>
  (await readSandbox(rig.nats)).find(({ key }) => key === `${organisation}.${toHex(presentationId)}`);

describe("a payment at a lane", () => {
  it("is held, and nothing is taken", async () => {
    const id = randomBytes(16);
    expect(await present(id)).toEqual({
      granted: true,
      reason: Reason.PAYMENT_APPROVED,
      payment: { brand: "visa", last4: "4242", amountMinor: 1290, currency: "EUR" },
    });
    expect(await steps(id)).toEqual(["REQUESTED", "AUTHORISED"]);
    expect(await rowOf(id)).toMatchObject({ state: "AUTHORISED", holds: 1, takes: 0 });
  });

  it("is another organisation's own under the same presentation id", async () => {
    const id = randomBytes(16);
    expect(await present(id)).toMatchObject({ granted: true });
    const another = { ...charge, amountMinor: 7 };
    const other = { organisation: "other", charge: another, who: member("tok_approve", BOB) };
    expect(await present(id, other)).toMatchObject({ granted: true });
    expect(await rowOf(id)).toMatchObject({ amountMinor: 1290, holds: 1 });
    expect(await rowOf(id, "other")).toMatchObject({ amountMinor: 7, holds: 1 });
  });

  it("names who pays as the books know them, where and what for", async () => {
    const id = randomBytes(16);
    await present(id);
    const [first] = await eventLog.all(STREAMS.payments, paymentSubject(ORGANISATION, toHex(id)));
    const event = decode(bus.PaymentEvent, first?.body ?? new Uint8Array());
    expect(event).toMatchObject({ organisation: ORGANISATION, site: "north", deviceId: "till-1", ...charge });
    expect(toHex(event?.booksRef ?? new Uint8Array())).toBe(toHex(member().booksRef));
    expect(JSON.stringify(event)).not.toContain("tok_approve");
  });

  it("is held once however often the presentation is repeated, at two gateways at once, and never for another charge", async () => {
    const id = randomBytes(16);
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        present(id, { at: gateway(), deviceId: "till-1", budgetMs: 3000 + n }),
      ),
    );
    expect(answers.map(({ granted }) => granted)).toEqual(Array.from({ length: 6 }, () => true));
    expect(await rowOf(id)).toMatchObject({ holds: 1 });
    const another = { ...charge, amountMinor: 1 };
    expect(await present(id, { charge: another })).toMatchObject({
      granted: false,
      reason: Reason.PAYMENT_CONFLICT,
    });
    const bob = member("tok_approve", BOB);
    expect(await present(id, { who: bob })).toMatchObject({
      granted: false,
      reason: Reason.PAYMENT_CONFLICT,
    });
    expect(await present(id, { deviceId: "till-2" })).toMatchObject({ reason: Reason.PAYMENT_CONFLICT });
  });

  it.each([
    ["tok_decline", Reason.PAYMENT_DECLINED],
    ["tok_insufficient", Reason.INSUFFICIENT_FUNDS],
    ["tok_nobody", Reason.PAYMENT_DECLINED],
  ])("is refused with the issuer's reason for %s, also when it is asked again", async (token, reason) => {
    const id = randomBytes(16);
    const who = member(token);
    for (let times = 0; times < 2; times++) {
      expect(await present(id, { who })).toMatchObject({ granted: false, reason });
    }
    expect(await steps(id)).toEqual(["REQUESTED", "DECLINED"]);
  });

  it("waits for a slow issuer, as long as money may take", async () => {
    const id = randomBytes(16);
    expect(await present(id, { who: member("tok_slow") })).toMatchObject({ granted: true });
  });

  it("is UNKNOWN, and refused in time, when the issuer does not answer", async () => {
    const id = randomBytes(16);
    const fromMs = performance.now();
    const answer = await present(id, { who: member("tok_unknown"), budgetMs: 800 });
    expect(answer).toMatchObject({ granted: false, reason: Reason.PAYMENT_UNKNOWN });
    expect(performance.now() - fromMs).toBeLessThan(900);
    expect(await steps(id)).toEqual(["REQUESTED", "UNKNOWN"]);
    expect(await present(id)).toMatchObject({ granted: false, reason: Reason.PAYMENT_UNKNOWN });
    expect(await rowOf(id)).toMatchObject({ holds: 1, takes: 0 });
  });

  it("asked again elsewhere while the issuer still thinks waits for that answer, and is held once", async () => {
    const id = randomBytes(16);
    const who = member("tok_slow");
    const first = present(id, { who });
    const second = present(id, { who, at: gateway() });
    expect((await Promise.all([first, second])).map(({ granted }) => granted)).toEqual([true, true]);
    expect(await rowOf(id)).toMatchObject({ holds: 1 });
    expect((await steps(id)).filter((step) => step === "AUTHORISED")).toHaveLength(2);
  });

  it("whose author died is given up for good once its time is over", async () => {
    const id = randomBytes(16);
    const dead = gateway({ authorise: () => new Promise(() => {}) });
    void present(id, { at: dead, budgetMs: 1_000_000 });
    while ((await steps(id)).length === 0) await new Promise((resolve) => setImmediate(resolve));
    const later = payBy({
      log: openPaymentLog(eventLog),
      processor,
      onStep: () => {},
      nowUnixMs: () => Date.now() + 8001,
    });
    expect(await present(id, { at: later })).toMatchObject({
      granted: false,
      reason: Reason.PAYMENT_UNKNOWN,
    });
    expect(await steps(id)).toEqual(["REQUESTED", "UNKNOWN"]);
  });

  it("that was let go meanwhile is not granted again", async () => {
    const id = randomBytes(16);
    await present(id);
    const log = openPaymentLog(eventLog);
    const place = { organisation: ORGANISATION, presentationHex: toHex(id) };
    const last = await log.last(place);
    if (!last.ok || last.at === undefined) throw new Error("no payment");
    const unknown = bus.PaymentEvent.create({ ...last.at.event, step: bus.PaymentStep.UNKNOWN });
    await log.append(place, unknown, last.at.sequence);
    expect(await present(id)).toMatchObject({ granted: false, reason: Reason.PAYMENT_UNKNOWN });
  });

  it("needs consent and an instrument, and leaves no trace without them", async () => {
    const id = randomBytes(16);
    const instrument = member().profile?.instrument ?? {};
    expect(await present(id, { who: factsOf(ALICE, { profile: { consents: [1], instrument } }) })).toEqual({
      granted: false,
      reason: Reason.CONSENT_MISSING,
    });
    expect(await present(id, { who: factsOf(ALICE, { profile: { consents: [2] } }) })).toEqual({
      granted: false,
      reason: Reason.INSTRUMENT_MISSING,
    });
    expect(await steps(id)).toEqual([]);
  });

  it("is refused while the log is away, and the processor is not asked", async () => {
    const unavailable = async () => ({ ok: false, code: "LOG_UNAVAILABLE" }) as const;
    const at = payBy({
      log: { append: unavailable, last: unavailable },
      processor: {
        ...bound(processor),
        authorise: () => {
          throw new Error("nobody is to be asked");
        },
      },
      onStep: () => {},
      nowUnixMs: () => Date.now(),
    });
    expect(await present(randomBytes(16), { at })).toMatchObject({ reason: Reason.RECORD_UNAVAILABLE });
  });

  it("takes two frames that find the same member, and holds for no other purpose", () => {
    expect(gateway()).toMatchObject({ framesToAgree: 2, charges: true });
  });
});
