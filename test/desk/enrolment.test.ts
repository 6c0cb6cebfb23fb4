// Enrolment over the API: two desks, a real ledger, a real matcher.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type bus, edge } from "../../wire/codec.js";
import type { ApiCode } from "../../wire/errors.js";
import {
  ANYBODY,
  CARD,
  capturesOf,
  type DeskRig,
  enrolBody,
  GALLERY,
  openDeskRig,
  refusal,
  somebody,
} from "./support.js";

let rig: DeskRig;
beforeAll(async () => {
  rig = await openDeskRig({ desks: 2, whole: true });
});
afterAll(() => rig?.close());

const enrol = (body: Uint8Array | object, key = randomUUID()) =>
  rig.anywhere("POST", "/api/v1/members", { body, headers: { "idempotency-key": key } });

describe("enrolment over the API", () => {
  it("answers 201 with id, place and a pseudonym for every site, and any desk knows the member at once", async () => {
    const { status, body, headers } = await enrol(enrolBody(await capturesOf(somebody())));
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { gallery: GALLERY, organisation: "acme", templates: 3 },
    });
    expect(body.memberId).toMatch(/^[0-9a-f]{32}$/);
    expect(Object.keys(body.pairwiseIds as object)).toEqual(["north", "south"]);
    for (const desk of rig.desks) {
      const read = await desk.call("GET", headers.get("location") ?? "");
      expect(read).toMatchObject({
        status: 200,
        body: { memberId: body.memberId, pairwiseIds: body.pairwiseIds },
      });
    }
  });

  it("takes JSON with base64 images as well", async () => {
    const captures = (await capturesOf(somebody())).map(({ image, widthPx, heightPx }) => ({
      encoding: "GRAY8",
      widthPx,
      heightPx,
      position: "LEFT",
      image: Buffer.from(image ?? []).toString("base64"),
    }));
    const { status, body } = await enrol({ gallery: GALLERY, captures, consents: ["ENTRY"] });
    expect(status, JSON.stringify(body)).toBe(201);
    const read = await rig.anywhere("GET", `/api/v1/members/${body.memberId}`);
    expect(read.body).toMatchObject({
      consents: ["ENTRY"],
      instrument: null,
      templates: [{ position: "LEFT" }, {}, {}],
    });
  });

  it("is the same member for the same key, at whichever desk, one after another and at once", async () => {
    const body = enrolBody(await capturesOf(somebody()));
    const key = randomUUID();
    const first = await enrol(body, key);
    const again = await Promise.all([enrol(body, key), enrol(body, key)]);
    for (const each of again)
      expect({ status: each.status, body: each.body }).toEqual({ status: 201, body: first.body });
    const atOnce = enrolBody(await capturesOf(somebody()));
    const other = randomUUID();
    const answers = await Promise.all([enrol(atOnce, other), enrol(atOnce, other), enrol(atOnce, other)]);
    expect(new Set(answers.map((each) => each.body.memberId)).size).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    const stands = await rig.anywhere("GET", `/api/v1/enrolments/${first.body.requestId}`);
    expect(stands).toMatchObject({ status: 200, body: { memberId: first.body.memberId } });
  });

  it("refuses another body under a key that was used", async () => {
    const key = randomUUID();
    const captures = await capturesOf(somebody());
    expect(await enrol(enrolBody(captures), key)).toMatchObject({ status: 201 });
    const other = enrolBody(captures, { consents: [edge.Purpose.ENTRY] });
    expect(await enrol(other, key)).toMatchObject(refusal("KEY_REUSED"));
  });

  it("tells its own key where none was sent", async () => {
    const body = enrolBody(await capturesOf(somebody()));
    const { headers } = await rig.call("POST", "/api/v1/members", { body });
    expect(headers.get("idempotency-key")).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("makes one member of one palm that comes to both desks at one moment", async () => {
    const person = somebody();
    const bodies = [enrolBody(await capturesOf(person)), enrolBody(await capturesOf(person, 1, 1))];
    const answers = await Promise.all(bodies.map((body) => enrol(body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect(answers.find(({ status }) => status === 409)).toMatchObject(refusal("DUPLICATE_MEMBER"));
  });

  it("refuses a palm that is enrolled, and goes on refusing it under the same key", async () => {
    const person = somebody();
    expect(await enrol(enrolBody(await capturesOf(person)))).toMatchObject({ status: 201 });
    const key = randomUUID();
    const body = enrolBody(await capturesOf(person, 1, 1));
    expect(await enrol(body, key)).toMatchObject(refusal("DUPLICATE_MEMBER"));
    expect(await enrol(body, key)).toMatchObject(refusal("DUPLICATE_MEMBER"));
  });

  it("takes both hands of one person", async () => {
    const captures = [...(await capturesOf(somebody(), 1)), ...(await capturesOf(somebody(), 2))];
    expect(await enrol(enrolBody(captures))).toMatchObject({ status: 201, body: { templates: 6 } });
  });

  const capture = (changed: bus.ICapture = {}): bus.ICapture => ({
    encoding: edge.Encoding.GRAY8,
    widthPx: 64,
    heightPx: 64,
    modality: edge.Modality.VISIBLE,
    position: 1,
    image: new Uint8Array(64 * 64).fill(128),
    ...changed,
  });
  const order = (changed: bus.EnrolRequest.$Properties = {}) => enrolBody([capture()], changed);
  const broken: [string, ApiCode, () => Uint8Array | object][] = [
    ["bytes that are no protobuf", "BAD_REQUEST", () => Uint8Array.of(255, 255, 255)],
    ["JSON of another shape", "BAD_REQUEST", () => ({ gallery: 7 })],
    ["no capture", "BAD_REQUEST", () => enrolBody([])],
    ["nine captures", "BAD_REQUEST", () => enrolBody(Array.from({ length: 9 }, () => capture()))],
    ["no consent", "BAD_REQUEST", () => order({ consents: [] })],
    ["an unknown consent", "BAD_REQUEST", () => order({ consents: [77] })],
    ["a consent twice", "BAD_REQUEST", () => order({ consents: [1, 1] })],
    ["pay without an instrument", "BAD_REQUEST", () => order({ instrument: null })],
    ["a token with odd letters", "BAD_REQUEST", () => order({ instrument: { ...CARD, token: "a b" } })],
    ["another gallery", "GALLERY_UNKNOWN", () => order({ gallery: "elsewhere" })],
    [
      "a card number as token",
      "CARD_NUMBER_REFUSED",
      () => order({ instrument: { ...CARD, token: "4242424242424242" } }),
    ],
    ["an image of another size", "BAD_IMAGE", () => enrolBody([capture({ widthPx: 65 })])],
    [
      "an image that does not decode",
      "BAD_IMAGE",
      () => enrolBody([capture({ encoding: edge.Encoding.PNG })]),
    ],
    ["a flat grey image", "LOW_QUALITY", () => order()],
  ];
  it.each(broken)("refuses %s: %s", async (_what, code, body) => {
    expect(await enrol(body())).toMatchObject(refusal(code));
  });

  it("refuses two hands as one", async () => {
    const [right] = await capturesOf(somebody());
    const [other] = await capturesOf(somebody());
    expect(await enrol(enrolBody([right ?? {}, other ?? {}]))).toMatchObject(refusal("CAPTURES_DISAGREE"));
  });

  it("names the fields that are wrong, and never what was sent", async () => {
    const { body } = await enrol({ gallery: "UPPER", captures: [], consents: ["FLY"] });
    expect((body.fields as { field: string }[]).map(({ field }) => field).sort()).toEqual([
      "captures",
      "consents.0",
      "gallery",
    ]);
    expect(JSON.stringify(body)).not.toMatch(/UPPER|FLY/);
  });

  it("is for operators", async () => {
    const body = order();
    expect(await rig.call("POST", "/api/v1/members", { body, ...ANYBODY })).toMatchObject(
      refusal("UNAUTHORISED"),
    );
  });
});

it("keeps nothing of an enrolment in the log but what is sealed", async () => {
  const [capture] = await capturesOf(somebody());
  const image = Buffer.from(capture?.image ?? []);
  const sagas = await rig.eventLog.lastPerSubject("SAGAS", "sagas.>");
  expect(sagas.length).toBeGreaterThan(0);
  for (const { body } of sagas) expect(Buffer.from(body).includes(image.subarray(0, 64))).toBe(false);
});
