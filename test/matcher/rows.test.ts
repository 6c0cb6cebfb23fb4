// Several matcher processes in rows of slots: one is killed, all are, one leaves, a spare waits or takes over, and what is
// served stays served.
import { afterEach, describe, expect, it } from "vitest";
import type { bus } from "../../wire/codec.js";
import { SHARDS, ShardSet } from "../../wire/shard.js";
import { askWithoutPause } from "./support/asking.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

const DEADLINE_MS = 120_000;
const timeout = { timeout: DEADLINE_MS };
let cluster: Cluster;

afterEach(async () => {
  await cluster.close();
});

const enrolSome = async (count: number): Promise<Person[]> => {
  const random = seeded(31);
  const people: Person[] = [];
  for (let i = 0; i < count; i++) people.push(await cluster.enrol(randomUnit(random, DIMENSION)));
  return people;
};
const allFound = async (row: number, people: readonly Person[]) => {
  for (const each of people)
    expect((await cluster.searcher.best(row, each.signature))?.member).toBe(each.hex);
};
const readyOf = (states: readonly bus.IWorkerState[], workerId: string) =>
  ShardSet.from(states.find((each) => each.workerId === workerId)?.shardsReady)?.size ?? 0;

describe("two rows", () => {
  it(
    "each answer for everybody; when one is killed the other has everything, and it finds its slot again",
    timeout,
    async () => {
      cluster = await startCluster({ rows: 2 });
      const [a] = await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
      await cluster.allServed();
      const people = await enrolSome(12);
      const before = await cluster.claims();
      expect([...before.values()].sort()).toEqual(["a", "b"]);
      const rowOfA = before.get("0.0") === "a" ? 0 : 1;
      for (const row of [0, 1]) await allFound(row, people);

      await a?.kill();
      await allFound(1 - rowOfA, people);
      await cluster.onlyAlive("b");
      // A spare is there, and does not copy what a twin serves.
      await cluster.startProcess("spare");
      await cluster.workers.until((states) => states.some(({ workerId }) => workerId === "spare"));
      await cluster.passed(5000);
      expect(await cluster.claims()).toEqual(before);

      await cluster.startProcess("a");
      await cluster.allServed();
      expect(await cluster.claims()).toEqual(before);
      await allFound(rowOfA, people);
      expect(await cluster.holders.holdersOf(0)).toEqual(["a", "b"]);
    },
  );

  it("serve everybody again after all were killed and started anew", timeout, async () => {
    cluster = await startCluster({ rows: 2 });
    const children = await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
    await cluster.allServed();
    const people = await enrolSome(8);
    const claims = await cluster.claims();
    await Promise.all(children.map((child) => child.kill()));
    const missed = await cluster.store(randomUnit(seeded(77), DIMENSION));
    await cluster.onlyAlive();
    await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
    await cluster.allServed();
    expect(await cluster.claims()).toEqual(claims);
    for (const row of [0, 1]) await allFound(row, [...people, missed]);
  });

  it(
    "are restarted one after the other under load without a wrong answer or an unanswered one",
    timeout,
    async () => {
      cluster = await startCluster({ rows: 2 });
      const children = new Map(
        await Promise.all(["a", "b"].map(async (id) => [id, await cluster.startProcess(id)] as const)),
      );
      await cluster.allServed();
      const people = await enrolSome(10);
      const claims = await cluster.claims();
      const stop = askWithoutPause(cluster, people);
      for (const id of ["a", "b"]) {
        const startedAtMs = performance.now();
        await children.get(id)?.stop();
        expect(performance.now() - startedAtMs).toBeLessThan(5000);
        children.set(id, await cluster.startProcess(id));
        await cluster.allServed();
      }
      const { asked, failed } = await stop();
      expect(asked).toBeGreaterThan(50);
      expect(failed).toEqual([]);
      expect(await cluster.claims()).toEqual(claims);
    },
  );
});

describe("a worker that leaves", () => {
  it(
    "first says that it serves nothing, answers on, and keeps slot and shards for when it is back",
    timeout,
    async () => {
      cluster = await startCluster();
      const only = await cluster.startProcess("only");
      await cluster.allServed();
      const [person] = await enrolSome(1);
      if (person === undefined) throw new Error("nobody");
      const said: number[] = [];
      cluster.workers.onEach((states) => {
        if (states.length > 0) said.push(readyOf(states, "only"));
      });
      const leaving = only.stop();
      await cluster.workers.until((states) => states.length > 0 && readyOf(states, "only") === 0);
      // Whoever had asked it before still gets both rounds.
      expect((await cluster.searcher.best(0, person.signature))?.member).toBe(person.hex);
      await leaving;
      await cluster.onlyAlive();
      expect(said.at(-1)).toBe(0);
      expect((await cluster.claims()).get("0.0")).toBe("only");
      expect(await cluster.holders.holdersOf(person.shard)).toEqual(["only"]);
    },
  );
});

describe("a spare", () => {
  it(
    "takes over at once what nobody serves; who comes back lets go of all that it had",
    timeout,
    async () => {
      cluster = await startCluster({ slots: 2 });
      const started = await Promise.all(["a", "b", "c"].map((id) => cluster.startProcess(id)));
      await cluster.allServed();
      const people = await enrolSome(16);
      const claims = await cluster.claims();
      const victimId = claims.get("0.1") ?? "";
      const spareId = ["a", "b", "c"].find((id) => ![...claims.values()].includes(id));
      await started.find(({ name }) => name === victimId)?.kill();
      await cluster.workers.until((states) => states.every(({ workerId }) => workerId !== victimId));
      await cluster.allServed();
      expect((await cluster.claims()).get("0.1")).toBe(spareId);
      await allFound(0, people);

      const odd = people.find(({ shard }) => shard % 2 === 1);
      if (odd === undefined) throw new Error("nobody in an odd shard");
      expect(await cluster.holders.holdersOf(odd.shard)).toEqual([victimId, spareId].sort());
      await cluster.startProcess(victimId);
      await cluster.workers.until((states) => {
        const back = states.find(({ workerId }) => workerId === victimId);
        return back !== undefined && !back.hasSlot && ShardSet.from(back.shardsOpen)?.isEmpty === true;
      });
      await expect.poll(() => cluster.holders.holdersOf(odd.shard), { timeout: 10_000 }).toEqual([spareId]);
      expect((await cluster.erase(odd)).confirmed.map(({ workerId }) => workerId)).toEqual([spareId]);
      await allFound(
        0,
        people.filter((each) => each !== odd),
      );
    },
  );
});

describe("a worker with another number of threads", () => {
  it("reads the shards that moved anew, and has everybody", timeout, async () => {
    cluster = await startCluster();
    const first = await cluster.startProcess("only", ["--threads", "3"]);
    await cluster.allServed();
    const people = await enrolSome(12);
    const [erased] = people;
    if (erased === undefined) throw new Error("nobody");
    expect((await cluster.erase(erased)).missing).toEqual([]);
    await first.stop();
    await cluster.onlyAlive();
    for (const threads of ["1", "2"]) {
      const next = await cluster.startProcess("only", ["--threads", threads]);
      await cluster.allServed();
      await allFound(0, people.slice(1));
      expect((await cluster.searcher.member("only", erased.hex)).status).toBe("ERASED");
      await next.stop();
      await cluster.onlyAlive();
    }
  });
});

describe("a restart of nats-server", () => {
  it("moves nothing, though a spare hears nobody for a while, and all serve again", timeout, async () => {
    cluster = await startCluster({ slots: 2 });
    await Promise.all(["a", "b", "spare"].map((id) => cluster.startProcess(id)));
    await cluster.allServed();
    const people = await enrolSome(6);
    const claims = await cluster.claims();
    await cluster.nats.kill();
    await cluster.nats.restart();
    const served = async () =>
      (await cluster.searcher.row(0, randomUnit(seeded(1), DIMENSION))).searched.size;
    await expect.poll(served, { timeout: 30_000 }).toBe(SHARDS);
    await cluster.passed(5000);
    expect(await cluster.claims()).toEqual(claims);
    await allFound(0, people);
  });
});

describe("a fleet that changes", () => {
  it("fills a row that is added from its spares", timeout, async () => {
    cluster = await startCluster();
    await cluster.startProcess("a");
    await cluster.allServed();
    await cluster.startProcess("b");
    const people = await enrolSome(6);
    await cluster.setFleet(2, 1);
    await cluster.workers.until((states) => states.filter(({ hasSlot }) => hasSlot).length === 2);
    await cluster.allServed();
    for (const row of [0, 1]) await allFound(row, people);
  });

  it(
    "deals shards out anew when slots are added, without a moment unserved, and holds none twice in the end",
    timeout,
    async () => {
      cluster = await startCluster();
      await Promise.all([cluster.startProcess("a", ["--threads", "2"]), cluster.startProcess("b")]);
      await cluster.allServed();
      const people = await enrolSome(16);
      const stop = askWithoutPause(cluster, people);
      await cluster.setFleet(1, 2);
      await cluster.workers.until(
        (states) =>
          states.length === 2 &&
          states.every(({ shardsOpen, hasSlot }) => hasSlot && ShardSet.from(shardsOpen)?.size === 128),
      );
      await cluster.allServed();
      const { asked, failed } = await stop();
      expect(asked).toBeGreaterThan(10);
      expect(failed).toEqual([]);
      await allFound(0, people);
      for (const shard of [0, 1]) expect(await cluster.holders.holdersOf(shard)).toHaveLength(1);
    },
  );
});
