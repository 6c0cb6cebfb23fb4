// The runner over sagas that are scripted: what is open here, and what is told of its end.
import { afterEach, describe, expect, it } from "vitest";
import { SagaRunner } from "../../ledger/saga-runner.js";
import type { Saga } from "../../records/index.js";
import { log, ORGANISATION, until } from "./support/rig.js";

const saga = (id: string, changed: Partial<Saga> = {}): Saga => ({
  ...{ kind: "erase", organisation: ORGANISATION, id, step: "OPEN", sequence: 1, beganUnixMs: 0, by: "test" },
  ...{
    bodySha256: new Uint8Array(),
    intent: new Uint8Array(),
    result: new Uint8Array(),
    code: "",
    detail: "",
  },
  ...changed,
});

describe("a saga runner", () => {
  let runner: SagaRunner | undefined;
  afterEach(() => runner?.close());

  interface Script {
    read(id: string): Saga | undefined;
    step?(saga: Saga): void;
    maxTasks?: number;
  }
  const open = ({ read, step = () => {}, maxTasks }: Script) => {
    let tell: (saga: Saga) => void = () => {};
    const ended: Saga[] = [];
    const attempt = async (given: Saga) => {
      step(given);
      return { done: true } as const;
    };
    const opened = new SagaRunner({
      sagas: {
        follow: (onSaga, onCaughtUp) => {
          tell = onSaga;
          queueMicrotask(onCaughtUp);
          return { stop: async () => {}, lag: () => 0, caughtUp: async () => {} };
        },
        read: async (_, __, id) => read(id),
      },
      steps: { enrol: attempt, erase: attempt, refund: attempt },
      active: () => true,
      nowUnixMs: () => 0,
      log,
      onEnded: (each) => ended.push(each),
      ...(maxTasks === undefined ? {} : { maxTasks }),
    });
    runner = opened;
    return { opened, ended, tell: (each: Saga) => tell(each) };
  };

  it("tells once of one that another ledger has ended, whichever it hears of first", async () => {
    let reads = 0;
    const done = saga("a", { step: "DONE", sequence: 2 });
    const { opened, ended, tell } = open({
      read: () => {
        reads++;
        return done;
      },
    });
    tell(saga("a"));
    await until("it was looked at", () => reads > 0);
    tell(done);
    tell(done);
    expect(ended).toEqual([done]);
    expect(opened.count("erase").open).toBe(0);
  });

  it("tells of one that the log has forgotten", async () => {
    const { opened, ended, tell } = open({ read: () => undefined });
    tell(saga("a"));
    await until("it is told", () => ended.length === 1);
    expect(ended[0]).toMatchObject({ id: "a", code: "GONE" });
    expect(opened.count("erase").open).toBe(0);
  });

  it("comes to those that its list had no room for", async () => {
    const tried: string[] = [];
    const { opened, tell } = open({
      read: (id) => saga(id),
      step: ({ id }) => {
        tried.push(id);
        if (id === "a") tell(saga("a", { step: "DONE", sequence: 2 }));
      },
      maxTasks: 1,
    });
    tell(saga("a"));
    tell(saga("b"));
    await until("the first is tried", () => tried.includes("a"));
    await until("the other one is tried", () => {
      opened.sweep();
      return tried.includes("b");
    });
  });
});
