// Passes over the API: an operator gives one out, a lane pairs itself, a person enrols themselves and is forgotten. Two
// desks, a real ledger, a real matcher.
import { createHash, generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SyntheticPerson } from "../../cli/demo/people.js";
import { consentText } from "../../desk/passes/consent-text.js";
import { decodeMemberEvent, fetchDataKey, memberSubjectOf, openProfile } from "../../records/index.js";
import { bus, edge, encode } from "../../wire/codec.js";
import { publicKeyToBase64 } from "../../wire/ed25519.js";
import type { ApiCode } from "../../wire/errors.js";
import { fromHex, toHex } from "../../wire/hex.js";
import {
  ANYBODY,
  capturesOf,
  type DeskRig,
  GALLERY,
  ORGANISATION,
  openDeskRig,
  refusal,
  somebody,
  type TestDesk,
} from "./support.js";

const LANE = { kind: "LANE", site: "north", gallery: GALLERY, purpose: "ENTRY" };
const ENROL = { kind: "ENROL", site: "north", gallery: GALLERY, consents: ["ENTRY", "PAY"] };
const PHONE = "+4915112345678";

let rig: DeskRig;
let anywhere: TestDesk["call"];
beforeAll(async () => {
  rig = await openDeskRig({ desks: 2, whole: true });
  ({ anywhere } = rig);
});
afterAll(() => rig?.close());

const post = (path: string, body: object | Uint8Array, headers: Record<string, string> = {}) =>
  anywhere("POST", `/api/v1/${path}`, { body, headers, ...ANYBODY });
const issue = (order: object, headers: Record<string, string> = {}) =>
  anywhere("POST", "/api/v1/passes", { body: order, headers });

async function passFor(order: object): Promise<string> {
  const { status, body } = await issue(order);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return String(body.code);
}

describe("giving out a pass", () => {
  it("answers code, link and end", async () => {
    const { status, body } = await issue({ ...LANE, validMinutes: 5, uses: 3 });
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: "LANE", uses: 3, url: `/lane#pass=${body.code}` });
    expect(body.code).toMatch(/^[0-9A-Z]{5}-[0-9A-Z]{5}$/);
    expect(Math.abs(Number(body.expiresAtUnixMs) - Date.now() - 300_000)).toBeLessThan(60_000);
  });

  it("is the same pass for the same key at any desk, and refused for another order", async () => {
    const headers = { "idempotency-key": randomUUID() };
    const first = await issue(LANE, headers);
    expect((await issue(LANE, headers)).body).toEqual(first.body);
    expect((await issue(LANE)).body.code).not.toBe(first.body.code);
    expect(await issue({ ...LANE, uses: 2 }, headers)).toMatchObject(refusal("KEY_REUSED"));
  });

  it("is for operators", async () => {
    expect(await post("passes", LANE)).toMatchObject(refusal("UNAUTHORISED"));
  });

  const wrong: [string, ApiCode, object][] = [
    ["an unknown kind", "BAD_REQUEST", { ...LANE, kind: "GATE" }],
    ["no purpose", "BAD_REQUEST", { ...LANE, purpose: undefined }],
    ["a purpose twice", "BAD_REQUEST", { ...ENROL, consents: ["PAY", "PAY"] }],
    ["more than a day", "BAD_REQUEST", { ...LANE, validMinutes: 1441 }],
    ["no use", "BAD_REQUEST", { ...LANE, uses: 0 }],
    ["too many uses", "BAD_REQUEST", { ...LANE, uses: 1001 }],
    ["an unknown site", "SITE_UNKNOWN", { ...LANE, site: "nowhere" }],
    ["an unknown gallery", "GALLERY_UNKNOWN", { ...LANE, gallery: "nowhere" }],
    ["a card number", "CARD_NUMBER_REFUSED", { ...LANE, note: "4242 4242 4242 4242" }],
  ];
  it.each(wrong)("refuses %s: %s", async (_what, code, body) => {
    expect(await issue(body)).toMatchObject(refusal(code));
  });

  it("names the desk's own address where it has one", async () => {
    const known = await rig.startDesk("--public-url", "https://palm.example.org");
    const { body } = await known.call("POST", "/api/v1/passes", { body: ENROL });
    expect(body.url).toBe(`https://palm.example.org/enrol#pass=${body.code}`);
    await known.close();
  });

  it("can be seen and taken back, without its code", async () => {
    const { body: issued } = await issue({ ...ENROL, uses: 7 });
    const pages: Record<string, unknown>[] = [];
    for (let cursor: unknown = ""; cursor !== null; ) {
      const { body } = await anywhere(
        "GET",
        `/api/v1/passes?limit=3${cursor === "" ? "" : `&cursor=${cursor}`}`,
      );
      pages.push(...(body.passes as Record<string, unknown>[]));
      cursor = body.nextCursor;
    }
    expect(new Set(pages.map(({ passId }) => passId)).size).toBe(pages.length);
    expect(pages).toContainEqual(
      expect.objectContaining({ passId: issued.passId, usesLeft: 7, consents: ["ENTRY", "PAY"] }),
    );
    expect(JSON.stringify(pages)).not.toContain(String(issued.code).replace("-", ""));
    expect(await anywhere("DELETE", `/api/v1/passes/${issued.passId}`)).toMatchObject({ status: 200 });
    expect(await anywhere("DELETE", `/api/v1/passes/${issued.passId}`)).toMatchObject(
      refusal("PASS_UNKNOWN"),
    );
    expect(await post("passes/terms", { pass: issued.code, kind: "ENROL" })).toMatchObject(
      refusal("PASS_UNKNOWN"),
    );
    expect(await anywhere("GET", "/api/v1/passes?cursor=!")).toMatchObject(refusal("BAD_REQUEST"));
  });
});

describe("the terms of a pass", () => {
  it("are told to whoever has it, take no use, and hold the text to agree to with its hash", async () => {
    const pass = await passFor(ENROL);
    const file = readFileSync(new URL("../../desk/pages/consent.json", import.meta.url));
    for (let n = 0; n < 3; n++) {
      const { status, body } = await post("passes/terms", { pass, kind: "ENROL" });
      expect(status).toBe(200);
      expect(body).toMatchObject({ site: "north", organisation: ORGANISATION, consents: ["ENTRY", "PAY"] });
      expect(body.testCards).toContainEqual({
        name: "approve",
        brand: "visa",
        last4: "4242",
        what: expect.any(String),
      });
      expect(JSON.stringify(body)).not.toContain("tok_");
      expect(body.consentText).toEqual(JSON.parse(file.toString("utf8")));
      expect(body.consentTextSha256).toBe(createHash("sha256").update(file).digest("hex"));
    }
  });

  it("are not told for a wrong code or another kind", async () => {
    expect(await post("passes/terms", { pass: "00000-00000", kind: "LANE" })).toMatchObject(
      refusal("PASS_UNKNOWN"),
    );
    expect(await post("passes/terms", { pass: await passFor(LANE), kind: "ENROL" })).toMatchObject(
      refusal("PASS_WRONG_KIND"),
    );
  });
});

const newKey = () => publicKeyToBase64(generateKeyPairSync("ed25519").privateKey);

describe("a lane that pairs itself", () => {
  it("is a device of the pass's place, once; asked again it is the same, at either desk", async () => {
    const pass = await passFor(LANE);
    const publicKey = newKey();
    const paired = await post("lanes", { pass, publicKey });
    expect(paired).toMatchObject({
      status: 201,
      body: { site: "north", purpose: "ENTRY", gallery: GALLERY },
    });
    expect(await post("lanes", { pass, publicKey })).toMatchObject({ status: 201, body: paired.body });
    expect(await post("lanes", { pass, publicKey: newKey() })).toMatchObject(refusal("PASS_USED"));
    const { body } = await anywhere("GET", "/api/v1/devices");
    expect(body.devices).toContainEqual(
      expect.objectContaining({
        deviceId: paired.body.deviceId,
        publicKey,
        connected: false,
        pairedAtUnixMs: expect.any(Number),
      }),
    );
  });

  it("does not come back with its pass once it is revoked", async () => {
    const pass = await passFor(LANE);
    const publicKey = newKey();
    const { body } = await post("lanes", { pass, publicKey });
    const path = `/api/v1/devices/${body.deviceId}`;
    expect(await anywhere("DELETE", path)).toMatchObject({ status: 200, body: { revoked: true } });
    expect(await anywhere("DELETE", path)).toMatchObject(refusal("NOT_FOUND"));
    expect(await post("lanes", { pass, publicKey })).toMatchObject(refusal("PASS_USED"));
    expect(rig.directory.device(String(body.deviceId))).toBeUndefined();
  });

  it("is refused without a key, and keeps the use of its pass", async () => {
    const pass = await passFor(LANE);
    for (const publicKey of ["", "x".repeat(44), Buffer.alloc(31).toString("base64")]) {
      expect(await post("lanes", { pass, publicKey })).toMatchObject(refusal("KEY_INVALID"));
    }
    expect(await post("lanes", { pass, publicKey: newKey() })).toMatchObject({ status: 201 });
  });
});

interface Hands {
  captures: bus.ICapture[];
}

async function handsOf(right: SyntheticPerson, left?: SyntheticPerson): Promise<Hands> {
  const captures = [...(await capturesOf(right, 1)), ...(left ? await capturesOf(left, 2) : [])];
  return { captures };
}

const selfOrder = (
  pass: string,
  { captures }: Hands,
  changed: bus.SelfEnrolRequest.$Properties = {},
): Uint8Array =>
  encode(bus.SelfEnrolRequest, {
    pass,
    captures,
    consents: [edge.Purpose.ENTRY],
    consentTextSha256: fromHex(consentText.sha256Hex),
    phone: PHONE,
    ...changed,
  });

describe("a person who enrols themselves", () => {
  it("is a member with a pseudonym and an authority; the text they saw is on record, the number is told to nobody", async () => {
    const pass = await passFor(ENROL);
    const hands = await handsOf(somebody(), somebody());
    const order = selfOrder(pass, hands, { consents: [1, 2], testCard: "approve" });
    const { status, body } = await post("enrolments", order);
    expect(status, JSON.stringify(body)).toBe(201);
    expect(body).toMatchObject({
      site: "north",
      templates: 6,
      pairwiseId: expect.stringMatching(/^[a-z2-7]{16}$/),
    });
    const read = await anywhere("GET", `/api/v1/members/${body.memberId}`);
    expect(read.body).toMatchObject({
      consents: ["ENTRY", "PAY"],
      phoneEnding: "78",
      instrument: { last4: "4242" },
    });
    expect(JSON.stringify([body, read.body])).not.toContain(PHONE.slice(1));
    const { consentTextSha256 } = await profileOf(String(body.memberId));
    expect(toHex(consentTextSha256)).toBe(consentText.sha256Hex);
    expect(await post("enrolments", selfOrder(pass, await handsOf(somebody())))).toMatchObject(
      refusal("PASS_USED"),
    );
  });

  it("is the same member with the same authority when the answer was lost and they ask again, and takes no further use", async () => {
    const pass = await passFor({ ...ENROL, uses: 2 });
    const order = selfOrder(pass, await handsOf(somebody()));
    const headers = { "idempotency-key": randomUUID() };
    const answers = [await post("enrolments", order, headers), await post("enrolments", order, headers)];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(answers[1]?.body).toEqual(answers[0]?.body);
    // The second use is still there.
    expect(await post("enrolments", selfOrder(pass, await handsOf(somebody())))).toMatchObject({
      status: 201,
    });
    const { memberId, authority } = answers[0]?.body ?? {};
    expect(await post("erasures", { memberId, authority })).toMatchObject({
      status: 200,
      body: { memberId },
    });
  });

  it("keeps the use of the pass when they are refused, and may try again with it", async () => {
    const pass = await passFor(ENROL);
    const person = somebody();
    const order = selfOrder(pass, await handsOf(person));
    const blurred = (await handsOf(person)).captures.map((each) => ({
      ...each,
      image: new Uint8Array(each.image?.length ?? 0).fill(128),
    }));
    const headers = { "idempotency-key": randomUUID() };
    expect(await post("enrolments", selfOrder(pass, { captures: blurred }), headers)).toMatchObject(
      refusal("LOW_QUALITY"),
    );
    expect(await post("enrolments", order)).toMatchObject({ status: 201 });
  });

  const wrong: [string, ApiCode, bus.SelfEnrolRequest.$Properties][] = [
    ["an old text", "CONSENT_TEXT_CHANGED", { consentTextSha256: new Uint8Array(32) }],
    ["no phone number", "PHONE_INVALID", { phone: "0151 12345678" }],
    ["a card number as phone", "CARD_NUMBER_REFUSED", { phone: "+378282246310005" }],
    ["pay without a card", "BAD_REQUEST", { consents: [2] }],
    ["an unknown card", "BAD_REQUEST", { testCard: "gold" }],
    ["a card number as card", "CARD_NUMBER_REFUSED", { testCard: "4242424242424242" }],
    ["no captures", "BAD_REQUEST", { captures: [] }],
  ];
  it.each(wrong)("is refused with %s: %s", async (_what, code, changed) => {
    const pass = await passFor(ENROL);
    expect(await post("enrolments", selfOrder(pass, await handsOf(somebody()), changed))).toMatchObject(
      refusal(code),
    );
  });

  it("is refused with two of three captures, with packed images, and with more than the pass allows", async () => {
    const pass = await passFor({ ...ENROL, consents: ["ENTRY"] });
    const hands = await handsOf(somebody());
    const two = { captures: hands.captures.slice(1) };
    expect(await post("enrolments", selfOrder(pass, two))).toMatchObject(refusal("BAD_REQUEST"));
    const packed = { captures: hands.captures.map((each) => ({ ...each, encoding: edge.Encoding.PNG })) };
    expect(await post("enrolments", selfOrder(pass, packed))).toMatchObject(refusal("BAD_REQUEST"));
    const more = selfOrder(pass, hands, { consents: [1, 2], testCard: "approve" });
    expect(await post("enrolments", more)).toMatchObject(refusal("BAD_REQUEST"));
  });
});

describe("a member who asks to be forgotten", () => {
  it("is, with the authority of their enrolment and no other", async () => {
    const { body } = await post("enrolments", selfOrder(await passFor(ENROL), await handsOf(somebody())));
    const { body: other } = await post(
      "enrolments",
      selfOrder(await passFor(ENROL), await handsOf(somebody())),
    );
    const { memberId, authority } = body;
    for (const wrong of [
      "",
      "x",
      other.authority,
      String(authority).slice(0, -1),
      String(authority).replace(ORGANISATION, "others"),
    ]) {
      expect(await post("erasures", { memberId, authority: wrong })).toMatchObject(
        refusal("AUTHORITY_WRONG"),
      );
    }
    const receipt = await post("erasures", { memberId, authority });
    expect(receipt).toMatchObject({ status: 200, body: { memberId, requestedBy: "member" } });
    expect(await post("erasures", { memberId, authority })).toMatchObject({
      status: 200,
      body: receipt.body,
    });
    expect(await anywhere("GET", `/api/v1/members/${memberId}`)).toMatchObject(refusal("ERASED"));
    expect(await anywhere("GET", `/api/v1/members/${other.memberId}`)).toMatchObject({ status: 200 });
  });
});

async function profileOf(memberHex: string): Promise<bus.Profile> {
  const place = { organisation: ORGANISATION, gallery: GALLERY, memberId: fromHex(memberHex) };
  const fetched = await fetchDataKey(rig.eventLog, rig.keyring, place);
  const last = await rig.eventLog.last("MEMBERS", memberSubjectOf(place));
  const sealed = last && decodeMemberEvent(last.body)?.enrolled?.profile;
  const profile = fetched.ok ? openProfile(fetched.key, place, sealed) : undefined;
  if (!profile) throw new Error("no profile");
  return profile;
}
