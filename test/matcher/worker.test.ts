// One matcher with real threads on a real nats-server: enrol, search, erase, restart, refuse.
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Matcher, startMatcher } from "../../matcher/main.js";
import { bus } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { noisy, randomUnit, seeded } from "./support/vectors.js";

const PARTITIONS = 4;
const random = seeded(21);
const people: Person[] = [];
let cluster: Cluster;
let matcher: Matcher;

const start = () =>
  startMatcher({
    natsUrl: cluster.nats.url,
    masterKey: cluster.masterKey,
    dataDir: cluster.dataDir("one"),
    workerId: "one",
    threads: 2,
    index: "hnsw",
    mapSizeBytes: undefined,
    opsHost: "127.0.0.1",
    opsPort: 0,
  });
const ops = async (path: string) => await (await fetch(`http://127.0.0.1:${matcher.opsPort}${path}`)).text();
const person = (n: number): Person => {
  const found = people[n];
  if (!found) throw new Error(`no person ${n}`);
  return found;
};

beforeAll(async () => {
  cluster = await startCluster(PARTITIONS, 1);
  matcher = await start();
  await cluster.allServed(1);
  for (let i = 0; i < 40; i++) people.push(await cluster.enrol(randomUnit(random, DIMENSION)));
});
afterAll(async () => {
  await matcher.close();
  await cluster.close();
});

describe("a matcher", () => {
  it("finds an enrolled member as soon as the enrolment is acknowledged", async () => {
    for (const each of people) expect(await cluster.best(noisy(random, each.signature, 0.3))).toBe(each.hex);
  });

  it("answers with its own partition's members only, best first, and says how many it searched", async () => {
    const reply = await cluster.search(person(0).partition, person(0).signature);
    const here = people.filter(({ partition }) => partition === person(0).partition).map(({ hex }) => hex);
    expect(reply.status).toBe(bus.SearchStatus.SEARCHED);
    expect(reply.workerId).toBe("one");
    expect(reply.templates).toBe(here.length);
    expect(reply.candidates).toHaveLength(Math.min(5, here.length));
    for (const { memberId } of reply.candidates) expect(here).toContain(toHex(memberId ?? new Uint8Array()));
    const similarities = reply.candidates.map(({ similarity }) => similarity ?? 0);
    expect(similarities).toEqual([...similarities].sort((a, b) => b - a));
  });

  it("refuses with a status what is no probe of its model", async () => {
    const probe = person(0).signature;
    const nan = Float32Array.from(probe).fill(Number.NaN, 0, 1);
    const statusOf = async (vector: Float32Array, fields = {}) =>
      bus.SearchStatus[(await cluster.search(0, vector, fields)).status];
    expect(await statusOf(probe, { modelId: "another" })).toBe("MODEL_MISMATCH");
    expect(await statusOf(nan)).toBe("PROBE_INVALID");
    expect(await statusOf(probe.slice(1))).toBe("PROBE_INVALID");
    expect(await statusOf(probe, { probe: new Uint8Array(3) })).toBe("PROBE_INVALID");
    expect(await statusOf(probe)).toBe("SEARCHED");
  });

  it("never returns an erased member again, not after a restart either", async () => {
    const erased = [person(3), person(17)];
    for (const each of erased) await cluster.erase(each, 1);
    const seen = async () => {
      for (const each of erased) {
        const reply = await cluster.search(each.partition, each.signature, { maxCandidates: 64 });
        const found = reply.candidates.map(({ memberId }) => toHex(memberId ?? new Uint8Array()));
        expect(found.length).toBeGreaterThan(0);
        expect(found).not.toContain(each.hex);
      }
    };
    await seen();
    await matcher.close();
    matcher = await start();
    await cluster.allServed(1);
    await seen();
  });

  it("leaves templates of another model out, and counts them", async () => {
    const stranger = await cluster.enrol(randomUnit(random, DIMENSION), "another-64-v1");
    const reply = await cluster.search(stranger.partition, stranger.signature, { maxCandidates: 64 });
    expect(reply.candidates.map(({ memberId }) => toHex(memberId ?? new Uint8Array()))).not.toContain(
      stranger.hex,
    );
    await expect
      .poll(() => ops("/metrics"))
      .toContain('palmgate_matcher_templates_skipped_total{reason="other_model"} 1');
  });

  it("shows operators what it holds and does", async () => {
    await expect.poll(() => ops("/readyz")).toBe("ready\n");
    await expect
      .poll(() => ops("/metrics"))
      .toContain(`palmgate_matcher_partitions{state="ready"} ${PARTITIONS}`);
    await expect.poll(() => ops("/metrics")).toContain("palmgate_matcher_members 38");
    await expect
      .poll(() => ops("/metrics"))
      .toMatch(/palmgate_matcher_searches_total\{status="SEARCHED"\} [1-9]/);
    await expect.poll(() => ops("/metrics")).toMatch(/palmgate_matcher_search_seconds_count [1-9]/);
    expect(await ops("/metrics")).toContain('palmgate_event_lag{stream="MEMBERS"} 0');
  });

  it("serves from its view, with the same replies, what it served before a restart", async () => {
    const probes = people.map((each) => ({ ...each, probe: noisy(random, each.signature, 0.3) }));
    const ask = () =>
      Promise.all(
        probes.map(async ({ partition, probe }) => {
          const { searchMs: _, ...reply } = await cluster.search(partition, probe);
          return reply;
        }),
      );
    const before = await ask();
    await matcher.close();
    // Nothing to fall back on: the log's own copies are gone while nobody looks.
    await (await jetstreamManager(cluster.nc)).streams.purge("MEMBERS");
    matcher = await start();
    await cluster.allServed(1);
    expect(await ask()).toEqual(before);
  });

  it("serves again by itself after nats-server was restarted, and takes new members", async () => {
    await cluster.nats.kill();
    await cluster.nats.restart();
    const served = async () => await cluster.best(person(0).signature).catch(() => "not yet");
    await expect.poll(served, { timeout: 10_000 }).toBe(person(0).hex);
    const newcomer = await cluster.enrol(randomUnit(random, DIMENSION));
    expect(await cluster.best(newcomer.signature)).toBe(newcomer.hex);
  });
});
