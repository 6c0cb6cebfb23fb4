// Enrolment on a real nats-server: ledgers as they run, a matcher and a search that are scripted over what the log holds.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { SearchedGallery } from "../../ledger/enrol-saga.js";
import { decodeMemberEvent, fetchDataKey, openProfile, type Saga } from "../../records/index.js";
import { bus, decode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { shardOf } from "../../wire/shard.js";
import { memberSubject } from "../../wire/subjects.js";
import { type LogSearch, type ScriptedWorker, scriptedWorker, searchOfLog } from "./support/matcher.js";
import { buryLeader, mortal } from "./support/mortal.js";
import {
  GALLERY,
  log,
  ORGANISATION,
  OTHER_ORGANISATION,
  openRig,
  type Rig,
  type TestLedger,
  type TestLedgerOptions,
  until,
} from "./support/rig.js";
import { beginEnrol, endOf, newId, newPalm, seenAgain, stepsLeft } from "./support/sagas.js";

const UNSERVED_AFTER_MS = 4000;

describe("an enrolment", () => {
  let rig: Rig;
  let search: LogSearch;
  let worker: ScriptedWorker;
  let ledgers: TestLedger[] = [];
  beforeAll(async () => {
    rig = await openRig();
    worker = await scriptedWorker(rig.nc, "m1");
    search = searchOfLog(rig.eventLog, rig.keyring, log);
  });
  afterEach(async () => {
    worker.answer = "APPLIED";
    for (const each of ledgers) await each.close();
    ledgers = [];
  });
  afterAll(async () => {
    await search.stop();
    await rig.close();
  });

  const identify = (by: LogSearch["search"] = search.search) => ({
    identify: { search: by, similarityFor: () => 0.9, modelId: "model-1" },
    unservedAfterMs: UNSERVED_AFTER_MS,
  });
  const ledger = async (options: TestLedgerOptions = {}) => {
    const opened = await rig.openLedger({ ...identify(), ...options });
    ledgers.push(opened);
    return opened;
  };
  const resultOf = (saga: Saga) => {
    const result = decode(bus.EnrolResult, saga.result);
    if (result === undefined) throw new Error("no result");
    return result;
  };
  const memberEvents = async ({ memberId, gallery }: bus.EnrolResult) => {
    const subject = memberSubject(shardOf(memberId), ORGANISATION, gallery, toHex(memberId));
    return (await rig.eventLog.all("MEMBERS", subject)).map(({ body }) => decodeMemberEvent(body));
  };

  it("makes a member under its organisation, confirmed by the matcher, and leaves no capture in the log", async () => {
    await ledger();
    const id = await beginEnrol(rig, newPalm());
    const saga = await endOf(rig, "enrol", id);
    expect(saga.step).toBe("DONE");
    const result = resultOf(saga);
    const [event, ...more] = await memberEvents(result);
    expect(more).toEqual([]);
    expect(event?.enrolled?.templates).toHaveLength(2);
    const place = { organisation: ORGANISATION, gallery: GALLERY, memberId: result.memberId };
    const key = await fetchDataKey(rig.eventLog, rig.keyring, place);
    expect(key.ok && openProfile(key.key, place, event?.enrolled?.profile)?.consents).toEqual([1]);
    expect(worker.asked.some(({ streamSequence }) => streamSequence === result.sequence)).toBe(true);
    expect(saga.intent).toHaveLength(0);
    expect(await stepsLeft(rig, "enrol", id)).toBeLessThanOrEqual(2);
    for (const { body } of await rig.eventLog.all("SAGAS", `sagas.enrol.${ORGANISATION}.${id}`)) {
      expect(decode(bus.SagaEvent, body)?.intent).toHaveLength(0);
    }
  });

  it("is refused when the palm is enrolled already, and leaves no capture in the log", async () => {
    await ledger();
    const palm = newPalm();
    await endOf(rig, "enrol", await beginEnrol(rig, palm));
    await until("the search knows it", () => search.members().length > 0);
    const id = await beginEnrol(rig, seenAgain(palm));
    expect(await endOf(rig, "enrol", id)).toMatchObject({ step: "REFUSED", code: "DUPLICATE_MEMBER" });
    for (const { body } of await rig.eventLog.all("SAGAS", `sagas.enrol.${ORGANISATION}.${id}`)) {
      expect(decode(bus.SagaEvent, body)?.intent).toHaveLength(0);
    }
    // Another organisation's members are nobody's duplicates.
    const other = await beginEnrol(rig, seenAgain(palm), { organisation: OTHER_ORGANISATION });
    expect(await endOf(rig, "enrol", other, 20_000, OTHER_ORGANISATION)).toMatchObject({ step: "DONE" });
  });

  it("makes one member of one palm at two desks at one moment, each time, and of two palms two", async () => {
    await Promise.all([ledger(), ledger()]);
    const rounds = Array.from({ length: 20 }, async () => {
      const palm = newPalm();
      const ids = await Promise.all([beginEnrol(rig, palm), beginEnrol(rig, seenAgain(palm))]);
      const ends = await Promise.all(ids.map((id) => endOf(rig, "enrol", id)));
      return ends.map(({ step, code }) => `${step} ${code}`.trim()).sort();
    });
    for (const round of await Promise.all(rounds))
      expect(round).toEqual(["DONE", "REFUSED DUPLICATE_MEMBER"]);
  });

  it("asked for again under its id is the same enrolment, and another one under it is told apart", async () => {
    await ledger();
    const id = newId();
    const palm = newPalm();
    await beginEnrol(rig, palm, { id });
    const first = resultOf(await endOf(rig, "enrol", id));
    const again = await rig.sagas.begin({
      ...{ kind: "enrol", organisation: ORGANISATION, id, by: "operator" },
      bodySha256: new Uint8Array(32),
      intent: new Uint8Array(1),
    });
    expect(again).toEqual({ ok: false, code: "OTHER_BODY" });
    expect(toHex(resultOf(await endOf(rig, "enrol", id)).memberId)).toBe(toHex(first.memberId));
  });

  it("waits while a shard does not answer, and is refused when none has for a minute", async () => {
    let complete = false;
    const asked: number[] = [];
    const partly = async (): Promise<SearchedGallery> => {
      asked.push(1);
      return { complete, templates: 0, candidates: [] };
    };
    await ledger(identify(partly));
    const id = await beginEnrol(rig, newPalm());
    await until("it was asked more than once", () => asked.length > 4);
    expect((await rig.sagas.read("enrol", ORGANISATION, id))?.step).toBe("OPEN");
    complete = true;
    expect((await endOf(rig, "enrol", id)).step).toBe("DONE");
    complete = false;
    const old = newId();
    const begun = rig.clock.nowUnixMs;
    rig.clock.nowUnixMs = () => Date.now() - 61_000;
    await beginEnrol(rig, newPalm(), { id: old }).finally(() => {
      rig.clock.nowUnixMs = begun;
    });
    expect(await endOf(rig, "enrol", old)).toMatchObject({ step: "REFUSED", code: "BUSY" });
  });

  /** Begun 61 s ago, by the log's clock. */
  const beginOld = async (palm: Float32Array) => {
    const now = rig.clock.nowUnixMs;
    rig.clock.nowUnixMs = () => Date.now() - 61_000;
    return beginEnrol(rig, palm).finally(() => {
      rig.clock.nowUnixMs = now;
    });
  };

  it("waits for the same palm's that came before, which is shown, and is refused when that has not ended for a minute", async () => {
    const palm = newPalm();
    // Of the one before a shard never answers.
    const partly: LogSearch["search"] = async ({ probe }) => ({
      ...{ templates: 0, candidates: [] },
      complete: probe.vector[0] !== palm[0],
    });
    const one = await ledger(identify(partly));
    const before = await beginEnrol(rig, palm);
    await until("it is tried", () => one.state().pending.some(({ id }) => id === before));
    const waits = await beginEnrol(rig, seenAgain(palm));
    await until("it is shown", () => one.state().pending.some(({ id }) => id === waits));
    expect(one.state().pending.find(({ id }) => id === waits)?.detail).toBe(
      "the same palm is being enrolled",
    );
    const old = await beginOld(seenAgain(palm));
    expect(await endOf(rig, "enrol", old)).toMatchObject({ step: "REFUSED", code: "BUSY" });
    await one.close();
    await ledger();
    const ends = await Promise.all([before, waits].map((id) => endOf(rig, "enrol", id)));
    expect(ends.map(({ code }) => code)).toEqual(["", "DUPLICATE_MEMBER"]);
  });

  it("waits for one that is accepted and cannot be looked at, which is shown, and is refused when that has not ended for a minute", async () => {
    const first = await ledger();
    worker.answer = "STORE_FULL";
    const accepted = await beginEnrol(rig, newPalm());
    await until("its intent is dropped", async () => {
      const saga = await rig.sagas.read("enrol", ORGANISATION, accepted);
      return saga?.step === "ACCEPTED" && saga.intent.length === 0;
    });
    await first.close();
    const second = await ledger();
    const waits = await beginEnrol(rig, newPalm());
    await until("it is shown", () => second.state().pending.some(({ id }) => id === waits));
    const old = await beginOld(newPalm());
    expect(await endOf(rig, "enrol", old)).toMatchObject({ step: "REFUSED", code: "BUSY" });
    worker.answer = "APPLIED";
    for (const id of [accepted, waits]) expect((await endOf(rig, "enrol", id)).step).toBe("DONE");
  });

  it.each([["an unknown gallery", { gallery: "nowhere" }, "GALLERY_UNKNOWN"]] as const)(
    "is refused in %s",
    async (_, options, code) => {
      await ledger();
      expect(await endOf(rig, "enrol", await beginEnrol(rig, newPalm(), options))).toMatchObject({ code });
    },
  );

  it("is not acknowledged before every worker that serves has it; one that never confirms holds it up only as long as it may serve", async () => {
    const one = await ledger();
    const silent = await scriptedWorker(rig.nc, "m2", "silent");
    const startedAtMs = performance.now();
    const id = await beginEnrol(rig, newPalm());
    await until("it is shown", () => one.state().pending.some((each) => each.id === id));
    expect(one.state().pending.find((each) => each.id === id)?.detail).toContain("m2");
    expect((await endOf(rig, "enrol", id)).step).toBe("DONE");
    expect(performance.now() - startedAtMs).toBeGreaterThan(UNSERVED_AFTER_MS);
    silent.leave();
    await rig.forget("m2");
  });

  it("stays open and shown while nobody at all confirms", async () => {
    const one = await ledger();
    worker.answer = "STORE_FULL";
    const id = await beginEnrol(rig, newPalm());
    await until("it is shown", () => one.state().pending.some((each) => each.id === id));
    expect(one.state().sagas.enrol.open).toBe(1);
    expect((await rig.sagas.read("enrol", ORGANISATION, id))?.step).toBe("ACCEPTED");
    worker.answer = "APPLIED";
    expect((await endOf(rig, "enrol", id)).step).toBe("DONE");
  });

  it("goes on after a kill at any of its writes: one member, one key, no capture left", async () => {
    let diesAfter = 0;
    for (;;) {
      diesAfter++;
      const life = mortal(diesAfter);
      const palm = newPalm();
      const id = await beginEnrol(rig, palm);
      const first = await rig.openLedger({ ...identify(), life });
      const died = await Promise.race([
        life.dead.then(() => true),
        endOf(rig, "enrol", id).then(() => false),
      ]);
      if (died) {
        await buryLeader(rig.eventLog, rig.keyring);
        await ledger();
      }
      const result = resultOf(await endOf(rig, "enrol", id));
      expect(await memberEvents(result), `killed after ${diesAfter} writes`).toHaveLength(1);
      const subject = `keys.${shardOf(result.memberId)}.${ORGANISATION}.${GALLERY}.${toHex(result.memberId)}`;
      expect(await rig.eventLog.all("KEYS", subject)).toHaveLength(1);
      await until("the search knows it", () => search.members().includes(toHex(result.memberId)));
      for (const { body } of await rig.eventLog.all("SAGAS", `sagas.enrol.${ORGANISATION}.${id}`)) {
        expect(decode(bus.SagaEvent, body)?.intent).toHaveLength(0);
      }
      await first.close();
      for (const each of ledgers) await each.close();
      ledgers = [];
      if (!died) break;
    }
    expect(diesAfter).toBeGreaterThan(5);
  }, 90_000);

  it("that is refused goes on after a kill at any of its writes, and leaves no capture", async () => {
    const palm = newPalm();
    await ledger();
    await endOf(rig, "enrol", await beginEnrol(rig, palm));
    await ledgers[0]?.close();
    ledgers = [];
    for (let diesAfter = 1; ; diesAfter++) {
      const life = mortal(diesAfter);
      const id = await beginEnrol(rig, seenAgain(palm));
      const first = await rig.openLedger({ ...identify(), life });
      const died = await Promise.race([
        life.dead.then(() => true),
        endOf(rig, "enrol", id).then(() => false),
      ]);
      if (died) {
        await buryLeader(rig.eventLog, rig.keyring);
        await ledger();
      }
      expect(await endOf(rig, "enrol", id)).toMatchObject({ step: "REFUSED", code: "DUPLICATE_MEMBER" });
      for (const { body } of await rig.eventLog.all("SAGAS", `sagas.enrol.${ORGANISATION}.${id}`)) {
        expect(decode(bus.SagaEvent, body)?.intent).toHaveLength(0);
      }
      await first.close();
      for (const each of ledgers) await each.close();
      ledgers = [];
      if (!died) return;
    }
  }, 90_000);

  it("whose member is erased before it has ended comes to its end, and makes no other key", async () => {
    await ledger();
    worker.answer = "NOT_YET";
    const id = await beginEnrol(rig, newPalm());
    const accepted = async () => (await rig.sagas.read("enrol", ORGANISATION, id))?.step === "ACCEPTED";
    await until("it is accepted", accepted);
    const saga = await rig.sagas.read("enrol", ORGANISATION, id);
    if (saga === undefined) throw new Error("no saga");
    const { memberId } = resultOf(saga);
    const place = { organisation: ORGANISATION, gallery: GALLERY, memberId };
    await until("the member is in the log", async () => (await memberEvents(resultOf(saga))).length > 0);
    await rig.destroy(place);
    worker.answer = "APPLIED";
    expect((await endOf(rig, "enrol", id)).step).toBe("DONE");
    expect(await fetchDataKey(rig.eventLog, rig.keyring, place)).toEqual({ ok: false, code: "DESTROYED" });
  });
});
