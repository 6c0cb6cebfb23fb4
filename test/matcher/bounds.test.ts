// What a matcher costs while nothing happens, and while nonsense happens.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Child } from "../../cli/stack/child.js";
import { bus, encode } from "../../wire/codec.js";
import { appliedSubject, memberReadSubject, rowSearchSubject } from "../../wire/subjects.js";
import { type Cluster, DIMENSION, startCluster } from "./support/cluster.js";
import { bytesOf, randomUnit, seeded } from "./support/vectors.js";

const timeout = { timeout: 120_000 };
const IDLE_MS = 5000;
const FLOOD = 2000;
let cluster: Cluster;
let child: Child;

beforeAll(async () => {
  cluster = await startCluster();
  child = await cluster.startProcess("only", ["--threads", "2"]);
  await cluster.allServed();
});
afterAll(() => cluster.close());

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`http://127.0.0.1:${child.ready.opsPort}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1] ?? Number.NaN);
};

describe("a matcher", () => {
  it("with all shards and nothing to do takes less than a tenth of a CPU", timeout, async () => {
    const before = await metric("process_cpu_seconds_total");
    await cluster.passed(IDLE_MS);
    expect(await metric("process_cpu_seconds_total")).toBeLessThan(before + IDLE_MS / 10_000);
  });

  it("lives through a flood of nonsense, answers on, and keeps nothing of it", timeout, async () => {
    const person = await cluster.enrol(randomUnit(seeded(61), DIMENSION));
    const before = await metric("process_resident_memory_bytes");
    const late = encode(bus.SearchRequest, {
      ...{ organisation: "org", gallery: "members", modelId: "test-64-v1", nearest: 16 },
      ...{ probe: bytesOf(person.signature), deadlineUnixMs: cluster.clock.nowUnixMs() - 10_000 },
    });
    const waiting = encode(bus.AppliedRequest, { streamSequence: Number.MAX_SAFE_INTEGER, waitMs: 30_000 });
    const reply = "nobody.listens";
    for (let i = 0; i < FLOOD; i++) {
      cluster.nc.publish(rowSearchSubject(0), late, { reply });
      cluster.nc.publish(rowSearchSubject(0), new Uint8Array([0xff, 1, 2]), { reply });
      cluster.nc.publish(appliedSubject("only", person.shard), waiting, { reply });
      cluster.nc.publish(memberReadSubject("only", person.shard), new Uint8Array([7]), { reply });
    }
    const best = async () =>
      (await cluster.searcher.best(0, person.signature).catch(() => undefined))?.member;
    await expect.poll(best, { timeout: 30_000 }).toBe(person.hex);
    const counted = () => metric('palmgate_matcher_searches_total{status="PAST_DEADLINE"}');
    await expect.poll(counted, { timeout: 30_000 }).toBeGreaterThan(0);
    const grownBytes = (await metric("process_resident_memory_bytes")) - before;
    expect(grownBytes).toBeLessThan(200 * 1024 * 1024);
    expect((await cluster.searcher.member("only", person.hex)).status).toBe("FOUND");
  });
});
