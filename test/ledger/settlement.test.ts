// Money follows the goods: settlement on a real nats-server, with ledgers as they run and a processor that is scripted.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { GIVE_UP_AFTER_MS } from "../../ledger/settle-rule.js";
import { processorKey } from "../../records/index.js";
import { bus, edge, encode } from "../../wire/codec.js";
import { decisionSubject } from "../../wire/subjects.js";
import { buryLeader, mortal } from "./support/mortal.js";
import {
  authorised,
  lastStepOf,
  type Order,
  order,
  reported,
  type ScriptedProcessor,
  scriptedProcessor,
  stepsOf,
  writeStep,
} from "./support/payments.js";
import {
  CAPTURING_SITE,
  OTHER_ORGANISATION,
  openRig,
  REPORT_WITHIN_MS,
  type Rig,
  type TestLedger,
  type TestLedgerOptions,
  until,
} from "./support/rig.js";

const { PaymentStep } = bus;
const MINUTE_MS = 60_000;

describe("settlement", () => {
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
  const leading = async (options: TestLedgerOptions = {}) => {
    processor = scriptedProcessor();
    const opened = await ledger(options);
    await until("it leads", () => opened.leads() && opened.notReady().length === 0);
    return opened;
  };
  const ends = (of: Order, step: string, withinMs?: number) =>
    until(`${step}`, async () => (await lastStepOf(rig.eventLog, of)) === step, withinMs);

  it.each([
    ["OPENED", "CAPTURED passage", ["capture"]],
    ["FAILED", "VOIDED gate_failed", ["void"]],
    ["EXPIRED", "VOIDED not_heard", ["void"]],
  ] as const)("ends a payment whose passage was reported %s as %s", async (passage, end, moves) => {
    await leading();
    const of = order();
    await authorised(rig.eventLog, of, { granted: true });
    await reported(rig.eventLog, of, passage);
    await ends(of, end);
    expect(processor.moves).toEqual(moves.map((move) => `${move} ${processorKey(of)}`));
  });

  it("follows the site's rule when nobody reports in time, and counts it", async () => {
    const one = await leading();
    const void_ = order();
    const capture = order({ site: CAPTURING_SITE });
    const startedAtMs = performance.now();
    await authorised(rig.eventLog, void_, { granted: true });
    await authorised(rig.eventLog, capture, { granted: true });
    await Promise.all([ends(void_, "VOIDED unreported"), ends(capture, "CAPTURED unreported")]);
    expect(performance.now() - startedAtMs).toBeGreaterThan(REPORT_WITHIN_MS);
    const counted = await one.metrics.registry.getSingleMetricAsString("palmgate_served_unreported_total");
    expect(counted).toContain('palmgate_served_unreported_total{rule="void"} 1');
    expect(counted).toContain('palmgate_served_unreported_total{rule="capture"} 1');
  });

  it("lets go at once what is held for a lane that was refused", async () => {
    await leading();
    const of = order();
    await authorised(rig.eventLog, of, { granted: false });
    await ends(of, "VOIDED given_up", 5000);
  });

  it("goes by the lane's last decision: what was granted and then taken back is let go at once", async () => {
    await leading();
    const of = order({ site: CAPTURING_SITE });
    await authorised(rig.eventLog, of, { granted: true });
    const { organisation, site, deviceId, presentationHex, presentationId, booksRef } = of;
    const decision = { atUnixMs: Date.now(), presentationId, organisation, site, deviceId, booksRef };
    const taken = await rig.eventLog.append(
      decisionSubject(organisation, site, deviceId, presentationHex),
      encode(bus.DecisionEvent, { ...decision, granted: false, purpose: edge.Purpose.PAY }),
    );
    expect(taken.ok).toBe(true);
    await ends(of, "VOIDED given_up", 5000);
  });

  it("gives up what was asked for and never decided, and does so at once when that was long ago by the log's clock", async () => {
    const requested = order();
    const undecided = order();
    const longAgo = Date.now() - GIVE_UP_AFTER_MS - MINUTE_MS;
    await writeStep(rig.eventLog, requested, PaymentStep.REQUESTED, longAgo);
    await authorised(rig.eventLog, undecided, { granted: undefined, atUnixMs: longAgo });
    await leading();
    await Promise.all([ends(requested, "VOIDED given_up"), ends(undecided, "VOIDED given_up")]);
  });

  it("ends what the issuer did not answer in time by asking what became of it", async () => {
    await leading();
    const held = order();
    const declined = order();
    processor.states.set(processorKey(declined), "DECLINED");
    for (const of of [held, declined]) {
      await writeStep(rig.eventLog, of, PaymentStep.REQUESTED);
      await writeStep(rig.eventLog, of, PaymentStep.UNKNOWN);
    }
    await Promise.all([ends(held, "VOIDED given_up"), ends(declined, "DECLINED")]);
  });

  it("captures what was served while nobody knew yet what the issuer says", async () => {
    await leading();
    const of = order();
    await writeStep(rig.eventLog, of, PaymentStep.REQUESTED);
    await reported(rig.eventLog, of, "OPENED");
    await writeStep(rig.eventLog, of, PaymentStep.UNKNOWN);
    await ends(of, "CAPTURED passage");
  });

  it("gives back what was taken when the gate turns out to have failed", async () => {
    await leading();
    const of = order({ site: CAPTURING_SITE });
    await authorised(rig.eventLog, of, { granted: true });
    await ends(of, "CAPTURED unreported");
    await reported(rig.eventLog, of, "FAILED");
    await ends(of, "REFUNDED gate_failed");
    expect(processor.moves.filter((move) => move.endsWith(of.presentationHex))).toEqual([
      `capture ${processorKey(of)}`,
      `refund ${processorKey(of)}`,
    ]);
  });

  it("does to one organisation's payment nothing that another's of the same presentation id asks for", async () => {
    await leading();
    const one = order();
    const { presentationId, presentationHex } = one;
    const other = order({ presentationId, presentationHex, organisation: OTHER_ORGANISATION });
    await authorised(rig.eventLog, other, { granted: true });
    await authorised(rig.eventLog, one, { granted: false });
    await ends(one, "VOIDED given_up");
    expect(processor.moves).toEqual([`void ${processorKey(one)}`]);
    await reported(rig.eventLog, other, "OPENED");
    await ends(other, "CAPTURED passage");
    expect(processor.moves).toEqual([`void ${processorKey(one)}`, `capture ${processorKey(other)}`]);
  });

  it("notes once that a passage was reported after its money was let go, with two ledgers at it", async () => {
    const one = await leading();
    const two = await ledger();
    const of = order();
    await authorised(rig.eventLog, of, { granted: true });
    await ends(of, "VOIDED unreported");
    await reported(rig.eventLog, of, "OPENED");
    await ends(of, "VOIDED served");
    const counts = await Promise.all(
      [one, two].map(({ metrics }) =>
        metrics.registry.getSingleMetric("palmgate_served_not_paid_total")?.get(),
      ),
    );
    expect(counts.reduce((sum, count) => sum + (count?.values[0]?.value ?? 0), 0)).toBe(1);
    expect((await stepsOf(rig.eventLog, of)).filter((step) => step === "VOIDED served")).toHaveLength(1);
  });

  it("with an empty folder looks at passages of late, and not at all that ever were", async () => {
    const [late, ancient] = [order(), order()];
    const longAgo = Date.now() - 30 * 24 * 60 * MINUTE_MS;
    for (const of of [late, ancient]) {
      await writeStep(rig.eventLog, of, PaymentStep.REQUESTED, longAgo);
      await writeStep(rig.eventLog, of, PaymentStep.VOIDED, longAgo);
    }
    await reported(rig.eventLog, ancient, "OPENED", longAgo);
    await reported(rig.eventLog, late, "OPENED");
    await leading();
    await ends(late, "VOIDED served");
    expect(await lastStepOf(rig.eventLog, ancient)).toBe("VOIDED");
  });

  it("settles six payments of gateways whose clocks are twenty minutes off the log's, either way", async () => {
    for (const stepMs of [20 * MINUTE_MS, -20 * MINUTE_MS]) {
      const one = await leading();
      const orders = Array.from({ length: 6 }, () => order());
      for (const [index, of] of orders.entries()) {
        await authorised(rig.eventLog, of, { granted: true, atUnixMs: Date.now() + (index % 2) * stepMs });
      }
      for (const of of orders.slice(0, 3)) await reported(rig.eventLog, of, "OPENED");
      await Promise.all(orders.slice(0, 3).map((of) => ends(of, "CAPTURED passage")));
      await Promise.all(orders.slice(3).map((of) => ends(of, "VOIDED unreported")));
      await one.close();
    }
  });

  it("settles what it finds at start, of whichever clock, by the time it has known of it", async () => {
    const ahead = order();
    await authorised(rig.eventLog, ahead, { granted: true, atUnixMs: Date.now() + 20 * MINUTE_MS });
    await leading();
    await ends(ahead, "VOIDED unreported");
  });

  it("lets no payment wait for those that cannot be settled, and shows these", async () => {
    processor = scriptedProcessor();
    const stuck = Array.from({ length: 60 }, () => order());
    const stuckKeys = new Map(stuck.map((of, index) => [processorKey(of), index]));
    processor.mood = (key) => {
      const index = stuckKeys.get(key);
      if (index === undefined) return "works";
      return index % 2 === 0 ? "refuses" : "silent";
    };
    for (const of of stuck) {
      await authorised(rig.eventLog, of, { granted: true });
      await reported(rig.eventLog, of, "OPENED");
    }
    const one = await ledger();
    await until("all of them were tried", () => one.state().payments.open >= stuck.length);
    await until("it leads", () => one.leads());
    await until("some are stuck", () => one.state().pending.length > 0);
    const fresh = order();
    await authorised(rig.eventLog, fresh, { granted: true });
    await reported(rig.eventLog, fresh, "OPENED");
    await ends(fresh, "CAPTURED passage", 8000);
    const { pending, payments } = one.state();
    expect(payments.oldestMs).toBeGreaterThan(0);
    expect(pending[0]).toMatchObject({ kind: "settle", organisation: "acme" });
    expect(pending.map(({ detail }) => detail).join()).toMatch(
      /the processor (refuses|does not answer) the capture/,
    );
    const overdue = await one.metrics.registry.getSingleMetricAsString("palmgate_payments_overdue");
    expect(Number(/palmgate_payments_overdue (\d+)/.exec(overdue)?.[1])).toBeGreaterThan(10);
    processor.mood = () => "works";
    await until("all are settled", () => one.state().payments.open === 0, 60_000);
    expect(processor.moves.filter((move) => move.startsWith("capture")).length).toBe(stuck.length + 1);
  }, 90_000);

  const CASES: [string, (of: Order) => Promise<void>, string, string[]][] = [
    [
      "a capture",
      async (of) => {
        await authorised(rig.eventLog, of, { granted: true });
        await reported(rig.eventLog, of, "OPENED");
      },
      "CAPTURED passage",
      ["capture"],
    ],
    [
      "a void",
      async (of) => {
        await authorised(rig.eventLog, of, { granted: true });
        await reported(rig.eventLog, of, "FAILED");
      },
      "VOIDED gate_failed",
      ["void"],
    ],
  ];
  it.each(CASES)(
    "goes on with %s after a kill at any of its writes, and does it once",
    async (_, begin, end, moves) => {
      for (let diesAfter = 1; diesAfter < 8; diesAfter++) {
        processor = scriptedProcessor();
        const life = mortal(diesAfter);
        const of = order();
        await begin(of);
        const first = await rig.openLedger({ processor, life });
        const died = await Promise.race([life.dead.then(() => true), ends(of, end).then(() => false)]);
        if (died) {
          await buryLeader(rig.eventLog, rig.keyring);
          await ledger();
          await ends(of, end);
        }
        expect(processor.moves).toEqual(moves.map((move) => `${move} ${processorKey(of)}`));
        const steps = await stepsOf(rig.eventLog, of);
        expect(steps.length, `steps ${steps.join(", ")}`).toBe(new Set(steps).size);
        await first.close();
        for (const each of ledgers) await each.close();
        ledgers = [];
        if (!died) return;
      }
      throw new Error("it never came to its end by itself");
    },
  );
});
