import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TEMPLATE_CODE_WORDS } from "../../palm/codes/layout.js";
import {
  type Appended,
  decodeMemberEvent,
  type EventLog,
  enrolMember,
  newDataKey,
  openInstrument,
  openMemberKeys,
  openTemplate,
} from "../../records/index.js";
import { toHex } from "../../wire/partition.js";
import { keySubject, memberSubject, partitionKeysFilter } from "../../wire/subjects.js";
import { DIMENSION, enrolmentOf } from "./support/members.js";
import { log, openRig, type Rig } from "./support/rig.js";
import { type FakeWorker, fakeWorker } from "./support/worker.js";

describe("enrolment", () => {
  let rig: Rig;
  let worker: FakeWorker | undefined;
  let count = 0;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(() => worker?.leave());
  afterAll(() => rig.close());

  const deps = (eventLog: EventLog = rig.eventLog) => ({ nc: rig.nc, eventLog, log, appliedWaitMs: 400 });
  const fresh = () => {
    const enrolment = enrolmentOf(`e${count++}`);
    const { gallery, partition, memberId } = enrolment;
    const hex = toHex(memberId);
    return {
      enrolment,
      place: { gallery, partition },
      key: keySubject(gallery, partition, hex),
      member: memberSubject(gallery, partition, hex),
      hex,
    };
  };

  /** The log, except that the answer to the first append of a matching subject is lost, or the append itself. */
  const losing = (prefix: string, what: "answer" | "append", times = 1): EventLog => {
    let left = times;
    const append: EventLog["append"] = async (subject, body, options): Promise<Appended> => {
      if (!subject.startsWith(prefix) || left-- <= 0) return rig.eventLog.append(subject, body, options);
      if (what === "answer") await rig.eventLog.append(subject, body, options);
      return { ok: false, code: "LOG_UNAVAILABLE", detail: "lost" };
    };
    return {
      append,
      last: (stream, subject) => rig.eventLog.last(stream, subject),
      all: (stream, subject) => rig.eventLog.all(stream, subject),
      lastSequence: (stream) => rig.eventLog.lastSequence(stream),
      secureDelete: (stream, subject, options) => rig.eventLog.secureDelete(stream, subject, options),
      follow: (options) => rig.eventLog.follow(options),
    };
  };

  it("puts the key and the sealed member into the log, and waits for a worker that has flushed it", async () => {
    const { enrolment, place, member, hex } = fresh();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "APPLIED");
    const outcome = await enrolMember(deps(), enrolment);
    const stored = await rig.eventLog.last("MEMBERS", member);
    expect(outcome).toEqual({ ok: true, sequence: stored?.sequence, confirmedBy: "w1" });
    expect(worker.requests[0]?.streamSequence).toBe(stored?.sequence);

    const keys = await openMemberKeys(rig.eventLog, { filter: partitionKeysFilter(place.gallery, 0), log });
    const key = keys.get(hex) ?? new Uint8Array();
    const event = decodeMemberEvent(stored?.body ?? new Uint8Array());
    expect(event).toMatchObject({ gallery: place.gallery, partition: 0, enrolled: { consents: [1, 2] } });
    const templates = event?.enrolled?.templates ?? [];
    expect(templates.map(({ modelId, index, position }) => [modelId, index, position])).toEqual([
      ["model-1", 0, 1],
      ["model-1", 1, 2],
    ]);
    const opened = templates.map((each) =>
      openTemplate(key, enrolment.memberId, place.gallery, each, DIMENSION, TEMPLATE_CODE_WORDS),
    );
    expect(opened).toEqual(enrolment.templates.map(({ signature }) => signature));
    const instrument = openInstrument(key, enrolment.memberId, place.gallery, event?.enrolled?.instrument);
    expect(instrument).toEqual(enrolment.instrument);
    await keys.close();
  });

  it("puts the data key into the log wrapped, where there is a master key", async () => {
    const { enrolment, place, member, hex } = fresh();
    const masterKey = newDataKey();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "APPLIED");
    expect(await enrolMember({ ...deps(), masterKey }, enrolment)).toMatchObject({ ok: true });
    const filter = partitionKeysFilter(place.gallery, 0);
    const keys = await openMemberKeys(rig.eventLog, { filter, log, masterKey });
    const event = decodeMemberEvent((await rig.eventLog.last("MEMBERS", member))?.body ?? new Uint8Array());
    const template = event?.enrolled?.templates?.[0] ?? {};
    const key = keys.get(hex) ?? newDataKey();
    const opened = openTemplate(
      key,
      enrolment.memberId,
      place.gallery,
      template,
      DIMENSION,
      TEMPLATE_CODE_WORDS,
    );
    expect(opened).toEqual(enrolment.templates[0]?.signature);
    await keys.close();
    await expect(openMemberKeys(rig.eventLog, { filter, log })).rejects.toThrow(/opens none/);
  });

  it("lets nothing of signature or instrument into the log in the clear", async () => {
    const { enrolment, place, member } = fresh();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "APPLIED");
    await enrolMember(deps(), enrolment);
    const body = Buffer.from((await rig.eventLog.last("MEMBERS", member))?.body ?? []);
    expect(body.length).toBeGreaterThan(500);
    expect(body.includes("tok_approve")).toBe(false);
    for (const { signature } of enrolment.templates) {
      expect(body.includes(Buffer.from(signature.vector.buffer, 0, 16))).toBe(false);
      expect(body.includes(Buffer.from(signature.lines.buffer, 0, 16))).toBe(false);
    }
  });

  it("is NOT_YET_DURABLE without a worker that has flushed it; the log has the member then", async () => {
    const none = fresh();
    expect(await enrolMember(deps(), none.enrolment)).toMatchObject({ ok: false, code: "NOT_YET_DURABLE" });
    expect(await rig.eventLog.last("MEMBERS", none.member)).toBeDefined();
    const slow = fresh();
    worker = await fakeWorker(rig.nc, { ...slow.place, workerId: "w1" }, "NOT_YET");
    expect(await enrolMember(deps(), slow.enrolment)).toMatchObject({ ok: false, code: "NOT_YET_DURABLE" });
    expect(await rig.eventLog.last("KEYS", slow.key)).toBeDefined();
  });

  it("is undone when a worker's disk is full: no key and no template stays in the log", async () => {
    const { enrolment, place, key, member } = fresh();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "STORE_FULL");
    expect(await enrolMember(deps(), enrolment)).toMatchObject({ ok: false, code: "STORE_FULL" });
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
    const left = await rig.eventLog.all("MEMBERS", member);
    expect(left.map(({ body }) => decodeMemberEvent(body)?.body)).toEqual(["erased"]);
  });

  it("does not touch a member that is there already", async () => {
    const { enrolment, place, key, member } = fresh();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "APPLIED");
    expect((await enrolMember(deps(), enrolment)).ok).toBe(true);
    const before = [await rig.eventLog.all("KEYS", key), await rig.eventLog.all("MEMBERS", member)];
    expect(await enrolMember(deps(), enrolment)).toMatchObject({ ok: false, code: "CONFLICT" });
    expect([await rig.eventLog.all("KEYS", key), await rig.eventLog.all("MEMBERS", member)]).toEqual(before);
  });

  it("takes its key back when the member's subject turns out to be taken", async () => {
    const { enrolment, key, member } = fresh();
    await rig.eventLog.append(member, new Uint8Array([1]));
    expect(await enrolMember(deps(), enrolment)).toMatchObject({ ok: false, code: "CONFLICT" });
    expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
    expect(await rig.eventLog.all("MEMBERS", member)).toHaveLength(1);
  });

  it.each(["keys.", "members."])("goes on when the answer to its append to %s was lost", async (prefix) => {
    const { enrolment, place, key, member } = fresh();
    worker = await fakeWorker(rig.nc, { ...place, workerId: "w1" }, "APPLIED");
    expect(await enrolMember(deps(losing(prefix, "answer")), enrolment)).toMatchObject({ ok: true });
    expect(await rig.eventLog.all("KEYS", key)).toHaveLength(1);
    expect(await rig.eventLog.all("MEMBERS", member)).toHaveLength(1);
  });

  it.each(["answer", "append"] as const)(
    "leaves no key when every %s of the member is lost",
    async (what) => {
      const { enrolment, key, member } = fresh();
      const eventLog = losing(`members.${enrolment.gallery}`, what, what === "append" ? 3 : 1);
      // A lost answer is found out by the next try; here the next tries are lost altogether.
      const broken: EventLog = {
        ...eventLog,
        append: async (subject, body, options) => {
          const appended = await eventLog.append(subject, body, options);
          const isEnrolment = subject === member && options?.messageId === undefined;
          return isEnrolment ? { ok: false, code: "LOG_UNAVAILABLE", detail: "lost" } : appended;
        },
      };
      expect(await enrolMember(deps(broken), enrolment)).toMatchObject({
        ok: false,
        code: "LOG_UNAVAILABLE",
      });
      expect(await rig.eventLog.last("KEYS", key)).toBeUndefined();
      const left = await rig.eventLog.all("MEMBERS", member);
      expect(left.every(({ body }) => decodeMemberEvent(body)?.body === "erased")).toBe(true);
    },
  );
});
