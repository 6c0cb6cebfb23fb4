import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  consentChanged,
  decodeMemberEvent,
  type Enrolment,
  type EventLog,
  enrolMember,
  eraseMember,
  newDataKey,
  resumeErasures,
} from "../../records/index.js";
import { toHex } from "../../wire/partition.js";
import { keySubject, memberSubject } from "../../wire/subjects.js";
import { enrolmentOf } from "./support/members.js";
import { log, openRig, type Rig } from "./support/rig.js";
import { type FakeWorker, fakeWorker } from "./support/worker.js";

describe("erasure", () => {
  let rig: Rig;
  let workers: FakeWorker[] = [];
  let count = 0;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(() => {
    for (const worker of workers) worker.leave();
    workers = [];
  });
  afterAll(() => rig.close());

  const masterKey = newDataKey();
  const deps = (eventLog: EventLog = rig.eventLog) => ({
    nc: rig.nc,
    eventLog,
    log,
    masterKey,
    appliedWaitMs: 400,
  });
  const worker = async (enrolment: Enrolment, workerId: string, answer: Parameters<typeof fakeWorker>[2]) => {
    const { gallery, partition } = enrolment;
    const each = await fakeWorker(rig.nc, { gallery, partition, workerId }, answer);
    workers.push(each);
    return each;
  };
  const enrolled = async () => {
    const enrolment = enrolmentOf(`x${count++}`);
    const holder = await worker(enrolment, "w1", "APPLIED");
    const outcome = await enrolMember(deps(), enrolment);
    if (!outcome.ok) throw new Error(outcome.detail);
    const { gallery, partition, memberId } = enrolment;
    return {
      enrolment,
      holder,
      sequence: outcome.sequence,
      key: keySubject(gallery, partition, toHex(memberId)),
      member: memberSubject(gallery, partition, toHex(memberId)),
    };
  };
  const request = (enrolment: Enrolment, holders = 1) => ({ ...enrolment, requestedBy: "operator", holders });
  const kindsLeft = async (member: string) =>
    (await rig.eventLog.all("MEMBERS", member)).map(({ body }) => decodeMemberEvent(body)?.body);

  /** The log until a crash: the call number `after` and every later one that changes it fail. */
  const crashing = (after: number): EventLog => {
    let calls = 0;
    const alive = () => calls++ < after;
    return {
      append: async (...call) =>
        alive() ? rig.eventLog.append(...call) : { ok: false, code: "LOG_UNAVAILABLE", detail: "crash" },
      secureDelete: async (...call) =>
        alive()
          ? rig.eventLog.secureDelete(...call)
          : { ok: false, code: "LOG_UNAVAILABLE", detail: "crash" },
      last: (...call) => rig.eventLog.last(...call),
      all: (...call) => rig.eventLog.all(...call),
      lastSequence: (...call) => rig.eventLog.lastSequence(...call),
      follow: (...call) => rig.eventLog.follow(...call),
    };
  };

  it("leaves nothing of the member in the log but Erased, and says what it destroyed and who confirmed", async () => {
    const { enrolment, holder, key, member, sequence } = await enrolled();
    const consent = await rig.eventLog.append(member, consentChanged(enrolment, [1]));
    const keySequence = (await rig.eventLog.last("KEYS", key))?.sequence;
    const outcome = await eraseMember(deps(), request(enrolment));
    const erasedSequence = (await rig.eventLog.last("MEMBERS", member))?.sequence;
    expect(outcome).toEqual({
      ok: true,
      erasure: {
        gallery: enrolment.gallery,
        partition: 0,
        memberId: toHex(enrolment.memberId),
        requestedBy: "operator",
        erasedAtUnixMs: expect.any(Number),
        erasedSequence,
        keySequences: [keySequence],
        memberSequences: [sequence, consent.ok ? consent.sequence : -1],
        workers: ["w1"],
      },
    });
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
    expect(await kindsLeft(member)).toEqual(["erased"]);
    const asked = holder.requests.at(-1);
    expect(asked?.streamSequence).toBe(erasedSequence);
    expect(toHex(asked?.erasedMemberId ?? new Uint8Array())).toBe(toHex(enrolment.memberId));
  });

  it("gives the same facts however often it is asked", async () => {
    const { enrolment, member } = await enrolled();
    const first = await eraseMember(deps(), request(enrolment));
    const again = await Promise.all([1, 2, 3].map(() => eraseMember(deps(), request(enrolment))));
    expect(again).toEqual([first, first, first]);
    expect(await kindsLeft(member)).toEqual(["erased"]);
  });

  it("declares one intent although many ask at once, and while consents change", async () => {
    const { enrolment, key, member } = await enrolled();
    const outcomes = await Promise.all([
      ...Array.from({ length: 5 }, () => eraseMember(deps(), request(enrolment))),
      ...Array.from({ length: 3 }, () => rig.eventLog.append(member, consentChanged(enrolment, [2]))),
    ]);
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    const kinds = await kindsLeft(member);
    expect(kinds.filter((kind) => kind === "erased")).toHaveLength(1);
    expect(kinds).not.toContain("enrolled");
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
  });

  it("is NOT_FOUND for a member that the log does not know", async () => {
    expect(await eraseMember(deps(), request(enrolmentOf("nobody")))).toMatchObject({
      ok: false,
      code: "NOT_FOUND",
    });
  });

  it("stays pending, its key destroyed, until every holder has confirmed", async () => {
    const { enrolment, key } = await enrolled();
    await worker(enrolment, "w2", "silent");
    expect(await eraseMember(deps(), request(enrolment, 2))).toMatchObject({ code: "ERASURE_PENDING" });
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
    workers.pop()?.leave();
    await worker(enrolment, "w2", "APPLIED");
    const outcome = await eraseMember(deps(), request(enrolment, 2));
    expect(outcome.ok && new Set(outcome.erasure.workers)).toEqual(new Set(["w1", "w2"]));
  });

  it("stays pending while nobody holds the partition, and while an index still finds the member", async () => {
    const { enrolment } = await enrolled();
    workers.pop()?.leave();
    expect(await eraseMember(deps(), request(enrolment, 0))).toMatchObject({ code: "ERASURE_PENDING" });
    await worker(enrolment, "w1", "STILL_PRESENT");
    expect(await eraseMember(deps(), request(enrolment))).toMatchObject({
      code: "ERASURE_PENDING",
      detail: expect.stringContaining("bug"),
    });
    workers.pop()?.leave();
    await worker(enrolment, "w1", "STORE_FULL");
    expect(await eraseMember(deps(), request(enrolment))).toMatchObject({ code: "STORE_FULL" });
  });

  it("goes on to the same end after a crash at any step", async () => {
    for (let after = 0; after <= 3; after++) {
      const { enrolment, key, member } = await enrolled();
      const crashed = await eraseMember(deps(crashing(after)), request(enrolment));
      expect(crashed.ok).toBe(after === 3);
      const outcome = await eraseMember(deps(), request(enrolment));
      expect(outcome).toMatchObject({ ok: true, erasure: { requestedBy: "operator" } });
      expect(outcome.ok && outcome.erasure.keySequences).toHaveLength(1);
      expect(outcome.ok && outcome.erasure.memberSequences).toHaveLength(1);
      expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
      expect(await kindsLeft(member)).toEqual(["erased"]);
    }
  });

  it("destroys nothing while the log does not take the intent, and everything once it does", async () => {
    const { enrolment, key, member } = await enrolled();
    const refusing: EventLog = {
      ...crashing(Number.POSITIVE_INFINITY),
      append: async () => ({ ok: false, code: "STORE_FULL", detail: "no room" }),
    };
    expect(await eraseMember(deps(refusing), request(enrolment))).toMatchObject({ ok: false });
    expect(await rig.eventLog.last("KEYS", key)).toBeDefined();
    expect(await kindsLeft(member)).toEqual(["enrolled"]);
    const outcome = await eraseMember(deps(), request(enrolment));
    expect(outcome.ok && outcome.erasure.keySequences).toHaveLength(1);
  });

  it("finds and finishes by itself what a crash left half done, and nothing else", async () => {
    const whole = await enrolled();
    const done = await enrolled();
    await eraseMember(deps(), request(done.enrolment));
    const keyLeft = await enrolled();
    await eraseMember(deps(crashing(1)), request(keyLeft.enrolment));
    expect(await rig.eventLog.last("KEYS", keyLeft.key)).toBeDefined();
    const eventsLeft = await enrolled();
    await eraseMember(deps(crashing(2)), request(eventsLeft.enrolment));
    expect(await kindsLeft(eventsLeft.member)).toEqual(["enrolled", "erased"]);

    expect(await resumeErasures(deps(), () => 1)).toEqual({ finished: 2, pending: 0 });
    for (const { key, member } of [keyLeft, eventsLeft]) {
      expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
      expect(await kindsLeft(member)).toEqual(["erased"]);
    }
    expect(await rig.eventLog.last("KEYS", whole.key)).toBeDefined();
    expect(await kindsLeft(whole.member)).toEqual(["enrolled"]);
    expect(await resumeErasures(deps(), () => 1)).toEqual({ finished: 0, pending: 0 });
  });

  it("tells LOG_UNAVAILABLE from a member that is not there", async () => {
    const { enrolment } = await enrolled();
    const silent: EventLog = {
      ...crashing(0),
      all: (...call) => rig.eventLog.all(...call),
    };
    expect(await eraseMember(deps(silent), request(enrolment))).toMatchObject({ code: "LOG_UNAVAILABLE" });
  });
});
