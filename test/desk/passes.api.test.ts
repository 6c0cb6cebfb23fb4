// Passes over the API: an operator gives one out, a lane pairs itself, a person enrols themselves and is forgotten.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { consentText } from "../../gateway/passes/consent-text.js";
import { forgetAuthority } from "../../gateway/passes/forget.js";
import { decodeMemberEvent } from "../../records/index.js";
import { bus, edge, encode } from "../../wire/codec.js";
import type { ApiCode } from "../../wire/errors.js";
import { fromHex } from "../../wire/partition.js";
import { memberSubject, STREAMS } from "../../wire/subjects.js";
import { BLURRED, capture, openTestApi, refusal, type TestApi } from "./api.support.js";
import { GALLERY } from "./members.support.js";

const LANE = { kind: "LANE", site: "north", gallery: GALLERY, purpose: "ENTRY" };
const ENROL = { kind: "ENROL", site: "north", gallery: GALLERY, consents: ["ENTRY", "PAY"] };
const KEY = Buffer.alloc(32, 9).toString("base64");
const PHONE = "+4915112345678";
const NOBODY = "";

let api: TestApi;
let call: TestApi["call"];

beforeAll(async () => {
  api = await openTestApi();
  ({ call } = api);
});
beforeEach(() => api.script.reset());
afterAll(() => api.close());

async function passFor(order: object): Promise<string> {
  const { status, body } = await call("POST", "/api/passes", order);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return String(body.code);
}

describe("giving out a pass", () => {
  it("answers code, link and end, and stores the code nowhere else", async () => {
    const { status, body } = await call("POST", "/api/passes", { ...LANE, validMinutes: 5, uses: 3 });
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: "LANE", uses: 3, url: `/lane#pass=${body.code}` });
    expect(body.code).toMatch(/^[0-9A-Z]{5}-[0-9A-Z]{5}$/);
    expect(Math.abs(Number(body.expiresAtUnixMs) - Date.now() - 300_000)).toBeLessThan(60_000);
  });

  it("is for operators", async () => {
    expect(await call("POST", "/api/passes", LANE, NOBODY)).toMatchObject(refusal("UNAUTHORISED"));
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
    expect(await call("POST", "/api/passes", body)).toMatchObject(refusal(code));
  });

  it("names the gateway's own address where it has one", async () => {
    const known = await openTestApi({ publicUrl: "https://palm.example.org" });
    const { body } = await known.call("POST", "/api/passes", ENROL);
    expect(body.url).toBe(`https://palm.example.org/enroll#pass=${body.code}`);
    await known.close();
  });
});

describe("the terms of a pass", () => {
  it("are told to whoever has it, and take no use", async () => {
    const pass = await passFor(ENROL);
    for (let n = 0; n < 3; n++) {
      const { status, body } = await call("POST", "/api/passes/terms", { pass, kind: "ENROL" }, NOBODY);
      expect(status).toBe(200);
      expect(body).toMatchObject({ site: "north", consents: ["ENTRY", "PAY"] });
      expect(body.testCards).toContainEqual({
        name: "approve",
        brand: "visa",
        last4: "4242",
        what: expect.any(String),
      });
      expect(JSON.stringify(body)).not.toContain("tok_");
    }
  });

  it("hold the text to agree to, and its hash", async () => {
    const file = readFileSync(new URL("../../gateway/pages/consent.json", import.meta.url));
    const pass = await passFor(ENROL);
    const { body } = await call("POST", "/api/passes/terms", { pass, kind: "ENROL" }, NOBODY);
    expect(body.consentText).toEqual(JSON.parse(file.toString("utf8")));
    expect(body.consentTextSha256).toBe(createHash("sha256").update(file).digest("hex"));
  });

  it("are not told for a wrong code or another kind", async () => {
    const terms = (pass: string, kind: string) => call("POST", "/api/passes/terms", { pass, kind }, NOBODY);
    expect(await terms("00000-00000", "ENROL")).toMatchObject(refusal("PASS_UNKNOWN"));
    expect(await terms(await passFor(LANE), "ENROL")).toMatchObject(refusal("PASS_WRONG_KIND"));
  });
});

describe("pairing a lane", () => {
  const pair = (pass: string, publicKey = KEY) => call("POST", "/api/lanes", { pass, publicKey }, NOBODY);

  it("makes a device with the pass's duty, once", async () => {
    const pass = await passFor({ ...LANE, site: "south", purpose: "PAY" });
    const { status, body } = await pair(pass);
    expect(status).toBe(201);
    expect(body).toMatchObject({ site: "south", purpose: "PAY", gallery: GALLERY });
    const id = String(body.deviceId);
    expect(api.devices.get(id)).toMatchObject({ id, site: "south", purpose: "PAY" });
    expect(await pair(pass)).toMatchObject(refusal("PASS_USED"));
    const { devices } = (await call("GET", "/api/devices")).body as { devices: object[] };
    expect(devices).toContainEqual(
      expect.objectContaining({ deviceId: id, publicKey: KEY, connected: false }),
    );
  });

  it("takes no use for a key that is none", async () => {
    const pass = await passFor(LANE);
    for (const key of ["", "AAAA", `${KEY}${KEY}`, "!".repeat(44)]) {
      expect(await pair(pass, key)).toMatchObject(refusal("KEY_INVALID"));
    }
    expect(await pair(pass)).toMatchObject({ status: 201 });
  });

  it("is not for the pass of a person", async () => {
    expect(await pair(await passFor(ENROL))).toMatchObject(refusal("PASS_WRONG_KIND"));
  });

  it("is undone by an operator", async () => {
    const { deviceId } = (await pair(await passFor(LANE))).body;
    const path = `/api/devices/${deviceId}`;
    expect(await call("DELETE", path, undefined, NOBODY)).toMatchObject(refusal("UNAUTHORISED"));
    expect(await call("DELETE", path)).toMatchObject({ status: 200, body: { deviceId, revoked: true } });
    expect(api.devices.get(String(deviceId))).toBeUndefined();
    expect(await call("DELETE", path)).toMatchObject(refusal("NOT_FOUND"));
  });
});

let somebody = 0;
const hand = (who: number, position: number, count = 3) =>
  Array.from({ length: count }, () => capture(who, { position }));
const request = (pass: string, changed: bus.SelfEnrolRequest.$Properties = {}): Uint8Array =>
  encode(bus.SelfEnrolRequest, {
    pass,
    captures: hand(++somebody, 1),
    consents: [edge.Purpose.ENTRY],
    consentTextSha256: fromHex(consentText.sha256Hex),
    phone: PHONE,
    ...changed,
  });
const enrol = (body: Uint8Array) => call("POST", "/api/enrolments", body, NOBODY);

describe("enrolling oneself", () => {
  it("makes a member with one hand, and tells pseudonym and authority", async () => {
    const { status, body } = await enrol(request(await passFor(ENROL)));
    expect(status).toBe(201);
    expect(body).toMatchObject({ site: "north", templates: 3 });
    const member = api.members.get(String(body.memberId));
    expect(member?.pairwiseId("north")).toBe(body.pairwiseId);
    expect([...(member?.consents ?? [])]).toEqual([edge.Purpose.ENTRY]);
  });

  it("makes a member with both hands and a test card", async () => {
    const captures = [...hand(++somebody, 1), ...hand(++somebody, 2)];
    const consents = [edge.Purpose.ENTRY, edge.Purpose.PAY];
    const pass = await passFor(ENROL);
    const { status, body } = await enrol(request(pass, { captures, consents, testCard: "insufficient" }));
    expect({ status, templates: body.templates }).toEqual({ status: 201, templates: 6 });
    expect(api.members.get(String(body.memberId))?.instrument?.token).toBe("tok_insufficient");
  });

  it("keeps the phone number sealed; an operator sees its last two digits", async () => {
    const { body } = await enrol(request(await passFor(ENROL)));
    const id = String(body.memberId);
    const read = await call("GET", `/api/members/${id}`);
    expect(read.body).toMatchObject({ phoneEnding: "78" });
    expect(JSON.stringify(read.body)).not.toContain(PHONE.slice(1, -2));
    const { gallery, partition } = api.members.place(id) ?? { gallery: "", partition: 0 };
    const subject = memberSubject(gallery, partition, id);
    const event = await api.services.deps.eventLog.last(STREAMS.members, subject);
    expect(Buffer.from(event?.body ?? []).includes(PHONE.slice(1))).toBe(false);
    const enrolled = decodeMemberEvent(event?.body ?? new Uint8Array())?.enrolled;
    expect(Buffer.from(enrolled?.consentTextSha256 ?? []).toString("hex")).toBe(consentText.sha256Hex);
  });

  const wrong: [string, ApiCode, bus.SelfEnrolRequest.$Properties][] = [
    ["no consent", "BAD_REQUEST", { consents: [] }],
    ["pay without a card", "BAD_REQUEST", { consents: [edge.Purpose.PAY] }],
    ["a card that is not on the list", "BAD_REQUEST", { testCard: "tok_approve" }],
    ["a card by a name that every object has", "BAD_REQUEST", { testCard: "constructor" }],
    ["a card number", "CARD_NUMBER_REFUSED", { testCard: "4242424242424242" }],
    ["a card number as phone", "CARD_NUMBER_REFUSED", { phone: "+378282246310005" }],
    ["a longer one as phone", "CARD_NUMBER_REFUSED", { phone: "4242 4242 4242 4242" }],
    ["a phone without country", "PHONE_INVALID", { phone: "0151 2345678" }],
    ["another text", "CONSENT_TEXT_CHANGED", { consentTextSha256: new Uint8Array(32) }],
    ["no picture", "BAD_REQUEST", { captures: [] }],
    ["two pictures of a hand", "BAD_REQUEST", { captures: hand(1, 1, 2) }],
    ["four pictures of a hand", "BAD_REQUEST", { captures: hand(1, 1, 4) }],
    ["a hand that is neither", "BAD_REQUEST", { captures: hand(1, 0) }],
    ["a half second hand", "BAD_REQUEST", { captures: [...hand(1, 1), ...hand(2, 2, 1)] }],
    [
      "a picture that has to be unpacked",
      "BAD_REQUEST",
      { captures: [...hand(1, 1, 2), capture(1, { encoding: edge.Encoding.JPEG })] },
    ],
    ["blurred pictures", "LOW_QUALITY", { captures: hand(BLURRED, 1) }],
    [
      "two people's hands as one",
      "CAPTURES_DISAGREE",
      { captures: [...hand(250, 1, 2), ...hand(251, 1, 1)] },
    ],
  ];
  it("refuses what is wrong, and takes no use for it", async () => {
    const pass = await passFor(ENROL);
    const before = api.members.count();
    for (const [what, code, changed] of wrong) {
      expect(await enrol(request(pass, changed)), what).toMatchObject(refusal(code));
    }
    expect(api.members.count()).toBe(before);
    expect(await enrol(request(pass))).toMatchObject({ status: 201 });
    expect(await enrol(request(pass))).toMatchObject(refusal("PASS_USED"));
  });

  it("gives no more than the pass does", async () => {
    const pass = await passFor({ ...ENROL, consents: ["ENTRY"] });
    const pay = { consents: [edge.Purpose.PAY], testCard: "approve" };
    expect(await enrol(request(pass, pay))).toMatchObject(refusal("BAD_REQUEST"));
  });

  it("needs a pass of a person", async () => {
    expect(await enrol(request("00000-00000"))).toMatchObject(refusal("PASS_UNKNOWN"));
    expect(await enrol(request(await passFor(LANE)))).toMatchObject(refusal("PASS_WRONG_KIND"));
    expect(await enrol(Uint8Array.of(255, 255))).toMatchObject(refusal("BAD_REQUEST"));
  });

  it("refuses a palm that is a member's, however the pass is, and ends guessing with it", async () => {
    const pass = await passFor(ENROL);
    api.script.found = { ...api.script.found, candidates: [{ member: "00", similarity: 0.9 }], templates: 1 };
    for (let n = 0; n < 11; n++) {
      expect(await enrol(request(pass, { captures: hand(240, 1) }))).toMatchObject(
        refusal("DUPLICATE_MEMBER"),
      );
    }
    expect(await enrol(request(pass))).toMatchObject(refusal("PASS_USED"));
  });

  it("lets one of three in who race for the last use", async () => {
    const pass = await passFor(ENROL);
    const statuses = (await Promise.all([1, 2, 3].map(() => enrol(request(pass))))).map(
      ({ status }) => status,
    );
    expect(statuses.sort()).toEqual([201, 410, 410]);
  });

  it("is not lost on a person when no matcher confirms it in time", async () => {
    api.services.holder.status = bus.AppliedStatus.NOT_YET;
    const { status, body } = await enrol(request(await passFor(ENROL)));
    expect(status).toBe(202);
    api.script.reset();
    const { memberId, authority } = body;
    expect(await call("POST", "/api/erasures", { memberId, authority }, NOBODY)).toMatchObject({
      status: 200,
    });
  }, 20_000);
});

describe("being forgotten by one's own wish", () => {
  it("is for members too whose id looks like a card number", async () => {
    // One id in six hundred does.
    const memberId = "4242424242424242abcdefabcdefabcd";
    const authority = forgetAuthority(api.deps.masterKey).of(memberId);
    expect(await call("POST", "/api/erasures", { memberId, authority }, NOBODY)).toMatchObject(
      refusal("NOT_FOUND"),
    );
  });

  const forget = (body: object) => call("POST", "/api/erasures", body, NOBODY);

  it("erases with a receipt that says who asked, and gives the receipt again", async () => {
    const { memberId, authority } = (await enrol(request(await passFor(ENROL)))).body;
    const erased = await forget({ memberId, authority });
    expect(erased).toMatchObject({ status: 200, body: { memberId, requestedBy: "member" } });
    expect(await call("GET", `/api/members/${memberId}`)).toMatchObject(refusal("ERASED"));
    expect(await forget({ memberId, authority })).toMatchObject({ status: 200, body: { memberId } });
  });

  it("needs the authority of that very member", async () => {
    const [one, other] = await Promise.all(
      [1, 2].map(async () => (await enrol(request(await passFor(ENROL)))).body),
    );
    const refused = refusal("AUTHORITY_WRONG");
    const memberId = one?.memberId;
    for (const authority of [other?.authority, "", `${one?.authority}A`, String(one?.authority).slice(1)]) {
      expect(await forget({ memberId, authority })).toMatchObject(refused);
    }
    expect(await forget({ memberId: "0".repeat(32), authority: one?.authority })).toMatchObject(refused);
    expect(api.members.get(String(memberId))).toBeDefined();
  });
});
