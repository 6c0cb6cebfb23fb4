// Two `palmgate ledger` as an operator runs them, one paused or killed in the middle, on a real nats-server.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Child, startChild } from "../../cli/stack/child.js";
import { processorKey, readSandbox, sandboxProcessor, storeMember } from "../../records/index.js";
import { bus } from "../../wire/codec.js";
import { type LedgerState, watchLedgers } from "../../wire/ledgers.js";
import { ofVector } from "../matcher/support/vectors.js";
import { scriptedWorker } from "./support/matcher.js";
import { lastStepOf, order, reported, writeStep } from "./support/payments.js";
import { GALLERY, log, MODEL, ORGANISATION, openRig, type Rig, until } from "./support/rig.js";
import { beginErase, endOf, newPalm } from "./support/sagas.js";

const { PaymentStep } = bus;

describe("two ledgers as processes", () => {
  let rig: Rig;
  let heard: LedgerState[] = [];
  let ledgers: Child[] = [];
  let stopWatching: () => Promise<void>;
  beforeAll(async () => {
    rig = await openRig();
    await scriptedWorker(rig.nc, "m1");
    const watch = watchLedgers(rig.nc, (states) => (heard = states), log);
    stopWatching = () => watch.stop();
  });
  afterEach(async () => {
    for (const each of ledgers) await each.kill();
    ledgers = [];
  });
  afterAll(async () => {
    await stopWatching();
    await rig.close();
  });

  const start = async (name: string, dataDir = rig.folder()) => {
    const child = await startChild({
      name,
      args: ["ledger", "--ledger-id", name, "--data-dir", dataDir, "--ops-port", "0"],
      env: {
        PALMGATE_NATS_URL: rig.server.url,
        PALMGATE_MASTER_KEY: Buffer.from(rig.masterKey).toString("hex"),
      },
      logFile: join(rig.folder().replace(/[^/]*$/, ""), `${name}.log`),
    });
    ledgers.push(child);
    return child;
  };
  const ready = (child: Child) =>
    until("it is ready", async () => {
      const answer = await fetch(`http://127.0.0.1:${Number(child.ready.opsPort)}/readyz`).catch(
        () => undefined,
      );
      return answer?.ok === true;
    });
  const leaders = () => heard.filter(({ leads }) => leads).map(({ id }) => id);
  const two = async () => {
    const both = await Promise.all([start("ledger-a"), start("ledger-b")]);
    await Promise.all(both.map(ready));
    await until("one leads", () => leaders().length === 1 && heard.length === 2);
    const leader = both.find(({ name }) => name === leaders()[0]);
    const other = both.find(({ name }) => name !== leaders()[0]);
    if (leader === undefined || other === undefined) throw new Error("nobody leads");
    return { leader, other };
  };
  const erase = async () => {
    const memberId = Uint8Array.from(randomBytes(16));
    const place = { organisation: ORGANISATION, gallery: GALLERY, memberId };
    const signature = ofVector(newPalm());
    const templates = [{ signature, modelId: MODEL.modelId, position: 1 }];
    const stored = await storeMember(rig.eventLog, rig.keyring, { ...place, templates, profile: {} });
    if (!stored.ok) throw new Error(stored.detail);
    return beginErase(rig, memberId);
  };
  /** Held by the sandbox, as a gateway leaves it. */
  const held = async () => {
    const of = order();
    const sandbox = sandboxProcessor(rig.nc);
    const charge = { amountMinor: 450, currency: "EUR", orderRef: "o-1" };
    await writeStep(rig.eventLog, of, PaymentStep.REQUESTED, Date.now(), "sandbox");
    const request = { key: processorKey(of), token: "tok_approve", ...charge };
    await sandbox.authorise(request, AbortSignal.timeout(5000));
    await writeStep(rig.eventLog, of, PaymentStep.AUTHORISED, Date.now(), "sandbox");
    await sandbox.close();
    return of;
  };
  const takes = async (key: string) => (await readSandbox(rig.nc)).find((row) => row.key === key)?.takes;

  it("go on when the one that leads is paused, and when it wakes up late nothing is done twice", async () => {
    const { leader, other } = await two();
    process.kill(leader.pid, "SIGSTOP");
    const pausedAtMs = performance.now();
    try {
      const of = await held();
      await reported(rig.eventLog, of, "OPENED");
      const id = await erase();
      expect((await endOf(rig, "erase", id)).step).toBe("DONE");
      await until("it is captured", async () => (await lastStepOf(rig.eventLog, of)) === "CAPTURED passage");
      expect(performance.now() - pausedAtMs).toBeLessThan(10_000);
      expect(await takes(processorKey(of))).toBe(1);
    } finally {
      process.kill(leader.pid, "SIGCONT");
    }
    await until("the other one leads alone", () => heard.length === 2 && leaders().join() === other.name);
    const of = await held();
    await reported(rig.eventLog, of, "FAILED");
    await until("it is let go", async () => (await lastStepOf(rig.eventLog, of)) === "VOIDED gate_failed");
    expect(leaders()).toEqual([other.name]);
  }, 60_000);

  it("go on when the one that leads is killed in the middle", async () => {
    const { leader } = await two();
    const ids = await Promise.all(Array.from({ length: 10 }, erase));
    const orders = await Promise.all(Array.from({ length: 5 }, held));
    await Promise.all(orders.map((of) => reported(rig.eventLog, of, "OPENED")));
    await leader.kill();
    for (const id of ids) expect((await endOf(rig, "erase", id)).step).toBe("DONE");
    for (const of of orders) {
      await until("it is captured", async () => (await lastStepOf(rig.eventLog, of)) === "CAPTURED passage");
      expect(await takes(processorKey(of))).toBe(1);
    }
  }, 60_000);

  it("share no folder", async () => {
    const dataDir = rig.folder();
    await start("ledger-c", dataDir);
    await expect(start("ledger-d", dataDir)).rejects.toThrow(/in use by another process/);
  });
});
