// Who cannot know that it is current does not answer: a worker that was paused, that lags, or that hears no beats.
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, describe, expect, it } from "vitest";
import type { Child } from "../../cli/stack/child.js";
import { CURRENT_MS } from "../../matcher/shard-group.js";
import { bus } from "../../wire/codec.js";
import { STREAMS } from "../../wire/subjects.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { randomUnit, seeded } from "./support/vectors.js";

const timeout = { timeout: 120_000 };
let cluster: Cluster;

afterEach(async () => {
  await cluster.close();
});

const statusesOf = (replies: readonly bus.SearchReply[]) =>
  replies.map(({ status }) => bus.SearchStatus[status]);
const statusOf = async (workerId: string, vector: Float32Array) =>
  statusesOf((await cluster.searcher.worker(workerId, vector)).replies).join();
const readyz = async (child: Child) => {
  const response = await fetch(`http://127.0.0.1:${child.ready.opsPort}/readyz`);
  return `${response.status} ${await response.text()}`;
};

/** Asks one worker until it says SEARCHED. @returns what it said before, and that reply */
async function untilSearched(workerId: string, vector: Float32Array) {
  const before: string[] = [];
  const endsAtMs = performance.now() + 40_000;
  while (performance.now() < endsAtMs) {
    const { replies } = await cluster.searcher.worker(workerId, vector).catch(() => ({ replies: [] }));
    const [reply] = replies;
    if (reply?.status === bus.SearchStatus.SEARCHED) return { before, reply };
    before.push(reply === undefined ? "nothing" : (bus.SearchStatus[reply.status] ?? ""));
  }
  throw new Error(`${workerId} does not search: ${before.slice(-5).join()}`);
}

/** Members that a reply's handles stand for. */
async function membersOf(reply: bus.SearchReply, vector: Float32Array): Promise<string[]> {
  const handles = reply.near.map(({ handle }) => handle ?? 0);
  const { compared } = await cluster.searcher.compare(reply, { handles }, vector);
  return compared.candidates.map(({ memberId }) => Buffer.from(memberId ?? []).toString("hex"));
}

describe("a worker that was paused", () => {
  it(
    "answers nothing when it wakes until it knows again who is a member, and holds the erasure's receipt back",
    timeout,
    async () => {
      cluster = await startCluster({ rows: 2 });
      const [, b] = await Promise.all([cluster.startProcess("a"), cluster.startProcess("b")]);
      await cluster.allServed();
      const random = seeded(51);
      const erased = await cluster.enrol(randomUnit(random, DIMENSION));
      process.kill(b?.pid ?? 0, "SIGSTOP");
      const asleep = cluster.passed(CURRENT_MS + 1000);
      const pending = await cluster.erase(erased, 1000);
      expect(pending.missing).toEqual(["b"]);
      await cluster.onlyAlive("a");
      const newcomer = await cluster.enrol(randomUnit(random, DIMENSION));
      await asleep;

      process.kill(b?.pid ?? 0, "SIGCONT");
      // Asked at once, while its old beats are still on their way to it.
      const { before, reply } = await untilSearched("b", newcomer.signature);
      for (const status of before) expect(["NOT_CURRENT", "nothing", "PAST_DEADLINE"]).toContain(status);
      expect(reply.appliedSequence).toBeGreaterThanOrEqual(newcomer.sequence);
      expect(reply.templates).toBe(1);
      expect((await membersOf(reply, newcomer.signature))[0]).toBe(newcomer.hex);
      expect((await cluster.searcher.member("b", erased.hex)).status).toBe("ERASED");
      const confirmed = await cluster.erase(erased);
      expect(confirmed.missing).toEqual([]);
      expect(confirmed.confirmed.map(({ workerId }) => workerId).sort()).toEqual(["a", "b"]);
      await cluster.allServed();
    },
  );
});

describe("a worker that lags", () => {
  /** Consumers of stream MEMBERS, by name. */
  const consumers = async () => {
    const manager = await jetstreamManager(cluster.nc);
    const names: string[] = [];
    for await (const { name } of manager.consumers.list(STREAMS.members)) names.push(name);
    return { manager, names };
  };

  it(
    "says so, stops answering once it is behind by more than the bound, and answers right when it has caught up",
    timeout,
    async () => {
      cluster = await startCluster({ rows: 2 });
      await cluster.startProcess("a");
      await cluster.workers.until((states) => states.some(({ hasSlot }) => hasSlot));
      await expect.poll(async () => (await consumers()).names.length, { timeout: 20_000 }).toBe(1);
      const ofA = (await consumers()).names;
      const b = await cluster.startProcess("b");
      await cluster.allServed();
      const random = seeded(52);
      const erased = await cluster.enrol(randomUnit(random, DIMENSION));

      const { manager, names } = await consumers();
      for (const name of names.filter((each) => !ofA.includes(each))) {
        await manager.consumers.pause(STREAMS.members, name, new Date(Date.now() + 600_000));
      }
      const newcomer = await cluster.store(randomUnit(random, DIMENSION));
      expect((await cluster.applied(["a", "b"], newcomer, { waitMs: 1500 })).missing).toEqual(["b"]);
      expect((await cluster.erase(erased, 1500)).missing).toEqual(["b"]);
      // While it is behind by less than the bound, its answers say how far they go.
      const { replies } = await cluster.searcher.worker("b", newcomer.signature);
      for (const each of replies) expect(each.appliedSequence).toBeLessThan(newcomer.sequence);
      await cluster.passed(CURRENT_MS);
      expect(await statusOf("b", newcomer.signature)).toBe("NOT_CURRENT");
      expect((await cluster.searcher.member("b", newcomer.hex)).status).toBe("UNREADY");
      expect(await readyz(b)).toMatch(/^503 .*no beat/);
      expect(await statusOf("a", newcomer.signature)).toBe("SEARCHED");

      for (const name of (await consumers()).names) await manager.consumers.resume(STREAMS.members, name);
      const { before, reply } = await untilSearched("b", newcomer.signature);
      expect(before.every((status) => status === "NOT_CURRENT")).toBe(true);
      expect(reply.templates).toBe(1);
      expect((await membersOf(reply, newcomer.signature))[0]).toBe(newcomer.hex);
      expect((await cluster.erase(erased)).missing).toEqual([]);
    },
  );
});

describe("a worker that hears no beats", () => {
  it(
    "stops answering, whatever the machine's clock says, and goes on with the next one",
    timeout,
    async () => {
      cluster = await startCluster();
      const only = await cluster.startProcess("only");
      await cluster.allServed();
      const person: Person = await cluster.enrol(randomUnit(seeded(53), DIMENSION));
      cluster.beats.pause();
      await cluster.workers.until((states) => states.every(({ beatAgeMs }) => (beatAgeMs ?? 0) > CURRENT_MS));
      await expect.poll(() => statusOf("only", person.signature), { timeout: 5000 }).toBe("NOT_CURRENT");
      expect((await cluster.searcher.member("only", person.hex)).status).toBe("UNREADY");
      await expect.poll(() => readyz(only), { timeout: 5000 }).toMatch(/^503 .*no beat/);
      cluster.beats.resume();
      await expect.poll(() => statusOf("only", person.signature), { timeout: 5000 }).toBe("SEARCHED");
    },
  );
});
