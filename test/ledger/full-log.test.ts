// A log that is nearly full, on a real nats-server: enrolments are refused, beats go on, erasures go through.
import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { storeMember } from "../../records/index.js";
import { readBeat } from "../../wire/beat.js";
import { Disposer } from "../../wire/disposer.js";
import { BEAT_SUBJECT } from "../../wire/subjects.js";
import { ofVector } from "../matcher/support/vectors.js";
import { scriptedWorker } from "./support/matcher.js";
import { GALLERY, MODEL, ORGANISATION, openRig, type Rig, until } from "./support/rig.js";
import { beginEnrol, beginErase, endOf, newPalm } from "./support/sagas.js";

const KIB = 1024;

describe("a log that is full", () => {
  let open = new Disposer();
  afterEach(async () => {
    await open.close();
    open = new Disposer();
  });

  const rigWith = async (maxBytes: { MEMBERS?: number; KEYS?: number }) => {
    const rig = await openRig({ maxBytes });
    open.defer(() => rig.close());
    await scriptedWorker(rig.nc, "m1");
    const ledger = await rig.openLedger();
    open.defer(() => ledger.close());
    await until("it leads", () => ledger.leads() && ledger.notReady().length === 0);
    return { rig, ledger };
  };
  const newestBeat = async (rig: Rig) => {
    const last = await rig.eventLog.last("MEMBERS", BEAT_SUBJECT);
    return (last && readBeat(rig.keyring, last.body)?.atUnixMs) ?? 0;
  };
  const beatsGoOn = async (rig: Rig) => {
    const before = await newestBeat(rig);
    await until("two more beats", async () => (await newestBeat(rig)) >= before + 1500);
  };

  it.each([
    ["MEMBERS", 64 * KIB],
    ["KEYS", 16 * KIB],
  ] as const)(
    "of %s refuses enrolments before it is, beats on and erases",
    async (stream, quota) => {
      const { rig } = await rigWith({ [stream]: quota });
      const members: Uint8Array[] = [];
      while ((await rig.eventLog.standing(stream)).bytes < quota * 0.76) {
        const memberId = Uint8Array.from(randomBytes(16));
        const signature = ofVector(newPalm());
        const stored = await storeMember(rig.eventLog, rig.keyring, {
          ...{ organisation: ORGANISATION, gallery: GALLERY, memberId },
          templates: [{ signature, modelId: MODEL.modelId, position: 1 }],
          profile: {},
        });
        if (!stored.ok) throw new Error(stored.detail);
        members.push(memberId);
      }
      const refused = await endOf(rig, "enrol", await beginEnrol(rig, newPalm()));
      expect(refused).toMatchObject({ step: "REFUSED", code: "STORE_FULL" });
      await beatsGoOn(rig);
      const [first = new Uint8Array()] = members;
      expect(await endOf(rig, "erase", await beginErase(rig, first))).toMatchObject({ step: "DONE" });
    },
    40_000,
  );

  it("to the last byte, of whatever, beats on all the same, and enrols nobody", async () => {
    const { rig, ledger } = await rigWith({ MEMBERS: 32 * KIB });
    await until("some beats", async () => (await rig.eventLog.all("MEMBERS", BEAT_SUBJECT)).length > 2);
    for (let bytes = 4 * KIB; bytes >= 1; bytes = Math.floor(bytes / 2)) {
      let index = 0;
      const fill = () => rig.eventLog.append(`members.0.x.y.${bytes}-${index++}`, new Uint8Array(bytes));
      while ((await fill()).ok);
    }
    await beatsGoOn(rig);
    expect(ledger.leads()).toBe(true);
    const refused = await endOf(rig, "enrol", await beginEnrol(rig, newPalm()));
    expect(refused).toMatchObject({ step: "REFUSED", code: "STORE_FULL" });
  }, 40_000);
});
