// Erasure on a real nats-server: ledgers as they run, holders that are scripted.
import { createPublicKey, randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fetchDataKey, type Saga, storeMember, verifyReceipt } from "../../records/index.js";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import { toHex } from "../../wire/hex.js";
import { ofVector } from "../matcher/support/vectors.js";
import { type ScriptedWorker, scriptedWorker } from "./support/matcher.js";
import { buryLeader, mortal } from "./support/mortal.js";
import {
  GALLERY,
  MODEL,
  ORGANISATION,
  openRig,
  type Rig,
  type TestLedger,
  type TestLedgerOptions,
  until,
} from "./support/rig.js";
import { beginErase, endOf, newPalm } from "./support/sagas.js";

describe("an erasure", () => {
  let rig: Rig;
  let m1: ScriptedWorker;
  let m2: ScriptedWorker;
  let ledgers: TestLedger[] = [];
  beforeAll(async () => {
    rig = await openRig();
    m1 = await scriptedWorker(rig.nc, "m1");
    m2 = await scriptedWorker(rig.nc, "m2");
  });
  afterEach(async () => {
    m1.answer = "APPLIED";
    m2.answer = "APPLIED";
    for (const each of ledgers) await each.close();
    ledgers = [];
  });
  afterAll(() => rig.close());

  const ledger = async (options: TestLedgerOptions = {}) => {
    const opened = await rig.openLedger(options);
    ledgers.push(opened);
    return opened;
  };
  const enrolled = async (): Promise<Uint8Array> => {
    const memberId = Uint8Array.from(randomBytes(16));
    const stored = await storeMember(rig.eventLog, rig.keyring, {
      ...{ organisation: ORGANISATION, gallery: GALLERY, memberId },
      templates: [{ signature: ofVector(newPalm()), modelId: MODEL.modelId, position: 1 }],
      profile: { consents: [1] },
    });
    if (!stored.ok) throw new Error(stored.detail);
    return memberId;
  };
  const keyOf = (memberId: Uint8Array) =>
    fetchDataKey(rig.eventLog, rig.keyring, { organisation: ORGANISATION, gallery: GALLERY, memberId });
  const receiptIn = ({ result }: Saga) => {
    const keys = rig.directory.receiptKeys().flatMap(({ publicKey }) => {
      const raw = publicKeyFromBase64(publicKey);
      return raw ? [createPublicKey(raw.export({ type: "spki", format: "pem" }))] : [];
    });
    const check = verifyReceipt(keys, Buffer.from(result).toString("utf8"));
    if (!check.ok) throw new Error(check.detail);
    return check.receipt;
  };

  it("ends with a receipt that names every holder, under the fleet's key", async () => {
    await ledger();
    const memberId = await enrolled();
    const saga = await endOf(rig, "erase", await beginErase(rig, memberId, "member"));
    expect(saga.step).toBe("DONE");
    expect(receiptIn(saga)).toMatchObject({
      ...{ organisation: ORGANISATION, gallery: GALLERY, memberId: toHex(memberId) },
      ...{ requestedBy: "member", workers: ["m1", "m2"] },
    });
    expect(await keyOf(memberId)).toEqual({ ok: false, code: "DESTROYED" });
    expect(m1.asked.at(-1)?.erasedMemberId).toHaveLength(16);
  });

  it("is refused for somebody whom the log does not know", async () => {
    await ledger();
    const id = await beginErase(rig, Uint8Array.from(randomBytes(16)));
    expect(await endOf(rig, "erase", id)).toMatchObject({ step: "REFUSED", code: "NOT_FOUND" });
  });

  it("is not signed while a holder that the record names is silent, however long it is silent, and shows whom it waits for", async () => {
    const one = await ledger({ silentMs: () => 60_000, unservedAfterMs: 100 });
    m2.answer = "silent";
    const memberId = await enrolled();
    const id = await beginErase(rig, memberId);
    await until("it waits", () => one.state().pending.some((each) => each.id === id && each.tries >= 2));
    expect(one.state().pending.find((each) => each.id === id)?.detail).toBe("not confirmed yet by m2");
    // What can be destroyed is.
    expect(await keyOf(memberId)).toEqual({ ok: false, code: "DESTROYED" });
    expect((await rig.sagas.read("erase", ORGANISATION, id))?.step).toBe("ACCEPTED");
    const waiting = await one.metrics.registry.getSingleMetricAsString("palmgate_erasures_waiting");
    expect(waiting).toContain('palmgate_erasures_waiting{worker="m2"} 1');
    const oldest = await one.metrics.registry.getSingleMetricAsString("palmgate_saga_oldest_seconds");
    expect(Number(/kind="erase"} ([\d.]+)/.exec(oldest)?.[1])).toBeGreaterThan(1);
    m2.answer = "APPLIED";
    expect(receiptIn(await endOf(rig, "erase", id)).workers).toEqual(["m1", "m2"]);
  }, 60_000);

  it.each(["STILL_PRESENT", "STORE_FULL", "NOT_YET"] as const)(
    "is not signed while a holder says %s",
    async (answer) => {
      const one = await ledger();
      m1.answer = answer;
      const id = await beginErase(rig, await enrolled());
      await until("it waits", () => one.state().pending.some((each) => each.id === id));
      expect((await rig.sagas.read("erase", ORGANISATION, id))?.step).toBe("ACCEPTED");
      m1.answer = "APPLIED";
      expect((await endOf(rig, "erase", id)).step).toBe("DONE");
    },
    60_000,
  );

  it("does not end for a worker that an operator has not declared gone, and does then", async () => {
    await scriptedWorker(rig.nc, "m3", "silent");
    const one = await ledger();
    const id = await beginErase(rig, await enrolled());
    await until("it waits for m3", () => one.state().pending.some(({ detail }) => detail.includes("m3")));
    await rig.forget("m3");
    expect(receiptIn(await endOf(rig, "erase", id)).workers).toEqual(["m1", "m2"]);
  }, 60_000);

  it("that is pending goes on when every ledger was away, and when nats-server was", async () => {
    m2.answer = "silent";
    const first = await ledger();
    const id = await beginErase(rig, await enrolled());
    await until("it waits", () => first.state().pending.length > 0);
    await first.close();
    ledgers = [];
    await rig.server.kill();
    await rig.server.restart();
    m2.answer = "APPLIED";
    await ledger();
    expect((await endOf(rig, "erase", id, 40_000)).step).toBe("DONE");
  }, 90_000);

  it("that is pending delays no other", async () => {
    const one = await ledger();
    m2.answer = "silent";
    const stuck = await Promise.all(
      Array.from({ length: 12 }, async () => beginErase(rig, await enrolled())),
    );
    await until("they wait", () => one.state().pending.length >= 8, 30_000);
    await rig.forget("m2");
    m2.leave();
    await Promise.all(stuck.map((id) => endOf(rig, "erase", id, 60_000)));
    m2 = await scriptedWorker(rig.nc, "m2");
  }, 120_000);

  it("goes on after a kill at any of its writes, with one receipt", async () => {
    let diesAfter = 0;
    for (;;) {
      diesAfter++;
      const life = mortal(diesAfter);
      const memberId = await enrolled();
      const id = await beginErase(rig, memberId);
      const first = await rig.openLedger({ life });
      const died = await Promise.race([
        life.dead.then(() => true),
        endOf(rig, "erase", id).then(() => false),
      ]);
      if (died) {
        await buryLeader(rig.eventLog, rig.keyring);
        await ledger();
      }
      const receipt = receiptIn(await endOf(rig, "erase", id));
      expect(receipt.memberEvents.sequences, `killed after ${diesAfter} writes`).toHaveLength(1);
      expect(receipt.dataKey.sequences).toHaveLength(1);
      expect(await keyOf(memberId)).toEqual({ ok: false, code: "DESTROYED" });
      await first.close();
      for (const each of ledgers) await each.close();
      ledgers = [];
      if (!died) break;
    }
    expect(diesAfter).toBeGreaterThan(3);
  }, 120_000);
});
