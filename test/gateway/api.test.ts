// The operator API over real HTTP and a real log.
import { createPublicKey } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ApiGatewayDeps, registerApi } from "../../gateway/api/api.js";
import type { MemberDirectory } from "../../gateway/members/members.js";
import { openApp } from "../../gateway/transport.js";
import {
  PROBE_CODE_WORDS,
  PROBE_LINES_WORDS,
  TEMPLATE_CODE_WORDS,
  TEMPLATE_LINES_WORDS,
} from "../../palm/index.js";
import { decodeMemberEvent, erased, verifyReceipt } from "../../records/index.js";
import { bus, edge, encode } from "../../wire/codec.js";
import type { ApiCode } from "../../wire/errors.js";
import { keySubject, memberSubject, STREAMS } from "../../wire/subjects.js";
import { randomProbe, seeded } from "../matcher/support/vectors.js";
import {
  BLURRED,
  BROKEN,
  capture,
  openTestApi,
  refusal,
  type Script,
  type TestApi,
  TOKEN,
} from "./api.support.js";
import { eventually, GALLERY, type Services } from "./members.support.js";

const CARD = { processor: "sandbox", token: "tok_approve", brand: "visa", last4: "4242" };

let api: TestApi;
let services: Services;
let members: MemberDirectory;
let deps: ApiGatewayDeps;
let port: number;
let script: Script;
let call: TestApi["call"];

beforeAll(async () => {
  api = await openTestApi();
  ({ services, members, deps, port, script, call } = api);
});
beforeEach(() => script.reset());
afterAll(() => api.close());

const order = (who: number, changed: bus.EnrolRequest.$Properties = {}): Uint8Array =>
  encode(bus.EnrolRequest, {
    gallery: GALLERY,
    captures: [capture(who), capture(who)],
    consents: [edge.Purpose.ENTRY, edge.Purpose.PAY],
    instrument: CARD,
    ...changed,
  });

const enrol = (body: Uint8Array) => call("POST", "/api/members", body);
let somebody = 0;
const { lines: lineMaps, codes } = randomProbe(seeded(1), 1);
const enrolled = async () => String((await enrol(order(++somebody))).body.memberId);
describe("enrolment over the API", () => {
  it("answers 201 with id, place and a pseudonym for every site", async () => {
    const answer = await enrol(order(++somebody));
    expect(answer).toMatchObject({ status: 201, body: { gallery: GALLERY, templates: 2 } });
    const { memberId, pairwiseIds } = answer.body as {
      memberId: string;
      pairwiseIds: Record<string, string>;
    };
    expect(memberId).toMatch(/^[0-9a-f]{32}$/);
    expect(Object.keys(pairwiseIds)).toEqual(["north", "south"]);
    expect(members.get(memberId)?.pairwiseId("north")).toBe(pairwiseIds.north);
  });

  const broken: [string, ApiCode, () => Uint8Array][] = [
    ["bytes that are no protobuf", "BAD_REQUEST", () => Uint8Array.of(255, 255, 255)],
    ["no capture", "BAD_REQUEST", () => order(1, { captures: [] })],
    [
      "nine captures",
      "BAD_REQUEST",
      () => order(1, { captures: Array.from({ length: 9 }, () => capture(1)) }),
    ],
    ["no consent", "BAD_REQUEST", () => order(1, { consents: [] })],
    ["an unknown consent", "BAD_REQUEST", () => order(1, { consents: [77] })],
    ["pay without an instrument", "BAD_REQUEST", () => order(1, { instrument: null })],
    ["a token with odd letters", "BAD_REQUEST", () => order(1, { instrument: { ...CARD, token: "a b" } })],
    ["another gallery", "GALLERY_UNKNOWN", () => order(1, { gallery: "elsewhere" })],
    [
      "a card number as token",
      "CARD_NUMBER_REFUSED",
      () => order(1, { instrument: { ...CARD, token: "4242424242424242" } }),
    ],
    [
      "a card number as brand",
      "CARD_NUMBER_REFUSED",
      () => order(1, { instrument: { ...CARD, brand: "4242 4242 4242 4242" } }),
    ],
    ["an image of another size", "BAD_IMAGE", () => order(1, { captures: [capture(1, { widthPx: 65 })] })],
    ["an image that does not decode", "BAD_IMAGE", () => order(BROKEN)],
    ["a blurred image", "LOW_QUALITY", () => order(BLURRED)],
    ["two hands as one", "CAPTURES_DISAGREE", () => order(1, { captures: [capture(1), capture(2)] })],
  ];
  it.each(broken)("refuses %s: %s", async (_what, code, body) => {
    const before = members.count();
    expect(await enrol(body())).toMatchObject(refusal(code));
    expect(members.count()).toBe(before);
  });

  it("takes both hands of one person", async () => {
    const hands = [capture(++somebody), capture(++somebody, { position: 2 })];
    expect(await enrol(order(0, { captures: hands }))).toMatchObject({ status: 201 });
  });

  it("records of each capture the vector and the first of its line maps and codes", async () => {
    script.lines = lineMaps;
    script.codes = codes;
    const { body } = await enrol(order(++somebody));
    expect(body).toMatchObject({ templates: 2 });
    const id = String(body.memberId);
    const { partition = 0 } = members.place(id) ?? {};
    const event = await services.deps.eventLog.last(STREAMS.members, memberSubject(GALLERY, partition, id));
    const templates = decodeMemberEvent(event?.body ?? new Uint8Array())?.enrolled?.templates ?? [];
    // Sealed: as long as what is in it and the tag.
    const wanted = 256 * 4 + TEMPLATE_LINES_WORDS * 4 + TEMPLATE_CODE_WORDS * 4 + 16;
    expect(templates.map(({ signature }) => signature?.ciphertext?.length)).toEqual([wanted, wanted]);
  });

  it.each([
    ["enrols", 201, []],
    ["refuses", 409, [{ member: "00", similarity: 0.9 }]],
  ])("keeps nothing of the captures that it %s", async (_what, status, candidates) => {
    script.lines = lineMaps;
    script.codes = codes;
    script.found = { ...script.found, candidates };
    expect(await enrol(order(++somebody))).toMatchObject({ status });
    expect(script.signed).toHaveLength(2);
    for (const { vector, lines, codes } of script.signed) {
      expect(vector).toEqual(new Float32Array(256));
      expect(lines).toEqual(new Uint32Array(PROBE_LINES_WORDS));
      expect(codes).toEqual(new Uint32Array(PROBE_CODE_WORDS));
    }
  });

  it("refuses a palm that the matchers know", async () => {
    script.found = { ...script.found, candidates: [{ member: "00", similarity: 0.9 }], templates: 10 };
    expect(await enrol(order(200))).toMatchObject(refusal("DUPLICATE_MEMBER"));
  });

  it("enrols nobody while a partition is missing", async () => {
    script.found = { ...script.found, complete: false, missing: [2] };
    const answer = await enrol(order(200));
    expect(answer).toMatchObject(refusal("BUSY"));
    expect(answer.headers.get("retry-after")).toBe("1");
  });

  it("enrols one palm once when two requests bring it at the same time", async () => {
    const answers = await Promise.all([enrol(order(201)), enrol(order(201)), enrol(order(201))]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
  });

  it("says STORE_FULL when a matcher does, and keeps nothing", async () => {
    const before = members.count();
    services.holder.status = bus.AppliedStatus.STORE_FULL;
    expect(await enrol(order(202))).toMatchObject(refusal("STORE_FULL"));
    services.holder.status = bus.AppliedStatus.APPLIED;
    await enrolled();
    expect(members.count()).toBe(before + 1);
  });

  it("turns away what neither fits in nor may wait, and serves the rest", async () => {
    let go = () => {};
    script.signing = new Promise((resolve) => {
      go = resolve;
    });
    const many = Array.from({ length: 80 }, (_, index) => enrol(order(100 + index)));
    const firstAnswer = await Promise.race(many);
    expect(firstAnswer).toMatchObject(refusal("BUSY"));
    go();
    const statuses = (await Promise.all(many)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(8 + 64);
    expect(statuses.filter((status) => status === 503)).toHaveLength(80 - 72);
  });
});

describe("a member over the API", () => {
  it("is read without its token", async () => {
    const id = await enrolled();
    const answer = await call("GET", `/api/members/${id}`);
    expect(answer).toMatchObject({
      status: 200,
      body: { memberId: id, consents: ["ENTRY", "PAY"], instrument: { brand: "visa", last4: "4242" } },
    });
    expect(JSON.stringify(answer.body)).not.toContain("tok_approve");
  });

  it("changes consents and instrument, and the next presentation obeys", async () => {
    const id = await enrolled();
    expect(await call("PUT", `/api/members/${id}/consents`, { consents: ["ENTRY"] })).toMatchObject({
      status: 200,
      body: { consents: ["ENTRY"] },
    });
    expect([...(members.get(id)?.consents ?? [])]).toEqual([edge.Purpose.ENTRY]);
    expect(await call("PUT", `/api/members/${id}/consents`, { consents: [] })).toMatchObject({ status: 200 });
    const card = { ...CARD, token: "tok_decline", last4: "0001" };
    expect(await call("PUT", `/api/members/${id}/instrument`, card)).toMatchObject({ status: 200 });
    expect(members.get(id)?.instrument).toEqual(card);
  });

  it.each<[string, object | Uint8Array, ApiCode]>([
    ["consents", { consents: ["FLY"] }, "BAD_REQUEST"],
    ["consents", { consents: [1, "__proto__"] }, "BAD_REQUEST"],
    ["consents", Buffer.from("4242424242424242 {"), "BAD_REQUEST"],
    ["consents", [], "BAD_REQUEST"],
    ["instrument", { ...CARD, last4: "42" }, "BAD_REQUEST"],
    ["instrument", { ...CARD, token: "4242-4242-4242-4242" }, "CARD_NUMBER_REFUSED"],
    ["instrument", { ...CARD, note: { number: 4242424242424242 } }, "CARD_NUMBER_REFUSED"],
    ["instrument", Buffer.alloc(5000, " "), "TOO_LARGE"],
  ])("refuses %s %j: %s", async (what, body, code) => {
    const id = await enrolled();
    const answer = await call("PUT", `/api/members/${id}/${what}`, body);
    expect(answer).toMatchObject(refusal(code));
    expect(JSON.stringify(answer.body)).not.toContain("4242");
  });

  it("is unknown when it never was, under any kind of id", async () => {
    for (const id of ["0".repeat(32), "x", "..%2f..", "A".repeat(32)]) {
      expect(await call("GET", `/api/members/${id}`)).toMatchObject(refusal("NOT_FOUND"));
      expect(await call("DELETE", `/api/members/${id}`)).toMatchObject(refusal("NOT_FOUND"));
    }
  });

  it("bounds the pages of a history", async () => {
    const id = await enrolled();
    expect(await call("GET", `/api/members/${id}/history`)).toMatchObject({
      status: 200,
      body: { uses: [] },
    });
    for (const query of ["limit=0", "limit=201", "limit=x", "before=../.."]) {
      expect(await call("GET", `/api/members/${id}/history?${query}`)).toMatchObject(refusal("BAD_REQUEST"));
    }
  });
});

describe("erasure over the API", () => {
  it("answers with a receipt that verifies, then knows nobody any more; asked again, with a receipt again", async () => {
    const id = await enrolled();
    const erased = await call("DELETE", `/api/members/${id}`);
    expect(erased.status).toBe(200);
    const { publicKey, keyId } = (await call("GET", "/api/receipt-key", undefined, "")).body;
    const spki = Buffer.concat([
      Buffer.from("302a300506032b6570032100", "hex"),
      Buffer.from(String(publicKey), "base64"),
    ]);
    const trusted = createPublicKey({ key: spki, format: "der", type: "spki" });
    expect(verifyReceipt([trusted], erased.body)).toMatchObject({
      ok: true,
      receipt: { memberId: id, signingKeyId: keyId },
    });
    expect(await call("GET", `/api/members/${id}`)).toMatchObject(refusal("ERASED"));
    expect(await call("PUT", `/api/members/${id}/consents`, { consents: ["ENTRY"] })).toMatchObject(
      refusal("ERASED"),
    );
    const again = await call("DELETE", `/api/members/${id}`);
    expect(verifyReceipt([trusted], again.body)).toMatchObject({ ok: true });
  });

  it("is pending while a matcher has not confirmed, and done when it has", async () => {
    const id = await enrolled();
    services.holder.status = bus.AppliedStatus.NOT_YET;
    expect(await call("DELETE", `/api/members/${id}`)).toMatchObject(refusal("ERASURE_PENDING"));
    services.holder.status = bus.AppliedStatus.APPLIED;
    expect(await call("DELETE", `/api/members/${id}`)).toMatchObject({ status: 200 });
  });
});

describe("an erasure that a crash interrupted", () => {
  it("is finished by the next gateway that starts, without being asked", async () => {
    const id = await enrolled();
    const { gallery, partition } = members.place(id) ?? { gallery: "", partition: 0 };
    const place = { memberId: Buffer.from(id, "hex"), gallery, partition };
    // All that was done before the crash: the intent is in the log.
    await services.deps.eventLog.append(
      memberSubject(gallery, partition, id),
      erased(place, { requestedBy: "operator", keySequences: [], memberSequences: [] }),
      { messageId: `erase:${gallery}.${id}` },
    );
    const key = () => services.deps.eventLog.last(STREAMS.keys, keySubject(gallery, partition, id));
    expect(await key()).toBeDefined();
    const next = openApp(undefined);
    const nextApi = registerApi(next, deps);
    await eventually(key, (found) => found === undefined);
    await nextApi.close();
    next.close();
  });
});

describe("the front door of the API", () => {
  it.each(["", "wrong", `${TOKEN}x`])("lets nobody in with the token %j", async (token) => {
    expect(await call("GET", "/api/status", undefined, token)).toMatchObject(refusal("UNAUTHORISED"));
    expect(await call("POST", "/api/members", order(1), token)).toMatchObject(refusal("UNAUTHORISED"));
  });

  it("tells the status, and 404 for what is not there", async () => {
    expect(await call("GET", "/api/status")).toMatchObject({ status: 200, body: { modelId: "m" } });
    expect(await call("GET", "/api/nothing")).toMatchObject(refusal("NOT_FOUND"));
    expect(await call("PATCH", "/api/members/x")).toMatchObject(refusal("NOT_FOUND"));
  });

  it("refuses a body that says it is too large before it is sent, and closes", async () => {
    const text = await raw(
      `POST /api/members HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 99999999\r\n\r\n`,
    );
    expect(text).toContain("413");
    expect(text).toContain("TOO_LARGE");
  });

  it("lives on when a client goes away in the middle of its body", async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write(
          `POST /api/members HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 1000\r\n\r\nabc`,
          () => socket.destroy(),
        );
      });
      socket.on("close", () => resolve());
    });
    expect(await call("GET", "/api/status")).toMatchObject({ status: 200 });
  });

  it("finishes what a client asked for and did not wait to hear", async () => {
    const before = members.count();
    const body = order(203);
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write(
          `POST /api/members HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${body.length}\r\n\r\n`,
        );
        socket.write(body, () => socket.destroy());
      });
      socket.on("close", () => resolve());
    });
    await eventually(
      () => members.count(),
      (count) => count === before + 1,
    );
  });
});

/** Sends bytes and reads until the other side closes. */
function raw(request: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("close", () => resolve(text));
  });
}
