import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  decodeMemberEvent,
  destroyMember,
  type Enrolment,
  keySubjectOf,
  memberSubjectOf,
  profileChanged,
  sealProfile,
  storeMember,
} from "../../records/index.js";
import { toHex } from "../../wire/hex.js";
import { newSealKey } from "../../wire/seal.js";
import { shardOf } from "../../wire/shard.js";
import { changedLog, crashingLog } from "./support/changed-log.js";
import { enrolmentOf } from "./support/members.js";
import { openRig, type Rig } from "./support/rig.js";

describe("erasure from the log", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  const enrolled = async () => {
    const enrolment = enrolmentOf("main");
    const outcome = await storeMember(rig.eventLog, rig.keyring, enrolment);
    if (!outcome.ok) throw new Error(outcome.detail);
    return {
      enrolment,
      sequence: outcome.sequence,
      key: keySubjectOf(enrolment),
      member: memberSubjectOf(enrolment),
    };
  };
  const changed = (enrolment: Enrolment) =>
    profileChanged(enrolment, sealProfile(newSealKey(), enrolment, { consents: [1] }));
  const kindsLeft = async (member: string) =>
    (await rig.eventLog.all("MEMBERS", member)).map(({ body }) => decodeMemberEvent(body)?.body);

  it("leaves nothing of the member in the log but Erased, and says what it destroyed", async () => {
    const { enrolment, key, member, sequence } = await enrolled();
    const change = await rig.eventLog.append(member, changed(enrolment));
    const keySequence = (await rig.eventLog.last("KEYS", key))?.sequence;
    const outcome = await destroyMember(rig.eventLog, enrolment, "operator");
    const last = await rig.eventLog.last("MEMBERS", member);
    expect(outcome).toEqual({
      ok: true,
      destruction: {
        organisation: "acme",
        gallery: "main",
        shard: shardOf(enrolment.memberId),
        memberId: toHex(enrolment.memberId),
        requestedBy: "operator",
        erasedAtUnixMs: last?.atUnixMs,
        erasedSequence: last?.sequence,
        keySequences: [keySequence],
        memberSequences: [sequence, change.ok ? change.sequence : -1],
      },
    });
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
    expect(await kindsLeft(member)).toEqual(["erased"]);
  });

  it("gives the same facts however often it is asked, and by whomever", async () => {
    const { enrolment, member } = await enrolled();
    const first = await destroyMember(rig.eventLog, enrolment, "member");
    const again = await Promise.all(
      ["operator", "policy", "member"].map((by) => destroyMember(rig.eventLog, enrolment, by)),
    );
    expect(again).toEqual([first, first, first]);
    expect(await kindsLeft(member)).toEqual(["erased"]);
  });

  it("declares one intent although many ask at once, and while the profile changes", async () => {
    const { enrolment, key, member, sequence } = await enrolled();
    const body = changed(enrolment);
    const outcomes = await Promise.all([
      ...Array.from({ length: 5 }, () => destroyMember(rig.eventLog, enrolment, "operator")),
      ...Array.from({ length: 3 }, () =>
        rig.eventLog.append(member, body, { expectedSubjectSequence: sequence }),
      ),
    ]);
    expect(outcomes.slice(0, 5).every(({ ok }) => ok)).toBe(true);
    expect(await kindsLeft(member)).toEqual(["erased"]);
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
  });

  it("fences a change that was made on top of what it erased", async () => {
    const { enrolment, member, sequence } = await enrolled();
    await destroyMember(rig.eventLog, enrolment, "operator");
    const late = await rig.eventLog.append(member, changed(enrolment), { expectedSubjectSequence: sequence });
    expect(late).toMatchObject({ ok: false, code: "CONFLICT" });
  });

  it("is NOT_FOUND for a member that the log does not know, and takes away a key without a member", async () => {
    expect(await destroyMember(rig.eventLog, enrolmentOf("nobody"), "operator")).toMatchObject({
      ok: false,
      code: "NOT_FOUND",
    });
    const given = enrolmentOf("main");
    await storeMember(crashingLog(rig.eventLog, 1), rig.keyring, given);
    expect(await rig.eventLog.all("KEYS", keySubjectOf(given))).toHaveLength(1);
    expect(await destroyMember(rig.eventLog, given, "operator")).toMatchObject({ code: "NOT_FOUND" });
    expect(await rig.eventLog.all("KEYS", keySubjectOf(given))).toEqual([]);
  });

  it("goes on to the same end after a crash at any step", async () => {
    for (let after = 0; after <= 3; after++) {
      const { enrolment, key, member } = await enrolled();
      const crashed = await destroyMember(crashingLog(rig.eventLog, after), enrolment, "operator");
      expect(crashed.ok).toBe(after === 3);
      const outcome = await destroyMember(rig.eventLog, enrolment, "resumed");
      const requestedBy = after === 0 ? "resumed" : "operator";
      expect(outcome).toMatchObject({ ok: true, destruction: { requestedBy } });
      expect(outcome.ok && outcome.destruction.keySequences).toHaveLength(1);
      expect(outcome.ok && outcome.destruction.memberSequences).toHaveLength(1);
      expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
      expect(await kindsLeft(member)).toEqual(["erased"]);
    }
  });

  it("destroys nothing while the log does not take the intent, and everything once it does", async () => {
    const { enrolment, key, member } = await enrolled();
    const refusing = changedLog(rig.eventLog, {
      append: async () => ({ ok: false, code: "STORE_FULL", detail: "no room" }),
    });
    expect(await destroyMember(refusing, enrolment, "operator")).toMatchObject({ code: "STORE_FULL" });
    expect(await rig.eventLog.last("KEYS", key)).toBeDefined();
    expect(await kindsLeft(member)).toEqual(["enrolled"]);
    const outcome = await destroyMember(rig.eventLog, enrolment, "operator");
    expect(outcome.ok && outcome.destruction.keySequences).toHaveLength(1);
  });

  it("tells LOG_UNAVAILABLE from a member that is not there", async () => {
    const { enrolment } = await enrolled();
    const nc = await rig.connect();
    const { openEventLog } = await import("../../records/index.js");
    const eventLog = await openEventLog(nc);
    await nc.close();
    expect(await destroyMember(eventLog, enrolment, "operator")).toMatchObject({ code: "LOG_UNAVAILABLE" });
    expect(await destroyMember(eventLog, enrolmentOf("nobody"), "operator")).toMatchObject({
      code: "LOG_UNAVAILABLE",
    });
  });
});
