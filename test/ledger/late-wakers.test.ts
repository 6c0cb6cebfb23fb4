// A ledger that is paused just before any of its writes and wakes up when another one has ended the work: it changes
// nothing. Every saga and settlement, on a real nats-server.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LogEvent, storeMember } from "../../records/index.js";
import { bus, decode, encode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { ofVector } from "../matcher/support/vectors.js";
import { type LogSearch, scriptedWorker, searchOfLog } from "./support/matcher.js";
import { buryLeader } from "./support/mortal.js";
import { authorised, lastStepOf, order, reported, scriptedProcessor } from "./support/payments.js";
import { GALLERY, log, MODEL, ORGANISATION, openRig, type Rig, until } from "./support/rig.js";
import { begin, beginEnrol, beginErase, endOf, newPalm } from "./support/sagas.js";
import { sleeper } from "./support/sleeper.js";

/** More writes than any of them needs. */
const MAX_WRITES = 16;
const STREAMS = ["MEMBERS", "KEYS", "SAGAS", "PAYMENTS"] as const;

describe("a ledger that wakes up late", () => {
  let rig: Rig;
  let search: LogSearch;
  let processor = scriptedProcessor();
  beforeAll(async () => {
    rig = await openRig();
    await scriptedWorker(rig.nc, "m1");
    search = searchOfLog(rig.eventLog, rig.keyring, log);
  });
  afterAll(async () => {
    await search.stop();
    await rig.close();
  });

  interface Work {
    /** @returns resolves when it has ended */
    begin(): Promise<() => Promise<unknown>>;
  }

  const enrolledMember = async () => {
    const memberId = Uint8Array.from(randomBytes(16));
    const stored = await storeMember(rig.eventLog, rig.keyring, {
      ...{ organisation: ORGANISATION, gallery: GALLERY, memberId },
      templates: [{ signature: ofVector(newPalm()), modelId: MODEL.modelId, position: 1 }],
      profile: {},
    });
    if (!stored.ok) throw new Error(stored.detail);
    return memberId;
  };
  const ends = (of: ReturnType<typeof order>, step: string) => () =>
    until(step, async () => (await lastStepOf(rig.eventLog, of)) === step);

  const WORK: Record<string, Work> = {
    enrolment: {
      begin: async () => {
        const id = await beginEnrol(rig, newPalm());
        return () => endOf(rig, "enrol", id);
      },
    },
    "enrolment of a member who is erased at once": {
      begin: async () => {
        const id = await beginEnrol(rig, newPalm());
        return async () => {
          const { result } = await endOf(rig, "enrol", id);
          const memberId = decode(bus.EnrolResult, result)?.memberId ?? new Uint8Array();
          if ((await rig.sagas.read("erase", ORGANISATION, toHex(memberId))) === undefined)
            await beginErase(rig, memberId);
          await endOf(rig, "erase", toHex(memberId));
        };
      },
    },
    erasure: {
      begin: async () => {
        const id = await beginErase(rig, await enrolledMember());
        return () => endOf(rig, "erase", id);
      },
    },
    refund: {
      begin: async () => {
        const of = order();
        await authorised(rig.eventLog, of, { granted: true });
        await reported(rig.eventLog, of, "OPENED");
        const before = await rig.openLedger({ processor });
        await ends(of, "CAPTURED passage")();
        await before.close();
        const intent = encode(bus.RefundIntent, { presentationId: of.presentationId, amountMinor: 450 });
        await begin(rig, "refund", of.presentationHex, intent);
        return () => endOf(rig, "refund", of.presentationHex);
      },
    },
    capture: {
      begin: async () => {
        const of = order();
        await authorised(rig.eventLog, of, { granted: true });
        await reported(rig.eventLog, of, "OPENED");
        return ends(of, "CAPTURED passage");
      },
    },
    void: {
      begin: async () => {
        const of = order();
        await authorised(rig.eventLog, of, { granted: true });
        await reported(rig.eventLog, of, "FAILED");
        return ends(of, "VOIDED gate_failed");
      },
    },
  };

  /** Everything in the record, but for the beats. */
  const record = async () => {
    const all: string[] = [];
    for (const stream of STREAMS) {
      const last = await rig.eventLog.lastPerSubject(stream, ">");
      const told = (event: LogEvent) => `${event.subject} ${event.sequence}`;
      all.push(...last.filter(({ subject }) => subject !== "members.beat").map(told));
    }
    return all.sort();
  };

  it.each(Object.keys(WORK))("changes nothing: %s", { timeout: 120_000 }, async (name) => {
    const options = { identify: { search: search.search, similarityFor: () => 0.9, modelId: MODEL.modelId } };
    let late = 0;
    for (let sleepsAt = 1; sleepsAt <= MAX_WRITES; sleepsAt++) {
      processor = scriptedProcessor();
      const ended = await WORK[name]?.begin();
      if (ended === undefined) throw new Error("no such work");
      const sleep = sleeper(sleepsAt);
      const first = await rig.openLedger({ ...options, processor, life: sleep });
      const slept = await Promise.race([sleep.asleep.then(() => true), ended().then(() => false)]);
      if (!slept) {
        await first.close();
        expect(late, "late writes that were tried").toBeGreaterThan(0);
        return;
      }
      await buryLeader(rig.eventLog, rig.keyring);
      const second = await rig.openLedger({ ...options, processor });
      await ended();
      await until("nothing is open", () => second.state().payments.open === 0);
      const before = await record();
      const movesBefore = [...processor.moves];
      sleep.wake();
      await until("it did what it was about to do", () => sleep.lateWrites.length > 0);
      await first.close();
      late += sleep.lateWrites.length;
      expect(await record(), `paused before write ${sleepsAt}`).toEqual(before);
      expect(processor.moves).toEqual(movesBefore);
      expect(new Set(processor.moves).size).toBe(processor.moves.length);
      await second.close();
    }
    throw new Error("it never came to its end by itself");
  });
});
