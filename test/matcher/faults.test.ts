// What a matcher promises must hold when it is killed in the middle, and when its disk is full.
import { afterEach, describe, expect, it } from "vitest";
import { type Matcher, startMatcher } from "../../matcher/main.js";
import { bus } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

const DEADLINE_MS = 60_000;
const KIB = 1024;
let cluster: Cluster;

afterEach(async () => {
  await cluster.close();
});

describe("a matcher that is killed", () => {
  it("has everybody whom it acknowledged when it is back, and nobody twice", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster(2, 1);
    const random = seeded(41);
    const acknowledged: Person[] = [];
    for (let round = 0; round < 2; round++) {
      const victim = await cluster.startProcess("only");
      await cluster.allServed(1);
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
      await cluster.workers.until((states) => states.length === 0);
    }
    await cluster.startProcess("only");
    await cluster.allServed(1);
    for (const { partition, signature, hex } of acknowledged) {
      const { candidates } = await cluster.search(partition, signature, { maxCandidates: 64 });
      const found = candidates.map(({ memberId }) => toHex(memberId ?? new Uint8Array()));
      expect(found[0]).toBe(hex);
      expect(new Set(found).size).toBe(found.length);
    }
  });
});

describe("a matcher whose disk is full", () => {
  const start = (mapSizeBytes: number | undefined): Promise<Matcher> =>
    startMatcher({
      natsUrl: cluster.nats.url,
      masterKey: cluster.masterKey,
      dataDir: cluster.dataDir("full"),
      workerId: "full",
      threads: 1,
      index: "exact",
      mapSizeBytes,
      opsHost: "127.0.0.1",
      opsPort: 0,
    });

  it("refuses enrolments, goes on searching, and catches up once there is room", {
    timeout: DEADLINE_MS,
  }, async () => {
    cluster = await startCluster(1, 1);
    let matcher = await start(256 * KIB);
    await cluster.allServed(1);
    const random = seeded(42);
    const people: Person[] = [];
    let refused = "";
    while (!refused) {
      await cluster.enrol(randomUnit(random, DIMENSION)).then(
        (person) => people.push(person),
        (error: Error) => {
          refused = error.message;
        },
      );
    }
    expect(refused).toContain("STORE_FULL");
    expect(people.length).toBeGreaterThan(0);
    const metrics = async () => await (await fetch(`http://127.0.0.1:${matcher.opsPort}/metrics`)).text();
    await expect.poll(metrics, { timeout: 5000 }).toContain("palmgate_matcher_store_full 1");
    const allFound = async () => {
      for (const { partition, signature, hex } of people) {
        const reply = await cluster.search(partition, signature);
        expect(reply.status).toBe(bus.SearchStatus.SEARCHED);
        expect(reply.templates).toBe(people.length);
        expect(toHex(reply.candidates[0]?.memberId ?? new Uint8Array())).toBe(hex);
      }
    };
    await allFound();
    await matcher.close();

    matcher = await start(undefined);
    await cluster.allServed(1);
    await allFound();
    people.push(await cluster.enrol(randomUnit(random, DIMENSION)));
    await allFound();
    await matcher.close();
  });
});
