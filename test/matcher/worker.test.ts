// One matcher with real threads on a real nats-server: enrol, search in two rounds, read, change, erase, restart, refuse.
import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Matcher, startMatcher } from "../../matcher/main.js";
import {
  fetchDataKey,
  memberSubjectOf,
  pairwiseRoot,
  profileChanged,
  sealProfile,
} from "../../records/index.js";
import { bus } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { SHARDS, ShardSet } from "../../wire/shard.js";
import { type Cluster, DIMENSION, type Person, startCluster } from "./support/cluster.js";
import { bytesOf, noisy, randomUnit, seeded } from "./support/vectors.js";

const random = seeded(21);
const people: Person[] = [];
let cluster: Cluster;
let matcher: Matcher;

const start = () => startMatcher(cluster.config("one", { threads: 2, index: "hnsw" }));
const ops = async (path: string) => await (await fetch(`http://127.0.0.1:${matcher.opsPort}${path}`)).text();
const person = (n: number): Person => {
  const found = people[n];
  if (!found) throw new Error(`no person ${n}`);
  return found;
};
const nameOf = (status: number) => bus.SearchStatus[status];

beforeAll(async () => {
  cluster = await startCluster();
  matcher = await start();
  await cluster.allServed();
  for (let i = 0; i < 40; i++) people.push(await cluster.enrol(randomUnit(random, DIMENSION)));
});
afterAll(async () => {
  await matcher.close();
  await cluster.close();
});

describe("a matcher", () => {
  it("finds an enrolled member as soon as the enrolment is acknowledged, with what a decision needs of it", async () => {
    for (const each of people) {
      const best = await cluster.searcher.best(0, noisy(random, each.signature, 0.3));
      expect(best?.member).toBe(each.hex);
      expect(best?.similarity).toBeGreaterThan(0.9);
      expect(best?.facts).toMatchObject({ revision: each.sequence, profile: { consents: [1] } });
      expect(best?.facts?.booksRef).toHaveLength(16);
      expect(best?.facts?.enrolledUnixMs).toBeGreaterThan(Date.now() - 60_000);
    }
  });

  it("answers round one once a thread, each for its own shards, with as many templates as it searched", async () => {
    const { replies, searched } = await cluster.searcher.row(0, person(0).signature);
    expect(searched.size).toBe(SHARDS);
    expect(replies.map(({ thread }) => thread).sort()).toEqual([0, 1]);
    const [a, b] = replies.map(({ shards }) => ShardSet.from(shards) ?? new ShardSet());
    expect(a?.and(b ?? new ShardSet()).isEmpty).toBe(true);
    expect(replies.reduce((sum, { templates }) => sum + templates, 0)).toBe(people.length);
    for (const { near, workerId, appliedSequence, templates } of replies) {
      const distances = near.map(({ distance }) => distance ?? 0);
      expect(distances).toEqual([...distances].sort((x, y) => x - y));
      expect(near).toHaveLength(Math.min(16, templates));
      expect(workerId).toBe("one");
      expect(appliedSequence).toBeGreaterThanOrEqual(person(39).sequence);
    }
  });

  it("searches the wanted shards alone, and says nothing where it has none of them", async () => {
    const { shard, signature, hex } = person(5);
    const shards = new ShardSet([shard]);
    const { replies } = await cluster.searcher.row(0, signature, { shards });
    expect(replies).toHaveLength(1);
    expect([...(ShardSet.from(replies[0]?.shards) ?? [])]).toEqual([shard]);
    const here = people.filter((each) => each.shard === shard);
    expect(replies[0]?.templates).toBe(here.length);
    expect(replies[0]?.near).toHaveLength(here.length);
    expect((await cluster.searcher.best(0, signature, { shards }))?.member).toBe(hex);
  });

  it("refuses with a status what is no probe of its model, and what is past its deadline", async () => {
    const probe = person(0).signature;
    const shards = new ShardSet([person(0).shard]);
    const statusOf = async (vector: Float32Array, asked = {}) => {
      const { replies } = await cluster.searcher.row(0, vector, { shards, answers: 1, ...asked });
      return replies.map(({ status }) => nameOf(status)).join();
    };
    expect(await statusOf(probe, { modelId: "another" })).toBe("MODEL_MISMATCH");
    expect(await statusOf(Float32Array.from(probe).fill(Number.NaN, 0, 1))).toBe("PROBE_INVALID");
    expect(await statusOf(probe.slice(1))).toBe("PROBE_INVALID");
    expect(await statusOf(probe, { probe: new Uint8Array(3) })).toBe("PROBE_INVALID");
    expect(await statusOf(probe, { nearest: 65 })).toBe("PROBE_INVALID");
    expect(await statusOf(probe, { deadlineUnixMs: cluster.clock.nowUnixMs() - 10_000 })).toBe(
      "PAST_DEADLINE",
    );
    expect(await statusOf(probe, { gallery: "unheard-of" })).toBe("NOT_READY");
    expect(await statusOf(probe)).toBe("SEARCHED");
  });

  it("compares no handles of another life, nor past the deadline", async () => {
    const { replies } = await cluster.searcher.row(0, person(0).signature);
    const [reply] = replies;
    if (reply === undefined) throw new Error("nobody answered");
    const handles = reply.near.map(({ handle }) => handle ?? 0);
    const statusOf = async (fields: Partial<bus.ICompareRequest>) =>
      nameOf(
        (await cluster.searcher.compare(reply, { handles, ...fields }, person(0).signature)).compared.status,
      );
    expect(await statusOf({})).toBe("SEARCHED");
    expect(await statusOf({ instance: "former" })).toBe("STALE_HANDLES");
    expect(await statusOf({ handles: [4_000_000_000] })).toBe("STALE_HANDLES");
    expect(await statusOf({ deadlineUnixMs: cluster.clock.nowUnixMs() - 10_000 })).toBe("PAST_DEADLINE");
    expect(await statusOf({ handles: [] })).toBe("PROBE_INVALID");
    expect(await statusOf({ nonce: new Uint8Array(15) })).toBe("PROBE_INVALID");
    expect(await statusOf({ modelId: "another" })).toBe("MODEL_MISMATCH");
    expect(await statusOf({ probe: bytesOf(person(0).signature.slice(1)) })).toBe("PROBE_INVALID");
  });

  it("tells of a member by its id, and of another organisation's nothing", async () => {
    const { hex, id, sequence, organisation, gallery } = person(7);
    const { status, reply, facts } = await cluster.searcher.member("one", hex);
    expect(status).toBe("FOUND");
    expect(reply).toMatchObject({ gallery, templates: [{ modelId: "test-64-v1", position: 1 }] });
    expect(facts?.revision).toBe(sequence);
    const key = await fetchDataKey(cluster.eventLog, cluster.keyring, {
      organisation,
      gallery,
      memberId: id,
    });
    if (!key.ok) throw new Error(key.code);
    expect(toHex(facts?.pairwiseRoot ?? new Uint8Array())).toBe(toHex(pairwiseRoot(key.key)));
    expect((await cluster.searcher.member("one", hex, "another")).status).toBe("UNKNOWN");
    expect((await cluster.searcher.member("one", toHex(randomBytes(16)))).status).toBe("UNKNOWN");
  });

  it("tells a changed profile with its new revision, and finds the member as before", async () => {
    const { hex, id, organisation, gallery, sequence, signature } = person(9);
    const place = { organisation, gallery, memberId: id };
    const key = await fetchDataKey(cluster.eventLog, cluster.keyring, place);
    if (!key.ok) throw new Error(key.code);
    const body = profileChanged(place, sealProfile(key.key, place, { consents: [1, 2] }));
    const appended = await cluster.eventLog.append(memberSubjectOf(place), body, {
      expectedSubjectSequence: sequence,
    });
    if (!appended.ok) throw new Error(appended.code);
    await cluster.applied(["one"], { ...person(9), sequence: appended.sequence });
    const best = await cluster.searcher.best(0, signature);
    expect(best).toMatchObject({
      member: hex,
      facts: { revision: appended.sequence, profile: { consents: [1, 2] } },
    });
  });

  it("never returns an erased member again, not after a restart either, and says that it is erased", async () => {
    const erased = [person(3), person(17)];
    for (const each of erased) {
      expect((await cluster.erase(each)).confirmed.map(({ workerId }) => workerId)).toEqual(["one"]);
    }
    const seen = async () => {
      for (const each of erased) {
        expect((await cluster.searcher.best(0, each.signature))?.member).not.toBe(each.hex);
        const { status, reply, facts } = await cluster.searcher.member("one", each.hex);
        expect(status).toBe("ERASED");
        expect(reply.gallery).toBe(each.gallery);
        expect(facts).toBeUndefined();
      }
      const { replies } = await cluster.searcher.row(0, person(0).signature);
      expect(replies.reduce((sum, { templates }) => sum + templates, 0)).toBe(people.length - erased.length);
    };
    await seen();
    await matcher.close();
    matcher = await start();
    await cluster.allServed();
    await seen();
  });

  it("leaves templates of another model out, and counts them", async () => {
    const stranger = await cluster.enrol(randomUnit(random, DIMENSION), { modelId: "another-64-v1" });
    expect((await cluster.searcher.best(0, stranger.signature))?.member).not.toBe(stranger.hex);
    await expect
      .poll(() => ops("/metrics"))
      .toContain('palmgate_matcher_templates_skipped_total{reason="other_model"} 1');
  });

  it("shows operators what it holds and does", async () => {
    await expect.poll(() => ops("/readyz")).toBe("ready\n");
    const metrics = expect.poll(() => ops("/metrics"), { timeout: 5000 });
    await metrics.toContain(`palmgate_matcher_shards{state="ready"} ${SHARDS}`);
    await expect.poll(() => ops("/metrics")).toContain("palmgate_matcher_members 39");
    await expect
      .poll(() => ops("/metrics"))
      .toMatch(/palmgate_matcher_searches_total\{status="SEARCHED"\} [1-9]/);
    await expect.poll(() => ops("/metrics")).toMatch(/palmgate_matcher_search_seconds_count [1-9]/);
    await expect.poll(() => ops("/metrics")).toContain('palmgate_event_lag{stream="MEMBERS"} 0');
    const age = /^palmgate_beat_age_seconds (\S+)/m.exec(await ops("/metrics"))?.[1];
    expect(Number(age)).toBeLessThan(2);
  });

  it("takes galleries and organisations as the directory names them, each its own", async () => {
    await cluster.addOrganisation("other");
    await cluster.addGallery("other", "members");
    const twin = await cluster.enrol(person(0).signature, { organisation: "other" });
    expect((await cluster.searcher.best(0, twin.signature, { organisation: "other" }))?.member).toBe(
      twin.hex,
    );
    expect((await cluster.searcher.best(0, twin.signature))?.member).toBe(person(0).hex);
    const { replies } = await cluster.searcher.row(0, twin.signature, { organisation: "other" });
    expect(replies.reduce((sum, { templates }) => sum + templates, 0)).toBe(1);
  });

  it("serves from its store, with the same answers, what it served before a restart", async () => {
    const probes = people.map((each) => noisy(random, each.signature, 0.3));
    const ask = async () => {
      const answers: unknown[] = [];
      for (const probe of probes) {
        const best = await cluster.searcher.best(0, probe);
        answers.push({ ...best, similarity: best?.similarity.toFixed(5) });
      }
      return answers;
    };
    const before = await ask();
    await matcher.close();
    // Nothing to fall back on: the log's own copies are gone while nobody looks.
    await (await jetstreamManager(cluster.nc)).streams.purge("MEMBERS");
    matcher = await start();
    await cluster.allServed();
    expect(await ask()).toEqual(before);
  });

  it("serves again by itself after nats-server was restarted, and takes new members", async () => {
    await cluster.nats.kill();
    await cluster.nats.restart();
    const served = async () =>
      (await cluster.searcher.best(0, person(0).signature).catch(() => undefined))?.member;
    await expect.poll(served, { timeout: 15_000 }).toBe(person(0).hex);
    await cluster.allServed();
    const newcomer = await cluster.enrol(randomUnit(random, DIMENSION));
    expect((await cluster.searcher.best(0, newcomer.signature))?.member).toBe(newcomer.hex);
  });
});
