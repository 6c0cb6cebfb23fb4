// The list of work: fair, bounded, and asleep while its owner may not work.
import { afterEach, describe, expect, it } from "vitest";
import { type Attempted, WorkList, type WorkListOptions } from "../../ledger/work-list.js";
import { log, until } from "./support/rig.js";

describe("a work list", () => {
  let list: WorkList | undefined;
  afterEach(() => list?.close());

  const open = (attempt: WorkListOptions["attempt"], changed: Partial<WorkListOptions> = {}) => {
    const opened = new WorkList({
      ...{ attempt, log, what: "test", firstPauseMs: 5, maxPauseMs: 20, maxRunning: 4 },
      active: () => true,
      ...changed,
    });
    list = opened;
    return opened;
  };
  const LATER: Attempted = { done: false, detail: "not yet" };

  it("tries a thousand pieces that cannot be done, and does a new one at once", async () => {
    const done: string[] = [];
    const work = open(async (key) => {
      if (key.startsWith("stuck")) return LATER;
      done.push(key);
      return { done: true };
    });
    for (let index = 0; index < 1000; index++) work.add(`stuck-${index}`);
    await until("they were tried", () => work.tried() === 1000);
    work.add("new");
    await until("it is done", () => done.includes("new"), 500);
    expect(work.size).toBe(1000);
    expect(work.stuck(3)).toHaveLength(3);
    expect(work.oldestTriedMs()).toBeGreaterThan(0);
  });

  it("keeps room for new work beside work that hangs", async () => {
    const hanging: (() => void)[] = [];
    let hang = false;
    const done: string[] = [];
    const work = open(async (key) => {
      if (key === "new") {
        done.push(key);
        return { done: true };
      }
      if (hang) await new Promise<void>((resolve) => hanging.push(resolve));
      return LATER;
    });
    for (let index = 0; index < 20; index++) work.add(`slow-${index}`);
    await until("they were tried", () => work.tried() === 20);
    hang = true;
    await until("as many hang as may", () => hanging.length === 2);
    work.add("new");
    await until("the new one is done", () => done.length === 1, 500);
    hang = false;
    for (const release of hanging) release();
  });

  it("tries one piece once at a time, and at once again when there was news meanwhile", async () => {
    let running = 0;
    let most = 0;
    let tries = 0;
    let release = () => {};
    const work = open(async () => {
      most = Math.max(most, ++running);
      tries++;
      if (tries === 1) await new Promise<void>((resolve) => (release = resolve));
      running--;
      return { done: true };
    });
    work.add("a");
    await until("it runs", () => running === 1);
    work.add("a");
    work.add("a");
    release();
    await until("it was tried again", () => tries === 2);
    await until("nothing is left", () => work.size === 0);
    expect(most).toBe(1);
  });

  it("tries nothing while it may not, and everything when it is told that it may", async () => {
    let active = false;
    const done: string[] = [];
    const work = open(
      async (key) => {
        done.push(key);
        return { done: true };
      },
      { active: () => active },
    );
    work.add("a");
    work.add("b", 60_000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual([]);
    active = true;
    work.wake();
    await until("all are done", () => done.length === 2, 1000);
  });

  it("tries a piece once at a time, that was dropped and added anew while it ran, and once more for that", async () => {
    for (const afterMs of [0, 10]) {
      let running = 0;
      let most = 0;
      let tries = 0;
      let release = () => {};
      const work = open(async () => {
        most = Math.max(most, ++running);
        if (++tries === 1) await new Promise<void>((resolve) => (release = resolve));
        running--;
        return { done: true };
      });
      work.add("a");
      await until("it runs", () => running === 1);
      work.drop("a");
      expect(work.has("a")).toBe(false);
      work.add("a", afterMs);
      expect(work.has("a")).toBe(true);
      work.add("b");
      await until("the other one was tried", () => tries === 2);
      expect(most).toBe(2); // "a" and "b", and not "a" twice
      release();
      await until("it was tried again", () => tries === 3);
      await until("nothing is left", () => work.size === 0);
      await work.close();
    }
  });

  it("shows what waits in vain, though it says for how long, and nothing that is not due", async () => {
    const work = open(async (key) => ({
      ...LATER,
      afterMs: 60_000,
      ...(key === "vain" ? { inVain: true } : {}),
    }));
    work.add("due later");
    work.add("vain");
    await until("it is shown", () => work.tried() > 0);
    expect(work.stuck(9).map(({ key }) => key)).toEqual(["vain"]);
  });

  it("counts what throws as work for later, and forgets what is dropped", async () => {
    let tries = 0;
    const work = open(async () => {
      tries++;
      throw new Error("a bug");
    });
    work.add("a");
    await until("it was tried again", () => tries > 2);
    work.drop("a");
    await until("nothing runs", () => work.size === 0);
  });
});
