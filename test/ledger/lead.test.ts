// A ledger that does not get on with its work leaves the lead to one that does, on a real nats-server.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type EventLog, LogUnavailableError } from "../../records/index.js";
import { authorised, lastStepOf, order, reported, scriptedProcessor } from "./support/payments.js";
import { openRig, type Rig, type TestLedger, type TestLedgerOptions, until } from "./support/rig.js";
import { beginErase, newId } from "./support/sagas.js";

const STILL_AFTER_MS = 700;

describe("a ledger that takes nothing of the log any more", () => {
  let rig: Rig;
  let ledgers: TestLedger[] = [];
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(async () => {
    for (const each of ledgers) await each.close();
    ledgers = [];
  });
  afterAll(() => rig.close());

  const ledger = async (options: TestLedgerOptions) => {
    const opened = await rig.openLedger({ stillAfterMs: STILL_AFTER_MS, ...options });
    ledgers.push(opened);
    return opened;
  };
  /** A log whose events of one stream are not taken any more once it is stuck, as by a view without room. */
  const sticky = (stream: string) => {
    const life = {
      stuck: false,
      rest: () => {},
      wrap: (eventLog: EventLog): EventLog => {
        const wrapped = Object.create(eventLog) as EventLog;
        for (const name of ["append", "last", "all", "standing", "drop", "secureDelete", "lastPerSubject"])
          Object.defineProperty(wrapped, name, { value: Reflect.get(eventLog, name).bind(eventLog) });
        wrapped.follow = (options) =>
          eventLog.follow({
            ...options,
            onBatch: async (events) => {
              if (life.stuck && options.stream === stream) throw new LogUnavailableError("no room");
              await options.onBatch(events);
            },
          });
        return wrapped;
      },
    };
    return life;
  };
  const news = {
    SAGAS: () => beginErase(rig, Uint8Array.from(Buffer.from(newId(), "hex"))),
    PAYMENTS: () => authorised(rig.eventLog, order(), { granted: true }),
    DECISIONS: () => reported(rig.eventLog, order(), "OPENED"),
  };

  it.each(["SAGAS", "PAYMENTS", "DECISIONS"] as const)(
    "(%s) says so, and does not lead while another one is ready; alone it leads on",
    async (stream) => {
      const life = sticky(stream);
      const processor = scriptedProcessor();
      let other: TestLedger | undefined;
      const isAnotherReady = () => other !== undefined && other.notReady().length === 0;
      const one = await ledger({ life, processor, isAnotherReady });
      await until("it leads", () => one.leads() && one.notReady().length === 0);
      life.stuck = true;
      await news[stream]();
      const line = `${stream.toLowerCase()} wait and none is taken`;
      await until("it says so", () => one.notReady().includes(line));
      expect(one.leads()).toBe(true);
      other = await ledger({ processor });
      await until("the other one leads", () => other?.leads() === true && !one.leads());
      const of = order();
      await authorised(rig.eventLog, of, { granted: true });
      await reported(rig.eventLog, of, "OPENED");
      await until("it is captured", async () => (await lastStepOf(rig.eventLog, of)) === "CAPTURED passage");
      expect(one.leads()).toBe(false);
      life.stuck = false;
      await until("it moves again", () => one.notReady().length === 0);
    },
    40_000,
  );
});
