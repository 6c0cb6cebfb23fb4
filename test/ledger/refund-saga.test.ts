// Refunds on a real nats-server.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { processorKey } from "../../records/index.js";
import { bus, encode } from "../../wire/codec.js";
import { buryLeader, mortal } from "./support/mortal.js";
import {
  authorised,
  type Order,
  order,
  reported,
  type ScriptedProcessor,
  scriptedProcessor,
  stepsOf,
} from "./support/payments.js";
import {
  ORGANISATION,
  openRig,
  type Rig,
  type TestLedger,
  type TestLedgerOptions,
  until,
} from "./support/rig.js";
import { begin, endOf } from "./support/sagas.js";

describe("a refund", () => {
  let rig: Rig;
  let processor: ScriptedProcessor;
  let ledgers: TestLedger[] = [];
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(async () => {
    for (const each of ledgers) await each.close();
    ledgers = [];
  });
  afterAll(() => rig.close());

  const ledger = async (options: TestLedgerOptions = {}) => {
    const opened = await rig.openLedger({ processor, ...options });
    ledgers.push(opened);
    return opened;
  };
  const refund = async (of: Order, amountMinor = 450) => {
    const intent = encode(bus.RefundIntent, { presentationId: of.presentationId, amountMinor });
    await begin(rig, "refund", of.presentationHex, intent);
    return of.presentationHex;
  };
  const captured = async () => {
    const of = order();
    await authorised(rig.eventLog, of, { granted: true });
    await reported(rig.eventLog, of, "OPENED");
    await until("it is captured", async () => (await stepsOf(rig.eventLog, of)).includes("CAPTURED passage"));
    return of;
  };
  const refundsOf = (of: Order) => processor.moves.filter((move) => move === `refund ${processorKey(of)}`);

  it("gives back what was captured, once, and says so in the payment's log", async () => {
    processor = scriptedProcessor();
    await Promise.all([ledger(), ledger()]);
    const of = await captured();
    expect(await endOf(rig, "refund", await refund(of))).toMatchObject({ step: "DONE" });
    expect(await stepsOf(rig.eventLog, of)).toEqual([
      "REQUESTED",
      "AUTHORISED",
      "CAPTURED passage",
      "REFUNDED operator",
    ]);
    expect(refundsOf(of)).toHaveLength(1);
  });

  it("is refused for what was not captured, for another amount, and for what nobody paid", async () => {
    processor = scriptedProcessor();
    await ledger();
    const held = order();
    await authorised(rig.eventLog, held, { granted: true });
    expect(await endOf(rig, "refund", await refund(held))).toMatchObject({ code: "CONFLICT" });
    const of = await captured();
    expect(await endOf(rig, "refund", await refund(of, 449))).toMatchObject({ code: "CONFLICT" });
    expect(await endOf(rig, "refund", await refund(order()))).toMatchObject({ code: "NOT_FOUND" });
    expect(processor.moves.filter((move) => move.startsWith("refund"))).toEqual([]);
  });

  it("stays open and shown while the processor does not answer", async () => {
    processor = scriptedProcessor();
    const one = await ledger();
    const of = await captured();
    processor.mood = (_, what) => (what === "refund" ? "silent" : "works");
    const id = await refund(of);
    await until("it waits", () => one.state().pending.some((each) => each.id === id));
    expect(one.state().sagas.refund.open).toBe(1);
    processor.mood = () => "works";
    expect(await endOf(rig, "refund", id)).toMatchObject({ step: "DONE" });
  }, 60_000);

  it("goes on after a kill at any of its writes, and gives back once", async () => {
    for (let diesAfter = 1; ; diesAfter++) {
      processor = scriptedProcessor();
      const before = await ledger();
      const of = await captured();
      await before.close();
      ledgers = [];
      const id = await refund(of);
      const life = mortal(diesAfter);
      const first = await rig.openLedger({ processor, life });
      const died = await Promise.race([
        life.dead.then(() => true),
        endOf(rig, "refund", id).then(() => false),
      ]);
      if (died) {
        await buryLeader(rig.eventLog, rig.keyring);
        await ledger();
      }
      expect(await endOf(rig, "refund", id)).toMatchObject({ step: "DONE", organisation: ORGANISATION });
      expect((await stepsOf(rig.eventLog, of)).filter((step) => step.startsWith("REFUNDED"))).toHaveLength(1);
      expect(refundsOf(of)).toHaveLength(1);
      await first.close();
      for (const each of ledgers) await each.close();
      ledgers = [];
      if (!died) return;
    }
  }, 90_000);
});
