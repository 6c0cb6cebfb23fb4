// Payments on a real log with the sandbox: what the lane is told, and what becomes of the money afterwards.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MemberDirectory, openMembers } from "../../gateway/members/members.js";
import { openPayments, type Payments } from "../../gateway/payments/payments.js";
import { readSandboxLedger, sandboxProcessor } from "../../gateway/payments/sandbox.js";
import { actsByPurpose } from "../../gateway/purposes/index.js";
import type { ServiceDeps } from "../../gateway/seams.js";
import { bus, decode, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import { paymentSubject, STREAMS } from "../../wire/subjects.js";
import { enrolSomebody, eventually, openServices, recordDecision, type Services } from "./members.support.js";

const { Reason, Purpose } = edge;
let services: Services;
let members: MemberDirectory;
let payments: Payments;
const charge = { amountMinor: 1290, currency: "EUR", orderRef: "basket-7" };

beforeEach(async () => {
  services = await openServices();
  ({ members, payments } = await openGateway(services.deps));
});
afterEach(async () => {
  await payments.close();
  await members.close();
  await services.close();
});

async function openGateway(deps: ServiceDeps) {
  const opened = await openMembers(deps);
  const processor = sandboxProcessor({ path: join(deps.dataDir, "sandbox"), slowMs: 700 });
  return { members: opened, payments: await openPayments({ ...deps, members: opened, processor }) };
}

async function present(
  memberHex: string,
  presentationId: Uint8Array = randomBytes(16),
  changed: Partial<typeof charge> = {},
) {
  const act = actsByPurpose({ payments })[Purpose.PAY];
  const member = await members.seen(memberHex, 5000);
  if (!act || !member) throw new Error("nobody there");
  return act(member, {
    presentationId,
    site: "north",
    deviceId: "till-1",
    charge: { ...charge, ...changed },
    deadlineAtMs: performance.now() + 900,
  });
}

const steps = async (presentationId: Uint8Array) =>
  (await services.deps.eventLog.all(STREAMS.payments, paymentSubject(toHex(presentationId)))).map(
    ({ body }) => bus.PaymentStep[decode(bus.PaymentEvent, body)?.step ?? 0],
  );
const ledgerOf = async (presentationId: Uint8Array) =>
  (await readSandboxLedger(join(services.deps.dataDir, "sandbox"))).find(
    ({ key }) => key === toHex(presentationId),
  );
const ended = (presentationId: Uint8Array, step: string) =>
  eventually(
    () => steps(presentationId),
    (all) => all.at(-1) === step,
  );

describe("a payment at a lane", () => {
  it("is authorised at once and captured once the granted decision is on record", async () => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services);
    expect(await present(memberHex, id)).toEqual({
      granted: true,
      reason: Reason.PAYMENT_APPROVED,
      payment: { brand: "visa", last4: "4242", amountMinor: 1290, currency: "EUR" },
    });
    expect(await steps(id)).toEqual(["REQUESTED", "AUTHORISED"]);
    await recordDecision(services, { memberHex, presentationId: id });
    expect(await ended(id, "CAPTURED")).toEqual(["REQUESTED", "AUTHORISED", "CAPTURED"]);
    expect(await ledgerOf(id)).toMatchObject({ state: "CAPTURED", holds: 1, takes: 1 });
  });

  it("is paid once however often the presentation is repeated, and never for another charge", async () => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services);
    const answers = await Promise.all([
      present(memberHex, id),
      present(memberHex, id),
      present(memberHex, id),
    ]);
    expect(answers.some(({ granted }) => granted)).toBe(true);
    expect(await present(memberHex, id)).toMatchObject({ granted: true });
    expect(await present(memberHex, id, { amountMinor: 1 })).toMatchObject({
      reason: Reason.PAYMENT_CONFLICT,
    });
    const other = await enrolSomebody(services);
    expect(await present(other, id)).toMatchObject({ granted: false, reason: Reason.PAYMENT_CONFLICT });
    await recordDecision(services, { memberHex, presentationId: id });
    await ended(id, "CAPTURED");
    expect(await present(memberHex, id)).toMatchObject({ granted: true });
    expect(await ledgerOf(id)).toMatchObject({ holds: 1, takes: 1 });
  });

  it.each([
    ["tok_decline", Reason.PAYMENT_DECLINED],
    ["tok_insufficient", Reason.INSUFFICIENT_FUNDS],
    ["tok_nobody", Reason.PAYMENT_DECLINED],
  ])("is refused with the issuer's reason for %s", async (token, reason) => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services, { token });
    expect(await present(memberHex, id)).toMatchObject({ granted: false, reason });
    expect(await present(memberHex, id)).toMatchObject({ granted: false, reason });
    expect(await steps(id)).toEqual(["REQUESTED", "DECLINED"]);
  });

  it.each(["tok_unknown", "tok_slow"])(
    "is refused in time for %s, and the hold is let go later",
    async (token) => {
      const id = randomBytes(16);
      const memberHex = await enrolSomebody(services, { token });
      const before = performance.now();
      expect(await present(memberHex, id)).toMatchObject({ granted: false, reason: Reason.PAYMENT_UNKNOWN });
      expect(performance.now() - before).toBeLessThan(900);
      expect(await ended(id, "VOIDED")).toEqual(["REQUESTED", "UNKNOWN", "VOIDED"]);
      expect(await ledgerOf(id)).toMatchObject({ state: "VOIDED", takes: 0 });
      expect(await present(memberHex, id)).toMatchObject({ granted: false, reason: Reason.PAYMENT_UNKNOWN });
    },
  );

  it("needs consent and an instrument", async () => {
    const memberHex = await enrolSomebody(services, { consents: [Purpose.ENTRY] });
    const id = randomBytes(16);
    expect(await present(memberHex, id)).toMatchObject({ granted: false, reason: Reason.CONSENT_MISSING });
    expect(await steps(id)).toEqual([]);
    const {
      id: hex,
      gallery,
      partition,
      consents,
    } = (await members.seen(await enrolSomebody(services), 5000)) ?? {
      id: "",
      gallery: "",
      partition: 0,
      consents: new Set<edge.Purpose>(),
    };
    const act = actsByPurpose({ payments })[Purpose.PAY];
    const bare = { id: hex, gallery, partition, consents, pairwiseId: () => "" };
    const request = { presentationId: id, site: "north", deviceId: "till-1", charge, deadlineAtMs: 1e12 };
    expect(await act?.(bare, request)).toMatchObject({ granted: false, reason: Reason.INSTRUMENT_MISSING });
  });

  it("is refused when the log cannot take it, before the processor is asked", async () => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services);
    await members.seen(memberHex, 5000);
    await services.nats.stop();
    expect(await present(memberHex, id)).toMatchObject({ granted: false });
    expect(await ledgerOf(id)).toBeUndefined();
    await services.nats.restart();
  });
});

describe("a gateway that died", () => {
  it("leaves a payment that was requested, and the next one lets it go when the lane asks again", async () => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services);
    // The gateway died while the issuer thought.
    const thinking = present(memberHex, id);
    await eventually(
      () => steps(id),
      (all) => all.length > 0,
    );
    const second = await openGateway({ ...services.deps, dataDir: services.newDataDir() });
    const act = actsByPurpose({ payments: second.payments })[Purpose.PAY];
    const member = await second.members.seen(memberHex, 5000);
    const request = {
      presentationId: id,
      site: "north",
      deviceId: "till-1",
      charge,
      deadlineAtMs: performance.now() + 900,
    };
    const [here, there] = await Promise.all([thinking, member && act?.(member, request)]);
    // Whoever came first, both tell the lane what the log says.
    const last = (await steps(id)).at(-1);
    if (last === "AUTHORISED") expect([here.granted, there?.granted]).toEqual([true, true]);
    else expect(there?.granted).toBe(false);
    await second.payments.close();
    await second.members.close();
  });

  it("finds what it left unfinished when it starts again", async () => {
    const id = randomBytes(16);
    const memberHex = await enrolSomebody(services);
    await present(memberHex, id);
    await payments.close();
    // Granted and on record, but nobody captured it; the clock of the record says that this was long ago.
    const last = await services.deps.eventLog.last(STREAMS.payments, paymentSubject(toHex(id)));
    const event = last && decode(bus.PaymentEvent, last.body);
    if (!last || !event) throw new Error("no payment");
    const old = bus.PaymentEvent.encode({ ...event, atUnixMs: Date.now() - 60_000 }).finish();
    await services.deps.eventLog.append(paymentSubject(toHex(id)), old, {
      expectedSubjectSequence: last.sequence,
    });
    await recordDecision(services, { memberHex, presentationId: id });
    await members.historyCaughtUp(5000);
    await members.close();
    ({ members, payments } = await openGateway(services.deps));
    await ended(id, "CAPTURED");
    expect(await ledgerOf(id)).toMatchObject({ takes: 1 });
  });
});
