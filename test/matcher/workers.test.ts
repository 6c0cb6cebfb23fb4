// Several matcher processes: one is killed, one joins, one leaves, and every partition stays served.
import { afterEach, describe, expect, it } from "vitest";
import { bus } from "../../wire/codec.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

const PARTITIONS = 6;
const DEADLINE_MS = 60_000;
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

/** Waits until the newcomer serves its share and the others have let go of it. @returns what the others hold then */
async function shared(newcomer: string): Promise<number> {
  const states = await cluster.workers.until((all) => {
    const own = all.find(({ workerId }) => workerId === newcomer)?.partitions ?? [];
    const total = all.flatMap(({ partitions }) => partitions ?? []);
    return (
      own.length > 0 &&
      total.length === cluster.gallery.replicas * PARTITIONS &&
      total.every(({ ready }) => ready)
    );
  });
  return states.filter(({ workerId }) => workerId !== newcomer).flatMap(({ partitions }) => partitions ?? [])
    .length;
}

/** Asks every partition again and again until stopped; counts what was not a good answer. */
function askWithoutPause(people: Person[]) {
  const result = { asked: 0, failed: [] as string[] };
  let stopped = false;
  const done = (async () => {
    for (let i = 0; !stopped; i++) {
      const person = people[i % people.length];
      if (!person) return;
      result.asked += 1;
      try {
        const reply = await cluster.search(person.partition, person.signature);
        if (reply.status !== bus.SearchStatus.SEARCHED)
          result.failed.push(bus.SearchStatus[reply.status] ?? "?");
        else if ((reply.candidates[0]?.similarity ?? 0) < 0.999) result.failed.push("wrong");
      } catch (error) {
        result.failed.push(String(error));
      }
    }
  })();
  return async () => {
    stopped = true;
    await done;
    return result;
  };
}

describe("matchers among themselves", () => {
  it("take over what a killed one held", { timeout: DEADLINE_MS }, async () => {
    cluster = await startCluster(PARTITIONS, 2);
    await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
    await cluster.allServed(2);
    const people = await enrolSome(24);
    const victim = await cluster.startProcess("c");
    const before = await shared("c");
    await victim.kill();
    await cluster.workers.until((states) => states.length === 2);
    await cluster.allServed(2);
    const held = await cluster.workers.until(() => true);
    expect(before).toBeLessThan(2 * PARTITIONS);
    expect(held.flatMap(({ partitions }) => partitions ?? [])).toHaveLength(2 * PARTITIONS);
    for (const each of people) expect(await cluster.best(each.signature)).toBe(each.hex);
  });

  it("go on without the killed one at once: the other replica has everything", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster(PARTITIONS, 2);
    const [a] = await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
    await cluster.allServed(2);
    const people = await enrolSome(12);
    await a?.kill();
    // NATS knows of the lost connection as soon as the kernel has closed it.
    const served = () => cluster.best(people[0]?.signature ?? new Float32Array()).catch(String);
    await expect.poll(served, { timeout: 2000, interval: 20 }).toBe(people[0]?.hex);
    for (const each of people) expect(await cluster.best(each.signature)).toBe(each.hex);
  });

  it("hand partitions over, to a newcomer and back, without a moment unserved, even with one replica", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster(PARTITIONS, 1);
    await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
    await shared("a");
    const people = await enrolSome(24);
    const stop = askWithoutPause(people);
    const newcomer = await cluster.startProcess("c");
    await shared("c");
    await newcomer.stop();
    await cluster.workers.until((states) => states.length === 2);
    await cluster.allServed(1);
    const { asked, failed } = await stop();
    expect(asked).toBeGreaterThan(50);
    expect(failed).toEqual([]);
  });
});
