// What a matcher promises must hold when it is killed in the middle, and when its disk is full.
import { afterEach, describe, expect, it } from "vitest";
import { type Matcher, startMatcher } from "../../matcher/main.js";
import { bus } from "../../wire/codec.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

const DEADLINE_MS = 120_000;
const KIB = 1024;
let cluster: Cluster;

afterEach(async () => {
  await cluster.close();
});

describe("a matcher that is killed", () => {
  it("has everybody whom it acknowledged when it is back, and nobody twice", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster();
    const random = seeded(41);
    const acknowledged: Person[] = [];
    for (let round = 0; round < 2; round++) {
      const victim = await cluster.startProcess("only", ["--threads", "2"]);
      await cluster.allServed();
      const target = acknowledged.length + 10;
      let killed: Promise<void> | undefined;
      const enrolments = Array.from({ length: 20 }, async () => {
        const person = await cluster.enrol(randomUnit(random, DIMENSION)).catch(() => undefined);
        if (person) acknowledged.push(person);
        if (acknowledged.length >= target) killed ??= victim.kill();
      });
      await Promise.all(enrolments);
      expect(killed).toBeDefined();
      await killed;
      await cluster.onlyAlive();
    }
    await cluster.startProcess("only", ["--threads", "2"]);
    await cluster.allServed();
    for (const { signature, hex } of acknowledged) {
      expect((await cluster.searcher.best(0, signature))?.member).toBe(hex);
    }
    const { replies } = await cluster.searcher.row(0, randomUnit(random, DIMENSION));
    // All 40 are in the log, whoever heard the acknowledgement, and each is there once.
    expect(replies.reduce((sum, { templates }) => sum + templates, 0)).toBe(40);
  });
});

describe("a matcher whose disk is full", () => {
  const start = (workerId: string, mapSizeBytes: number | undefined): Promise<Matcher> =>
    startMatcher(cluster.config(workerId, { mapSizeBytes }));
  const ops = async (matcher: Matcher, path: string) =>
    await (await fetch(`http://127.0.0.1:${matcher.opsPort}${path}`)).text();
  const statusOf = async (workerId: string, { signature }: Person) => {
    const { replies } = await cluster.searcher.worker(workerId, signature);
    return replies.map(({ status }) => bus.SearchStatus[status]).join();
  };

  it("answers nothing, says so everywhere, lets its twin answer alone, and catches up once there is room", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster({ rows: 2 });
    const healthy = await start("healthy", undefined);
    let full = await start("full", 256 * KIB);
    await cluster.allServed();
    const random = seeded(42);
    const people: Person[] = [];
    let refused: string[] = [];
    while (refused.length === 0) {
      const person = await cluster.store(randomUnit(random, DIMENSION));
      people.push(person);
      refused = (await cluster.applied(["healthy", "full"], person, { waitMs: 3000 })).storeFull;
    }
    expect(refused).toEqual(["full"]);
    const [first] = people;
    const newest = people.at(-1);
    if (first === undefined || newest === undefined) throw new Error("nobody");

    // Neither the newcomer's absence nor an erased member's presence can be told by it.
    expect(await statusOf("full", newest)).toBe("NOT_CURRENT");
    expect(await statusOf("full", first)).toBe("NOT_CURRENT");
    expect((await cluster.searcher.member("full", newest.hex)).status).toBe("UNREADY");
    expect((await cluster.erase(first, 1000)).missing).toEqual(["full"]);
    expect(await statusOf("full", first)).toBe("NOT_CURRENT");
    await expect
      .poll(() => ops(full, "/metrics"), { timeout: 5000 })
      .toContain("palmgate_matcher_store_full 1");
    expect(await ops(full, "/readyz")).toMatch(/^not ready: the disk refuses writes/);
    const states = await cluster.workers.until((all) => all.some(({ storeFull }) => storeFull));
    expect(states.filter(({ storeFull }) => storeFull).map(({ workerId }) => workerId)).toEqual(["full"]);

    // The other one goes on, whole.
    expect(await statusOf("healthy", newest)).toBe("SEARCHED");
    expect((await cluster.searcher.member("healthy", newest.hex)).status).toBe("FOUND");
    expect(await ops(healthy, "/readyz")).toBe("ready\n");
    await full.close();

    full = await start("full", undefined);
    await cluster.allServed();
    expect((await cluster.erase(first)).missing).toEqual([]);
    for (const row of [0, 1]) {
      for (const { signature, hex } of people.slice(1)) {
        expect((await cluster.searcher.best(row, signature))?.member).toBe(hex);
      }
    }
    await Promise.all([full.close(), healthy.close()]);
  });
});
