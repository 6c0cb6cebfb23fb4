import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import {
  decodeMemberEvent,
  destroyMember,
  type Enrolment,
  fetchDataKey,
  keySubjectOf,
  memberSubjectOf,
  openProfile,
  openTemplate,
  storeMember,
} from "../../records/index.js";
import { newSealKey } from "../../wire/seal.js";
import { changedLog, crashingLog, losingLog } from "./support/changed-log.js";
import { DIMENSION, enrolmentOf } from "./support/members.js";
import { newKeyring, openRig, type Rig } from "./support/rig.js";

describe("the durable part of an enrolment", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  const stored = async (enrolment: Enrolment) => ({
    keys: await rig.eventLog.all("KEYS", keySubjectOf(enrolment)),
    members: await rig.eventLog.all("MEMBERS", memberSubjectOf(enrolment)),
  });
  const keyOf = async (enrolment: Enrolment) => {
    const fetched = await fetchDataKey(rig.eventLog, rig.keyring, enrolment);
    return fetched.ok ? fetched.key : newSealKey();
  };

  it("puts the key, wrapped, and the sealed member into the log", async () => {
    const enrolment = enrolmentOf("main");
    const outcome = await storeMember(rig.eventLog, rig.keyring, enrolment);
    const { keys, members } = await stored(enrolment);
    expect([keys.length, members.length]).toEqual([1, 1]);
    expect(outcome).toEqual({ ok: true, sequence: members[0]?.sequence });
    const key = await keyOf(enrolment);
    const event = decodeMemberEvent(members[0]?.body ?? new Uint8Array());
    expect(event).toMatchObject({ organisation: "acme", gallery: "main" });
    const templates = event?.enrolled?.templates ?? [];
    expect(templates.map(({ modelId, index, position }) => [modelId, index, position])).toEqual([
      ["model-1", 0, 1],
      ["model-1", 1, 2],
    ]);
    const opened = templates.map((each) =>
      openTemplate(key, enrolment, each, DIMENSION, TEMPLATE_CODE_WORDS),
    );
    expect(opened).toEqual(enrolment.templates.map(({ signature }) => signature));
    expect(openProfile(key, enrolment, event?.enrolled?.profile)).toMatchObject(enrolment.profile);
  });

  it("lets nothing of signature, instrument, contact or key into the log in the clear", async () => {
    const enrolment = enrolmentOf("main");
    await storeMember(rig.eventLog, rig.keyring, enrolment);
    const { keys, members } = await stored(enrolment);
    const bodies = [...keys, ...members].map(({ body }) => Buffer.from(body));
    const key = await keyOf(enrolment);
    const secrets = [
      Buffer.from("tok_approve"),
      Buffer.from("4915112345678"),
      Buffer.from(key),
      ...enrolment.templates.flatMap(({ signature }) => [
        Buffer.from(signature.vector.buffer, 0, 16),
        Buffer.from(signature.lines.buffer, 0, 16),
        Buffer.from(signature.codes.buffer, 0, 16),
      ]),
    ];
    expect(bodies.some((body) => secrets.some((secret) => body.includes(secret)))).toBe(false);
    expect(bodies[1]?.length).toBeGreaterThan(500);
  });

  it("opens under its own master key and organisation only", async () => {
    const enrolment = enrolmentOf("main");
    await storeMember(rig.eventLog, rig.keyring, enrolment);
    expect(await fetchDataKey(rig.eventLog, newKeyring(), enrolment)).toEqual({
      ok: false,
      code: "UNOPENED",
    });
    const elsewhere = { ...enrolment, organisation: "other" };
    expect(await fetchDataKey(rig.eventLog, rig.keyring, elsewhere)).toEqual({
      ok: false,
      code: "DESTROYED",
    });
  });

  it("stores one key and one member, however often it is repeated and however many drive it at once", async () => {
    const enrolment = enrolmentOf("main");
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => storeMember(rig.eventLog, rig.keyring, enrolment)),
    );
    const again = await storeMember(rig.eventLog, rig.keyring, enrolment);
    expect(new Set([...outcomes, again].map((each) => each.ok && each.sequence)).size).toBe(1);
    const { keys, members } = await stored(enrolment);
    expect([keys.length, members.length]).toEqual([1, 1]);
    const templates = decodeMemberEvent(members[0]?.body ?? new Uint8Array())?.enrolled?.templates ?? [];
    const key = await keyOf(enrolment);
    const opened = templates.map((each) =>
      openTemplate(key, enrolment, each, DIMENSION, TEMPLATE_CODE_WORDS),
    );
    expect(opened).not.toContain(undefined);
  });

  it("goes on to the same end after a crash at any step, or a lost answer", async () => {
    for (const broken of [
      crashingLog(rig.eventLog, 0),
      crashingLog(rig.eventLog, 1),
      losingLog(rig.eventLog, "keys.", "answer"),
      losingLog(rig.eventLog, "members.", "answer"),
      losingLog(rig.eventLog, "members.", "append"),
    ]) {
      const enrolment = enrolmentOf("main");
      expect(await storeMember(broken, rig.keyring, enrolment)).toMatchObject({ code: "LOG_UNAVAILABLE" });
      const outcome = await storeMember(rig.eventLog, rig.keyring, enrolment);
      const { keys, members } = await stored(enrolment);
      expect([keys.length, members.length, outcome]).toEqual([
        1,
        1,
        { ok: true, sequence: members[0]?.sequence },
      ]);
      const [template] = decodeMemberEvent(members[0]?.body ?? new Uint8Array())?.enrolled?.templates ?? [];
      const key = await keyOf(enrolment);
      expect(openTemplate(key, enrolment, template ?? {}, DIMENSION, TEMPLATE_CODE_WORDS)).toBeDefined();
    }
  });

  it("stores the key first, and nothing where the organisation has none", async () => {
    const enrolment = enrolmentOf("main");
    const order: string[] = [];
    const watching = changedLog(rig.eventLog, {
      append: (...call) => {
        order.push(call[0].split(".", 1)[0] ?? "");
        return rig.eventLog.append(...call);
      },
    });
    await storeMember(watching, rig.keyring, enrolment);
    expect(order).toEqual(["keys", "members"]);
    const stranger = enrolmentOf("main", "unknown");
    expect(await storeMember(rig.eventLog, rig.keyring, stranger)).toMatchObject({
      ok: false,
      code: "NO_KEY",
    });
    expect(await stored(stranger)).toEqual({ keys: [], members: [] });
  });

  it("never brings an erased member back", async () => {
    const enrolment = enrolmentOf("main");
    await storeMember(rig.eventLog, rig.keyring, enrolment);
    await destroyMember(rig.eventLog, enrolment, "member");
    expect(await storeMember(rig.eventLog, rig.keyring, enrolment)).toMatchObject({
      ok: false,
      code: "ERASED",
    });
    const { keys, members } = await stored(enrolment);
    expect(keys).toEqual([]);
    expect(members.map(({ body }) => decodeMemberEvent(body)?.body)).toEqual(["erased"]);
  });
});
