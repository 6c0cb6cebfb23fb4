// One member over the API: read, changed, asked for its uses, erased; at two desks, with a real ledger and a real matcher.
import { createPublicKey } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { booksRef, destroyMember, fetchDataKey, openSagas, verifyReceipt } from "../../records/index.js";
import { bus, edge, encode } from "../../wire/codec.js";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import type { ApiCode } from "../../wire/errors.js";
import { fromHex } from "../../wire/hex.js";
import { shardOf } from "../../wire/shard.js";
import { decisionSubject, keySubject, passageSubject, paymentSubject, STREAMS } from "../../wire/subjects.js";
import {
  ANYBODY,
  CARD,
  type DeskRig,
  enrolled,
  GALLERY,
  log,
  ORGANISATION,
  openDeskRig,
  refusal,
} from "./support.js";

let rig: DeskRig;
beforeAll(async () => {
  rig = await openDeskRig({ desks: 2, whole: true });
});
afterAll(() => rig?.close());

const path = (id: string, rest = "") => `/api/v1/members/${id}${rest}`;

describe("a member over the API", () => {
  it("is read without token, number or similarity", async () => {
    const id = await enrolled(rig.call);
    const { status, body } = await rig.anywhere("GET", path(id));
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        memberId: id,
        consents: ["ENTRY", "PAY"],
        instrument: { brand: "visa", last4: "4242" },
        phoneEnding: null,
      },
    });
    expect(JSON.stringify(body)).not.toContain("tok_approve");
  });

  it("shows a change at the other desk at once", async () => {
    const id = await enrolled(rig.call);
    const [one, other] = rig.desks;
    for (const consents of [["ENTRY"], [], ["PAY", "ENTRY"]]) {
      expect(await one?.call("PUT", path(id, "/consents"), { body: { consents } })).toMatchObject({
        status: 200,
        body: { consents },
      });
      expect(await other?.call("GET", path(id))).toMatchObject({ status: 200, body: { consents } });
    }
    const card = { ...CARD, token: "tok_decline", last4: "0001" };
    expect(await other?.call("PUT", path(id, "/instrument"), { body: card })).toMatchObject({ status: 200 });
    expect(await one?.call("GET", path(id))).toMatchObject({
      body: { instrument: { last4: "0001" }, consents: ["ENTRY", "PAY"].reverse() },
    });
  });

  it("is changed by one of two who change it at one moment", async () => {
    const id = await enrolled(rig.call);
    const answers = await Promise.all(
      rig.desks.flatMap((desk) =>
        [["ENTRY"], ["PAY"]].map((consents) =>
          desk.call("PUT", path(id, "/consents"), { body: { consents } }),
        ),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(1);
    for (const answer of answers)
      if (answer.status !== 200) expect(answer).toMatchObject(refusal("CONFLICT"));
    const { body } = await rig.anywhere("GET", path(id));
    expect(answers.some((answer) => answer.status === 200 && answer.body.revision === body.revision)).toBe(
      true,
    );
  });

  it.each<[string, string, object, ApiCode]>([
    ["an unknown purpose", "consents", { consents: ["FLY"] }, "BAD_REQUEST"],
    ["no words", "consents", { consents: [1, "__proto__"] }, "BAD_REQUEST"],
    ["a purpose twice", "consents", { consents: ["PAY", "PAY"] }, "BAD_REQUEST"],
    ["a list", "consents", [], "BAD_REQUEST"],
    ["two digits", "instrument", { ...CARD, last4: "42" }, "BAD_REQUEST"],
    ["a card number", "instrument", { ...CARD, token: "4242-4242-4242-4242" }, "CARD_NUMBER_REFUSED"],
    [
      "a card number somewhere",
      "instrument",
      { ...CARD, note: { number: 4242424242424242 } },
      "CARD_NUMBER_REFUSED",
    ],
    ["too much", "instrument", { ...CARD, brand: "v".repeat(5000) }, "TOO_LARGE"],
  ])("refuses %s as its %s", async (_words, what, body, code) => {
    expect(await rig.call("PUT", path("0".repeat(32), `/${what}`), { body })).toMatchObject(refusal(code));
  });

  it.each(["7", "g".repeat(32), "A".repeat(32), "0".repeat(32)])("is not found under %s", async (id) => {
    expect(await rig.anywhere("GET", path(id))).toMatchObject(refusal("NOT_FOUND"));
    expect(await rig.anywhere("DELETE", path(id))).toMatchObject(refusal("NOT_FOUND"));
  });

  it("is of one organisation, and of no other", async () => {
    const id = await enrolled(rig.call);
    expect(await rig.call("GET", `${path(id)}?organisation=${ORGANISATION}`)).toMatchObject({ status: 200 });
    expect(await rig.call("GET", `${path(id)}?organisation=others`)).toMatchObject(
      refusal("ORGANISATION_UNKNOWN"),
    );
  });

  it("has a history of decisions, passages and payments, latest first, page by page", async () => {
    const id = await enrolled(rig.call);
    await useOnce(id, "a1".repeat(16), Date.now() - 200_000);
    await useOnce(id, "b2".repeat(16), Date.now() - 100_000);
    const { body } = await rig.anywhere("GET", path(id, "/history"));
    const uses = body.uses as { kind: string; presentationId: string; step?: string }[];
    expect(uses).toHaveLength(6);
    expect(uses.slice(0, 3).every(({ presentationId }) => presentationId === "b2".repeat(16))).toBe(true);
    expect(new Set(uses.map(({ kind }) => kind))).toEqual(new Set(["decision", "passage", "payment"]));
    const paged = [];
    for (let before: unknown = ""; before !== undefined; ) {
      const cursor = before === "" ? "" : `&before=${encodeURIComponent(String(before))}`;
      const page = await rig.anywhere("GET", path(id, `/history?limit=4${cursor}`));
      paged.push(...(page.body.uses as object[]));
      before = page.body.before;
    }
    expect(paged).toEqual(uses);
    expect(await rig.call("GET", path(id, "/history?before=x"))).toMatchObject(refusal("BAD_REQUEST"));
    expect(await rig.call("GET", path(id, "/history?limit=0"))).toMatchObject(refusal("BAD_REQUEST"));
  });
});

/** One presentation as the log keeps it: decision, passage, payment. */
async function useOnce(memberHex: string, presentationHex: string, atUnixMs: number): Promise<void> {
  const presentationId = fromHex(presentationHex);
  const ref = await booksRefOf(memberHex);
  const place = { organisation: ORGANISATION, site: "south", deviceId: "till-1" };
  const names = [place.organisation, place.site, place.deviceId, presentationHex] as const;
  const decision = {
    ...place,
    atUnixMs,
    presentationId,
    booksRef: ref,
    purpose: edge.Purpose.PAY,
    outcome: edge.Outcome.MATCH,
    granted: true,
  };
  await rig.eventLog.append(decisionSubject(...names), encode(bus.DecisionEvent, decision));
  const passage = { atUnixMs, presentationId, booksRef: ref, passage: edge.Passage.OPENED };
  await rig.eventLog.append(passageSubject(...names), encode(bus.PassageEvent, passage));
  const payment = {
    ...place,
    atUnixMs,
    presentationId,
    booksRef: ref,
    amountMinor: 990,
    currency: "EUR",
    step: bus.PaymentStep.DECLINED,
  };
  await rig.eventLog.append(paymentSubject(ORGANISATION, presentationHex), encode(bus.PaymentEvent, payment));
}

async function booksRefOf(memberHex: string): Promise<Uint8Array> {
  const fetched = await fetchDataKey(rig.eventLog, rig.keyring, {
    organisation: ORGANISATION,
    gallery: GALLERY,
    memberId: fromHex(memberHex),
  });
  if (!fetched.ok) throw new Error(fetched.code);
  return booksRef(fetched.key);
}

describe("an erasure over the API", () => {
  it("ends with a receipt that verifies, and the member is gone at every desk", async () => {
    const id = await enrolled(rig.call);
    const { status, body: receipt } = await rig.anywhere("DELETE", path(id));
    expect({ status, receipt }).toMatchObject({
      status: 200,
      receipt: { memberId: id, requestedBy: "operator", workers: ["m1"] },
    });
    const { body } = await rig.anywhere("GET", "/api/v1/receipt-key", ANYBODY);
    const key = publicKeyFromBase64(String(body.publicKey));
    expect(
      key && verifyReceipt([createPublicKey(key.export({ type: "spki", format: "pem" }))], receipt),
    ).toMatchObject({ ok: true });
    for (const desk of rig.desks) {
      expect(await desk.call("GET", path(id))).toMatchObject(refusal("ERASED"));
      expect(await desk.call("PUT", path(id, "/consents"), { body: { consents: [] } })).toMatchObject(
        refusal("ERASED"),
      );
      expect(await desk.call("DELETE", path(id))).toMatchObject({ status: 200, body: receipt });
      expect(await desk.call("GET", `/api/v1/erasures/${id}`)).toMatchObject({ status: 200, body: receipt });
    }
    expect(
      await rig.eventLog.last(STREAMS.keys, keySubject(shardOf(fromHex(id)), ORGANISATION, GALLERY, id)),
    ).toBeUndefined();
  });

  it("is one erasure when it is asked for at both desks at one moment", async () => {
    const id = await enrolled(rig.call);
    const answers = await Promise.all(rig.desks.map((desk) => desk.call("DELETE", path(id))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[0]?.body).toEqual(answers[1]?.body);
  });

  it("is not known where none was asked for", async () => {
    const id = await enrolled(rig.call);
    expect(await rig.call("GET", `/api/v1/erasures/${id}`)).toMatchObject(refusal("NOT_FOUND"));
  });

  it("ends for a member whose destruction was begun before, by whomever", async () => {
    const id = await enrolled(rig.call);
    const place = { organisation: ORGANISATION, gallery: GALLERY, memberId: fromHex(id) };
    expect(await destroyMember(rig.eventLog, place, "operator")).toMatchObject({ ok: true });
    expect(await rig.anywhere("DELETE", path(id))).toMatchObject({ status: 200, body: { memberId: id } });
  });
});

describe("a desk without a ledger and a matcher", () => {
  let lonely: DeskRig;
  beforeAll(async () => {
    lonely = await openDeskRig();
  });
  afterAll(() => lonely?.close());

  it("says of a member that nobody could tell, not that there is none", async () => {
    expect(await lonely.call("GET", path("ab".repeat(16)))).toMatchObject(refusal("MEMBER_UNAVAILABLE"));
  });

  it("answers 202 with the address of the receipt while an erasure is under way, and goes on saying so", async () => {
    const id = "cd".repeat(16);
    const sagas = openSagas(lonely.nats, lonely.eventLog, { nowUnixMs: () => Date.now(), log });
    const memberId = fromHex(id);
    const intent = encode(bus.EraseIntent, { memberId, gallery: GALLERY });
    await sagas.begin({
      kind: "erase",
      organisation: ORGANISATION,
      id,
      by: "operator",
      bodySha256: memberId,
      intent,
    });
    const { status, body, headers } = await lonely.call("DELETE", path(id));
    expect(status).toBe(202);
    expect(body).toMatchObject({ code: "ERASURE_PENDING", memberId: id, receipt: headers.get("location") });
    expect(await lonely.call("GET", String(body.receipt))).toMatchObject({
      status: 202,
      body: { code: "ERASURE_PENDING" },
    });
    const saga = await sagas.read("erase", ORGANISATION, id);
    const receipt = { kind: "none of a ledger" };
    if (saga) await sagas.advance(saga, { step: "DONE", result: Buffer.from(JSON.stringify(receipt)) });
    // The desk makes no receipt of its own, and passes on none that is not one.
    expect(await lonely.call("GET", String(body.receipt))).toMatchObject({ status: 500 });
  });
});
