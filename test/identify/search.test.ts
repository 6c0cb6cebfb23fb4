// Against scripted workers over a real nats-server.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { bus, decode } from "../../wire/codec.js";
import { ShardSet } from "../../wire/shard.js";
import {
  ALICE,
  BOB,
  CARL,
  DEADLINE_MS,
  DORA_OF_ANOTHER,
  openSearches,
  person,
  type Searches,
} from "./support/searches.js";

/** A machine that is busy with other tests must not make healthy workers late. */
const NEVER_MS = 60_000;

const hexOf = (bytes: Uint8Array = new Uint8Array()) => Buffer.from(bytes).toString("hex");

let on: Searches;
beforeAll(async () => {
  on = await openSearches();
});
beforeEach(() => on.renew(NEVER_MS));
afterEach(async () => {
  expect(on.client.active).toBe(0);
  await on.rig.noWorkers();
});
afterAll(() => on.close());

describe("a whole row", () => {
  it("answers for every shard, and the best member's facts come with it", async () => {
    await on.worker(0, 0, 2);
    await on.worker(0, 1, 3);
    const found = await on.search();
    expect(found).toMatchObject({ complete: true, missing: 0, templates: 3 });
    expect(found.candidates.map(({ member }) => member)).toEqual([ALICE, BOB, CARL]);
    expect(found.candidates[0]?.similarity).toBe(1);
    expect(found.candidates[0]?.facts).toMatchObject({ profile: { consents: [1] }, revision: 1 });
  });

  it("is asked once, and only the threads with the best of all are asked to compare", async () => {
    const [a, b, c, d] = await on.bothRows();
    for (const each of [b, d]) each.people = [];
    await on.search();
    const heard = [a, b, c, d].map((each) => each.heard);
    expect(heard.map(({ row }) => row).toSorted()).toEqual([0, 0, 1, 1]);
    expect(heard.reduce((sum, { compares }) => sum + compares, 0)).toBe(1);
    expect(heard.every(({ own }) => own === 0)).toBe(true);
  });

  it("chooses no template twice where a thread still has shards that another one answers for", async () => {
    const old = await on.worker(0, 0);
    const heir = await on.worker(0, 1);
    const asked = new Map([old, heir].map(({ id }) => [id, [] as number[]]));
    for (const each of [old, heir]) {
      each.script.compare = ({ request, reply }) => {
        asked.get(each.id)?.push(...request.handles);
        return reply;
      };
    }
    const all = [ALICE, BOB, CARL].map((hex, handle) => ({
      handle,
      similarity: 0.9,
      shard: Number.parseInt(hex.slice(0, 2), 16),
    }));
    old.script.search = ({ reply }) => ({ ...reply, shards: ShardSet.all().bytes(), near: all });
    const found = await on.search();
    expect(found.candidates.map(({ member }) => member)).toEqual([ALICE, BOB, CARL]);
    expect(asked).toEqual(
      new Map([
        [old.id, [0]],
        [heir.id, [1, 2]],
      ]),
    );
  });

  it("finds nobody of another organisation", async () => {
    await on.worker(0, 0);
    await on.worker(0, 1);
    const members = (await on.search()).candidates.map(({ member }) => member);
    expect(members.some((member) => member.startsWith("07"))).toBe(false);
    expect((await on.search({ organisation: "other" })).candidates.map(({ member }) => member)).toEqual([
      DORA_OF_ANOTHER,
    ]);
  });

  it("finds nobody in an empty gallery, and that is a whole answer", async () => {
    await on.worker(0, 0);
    await on.worker(0, 1);
    expect(await on.search({ gallery: "empty" })).toEqual({
      complete: true,
      missing: 0,
      candidates: [],
      templates: 0,
    });
  });

  it("shares the searches with the other row", async () => {
    const [a, , c] = await on.bothRows();
    await Promise.all(Array.from({ length: 40 }, () => on.search()));
    expect(a.heard.row).toBe(20);
    expect(c.heard.row).toBe(20);
  });
});

describe("the probe", () => {
  it("goes as little-endian floats in round one, with codes where there are any; line maps, where there are any, in round two", async () => {
    const a = await on.worker(0, 0);
    await on.worker(0, 1);
    // A view amid other words: only its own are sent.
    const lines = Uint32Array.of(9, 0x01020304, 0xfffffffe, 9).subarray(1, 3);
    const codes = Uint32Array.of(9, 0x0a0b0c0d, 9).subarray(1, 2);
    await on.search({ probe: { vector: Float32Array.of(0.6, 0.8), lines, codes } });
    const [first = new Uint8Array(), second = new Uint8Array()] = a.bodies;
    const asked = decode(bus.SearchRequest, first);
    const compared = decode(bus.CompareRequest, second);
    expect([hexOf(asked?.probe), hexOf(asked?.codes)]).toEqual(["9a99193f" + "cdcc4c3f", "0d0c0b0a"]);
    expect([hexOf(compared?.probe), hexOf(compared?.lines)]).toEqual(["", "04030201" + "feffffff"]);
    expect(Math.abs((asked?.deadlineUnixMs ?? 0) - Date.now() - DEADLINE_MS)).toBeLessThan(500);
  });

  it("leaves nothing of itself in what was sent, once the search has ended", async () => {
    const [a, , c] = await on.bothRows();
    for (const each of [a, c]) {
      each.script.search = ({ reply, row }) =>
        row ? { ...reply, status: bus.SearchStatus.NOT_CURRENT } : reply;
    }
    const sent: Uint8Array[] = [];
    const really = on.rig.nats.publish.bind(on.rig.nats);
    const publish = vi.spyOn(on.rig.nats, "publish").mockImplementation((subject, payload, options) => {
      if (/^(row|worker)\./.test(subject)) sent.push(payload as Uint8Array);
      really(subject, payload, options);
    });
    try {
      const lines = new Uint32Array(100).fill(7);
      const probe = { vector: Float32Array.of(0.6, 0.8), lines, codes: lines };
      expect(await on.search({ probe })).toMatchObject({ complete: true });
    } finally {
      publish.mockRestore();
    }
    expect(sent.length).toBeGreaterThanOrEqual(4);
    expect(sent.every((body) => body.length > 30 && body.every((byte) => byte === 0))).toBe(true);
  });
});

describe("a shard that nobody serves", () => {
  it("is missing, long before the deadline", async () => {
    await on.worker(0, 0);
    const fromMs = performance.now();
    expect(await on.search()).toEqual({ complete: false, missing: 128, candidates: [], templates: 1 });
    expect(performance.now() - fromMs).toBeLessThan(DEADLINE_MS / 2);
  });

  it("is everything where there is no worker at all", async () => {
    expect(await on.search()).toMatchObject({ complete: false, missing: 256 });
  });

  it("is asked of the other row at once, and costs no second ask", async () => {
    await on.worker(0, 0);
    const twin = await on.worker(1, 1);
    expect(await on.search()).toMatchObject({ complete: true });
    expect(twin.heard.own + twin.heard.row).toBe(1);
    expect(on.client.counts.secondAsks).toBe(0);
  });
});

describe("a worker that cannot answer", () => {
  it.each(["NOT_CURRENT", "NOT_READY"] as const)("says %s: its twin is asked", async (status) => {
    const [, b, , d] = await on.bothRows();
    for (const each of [b, d]) {
      each.script.search = ({ reply, row }) => (row ? { ...reply, status: bus.SearchStatus[status] } : reply);
    }
    expect(await on.search()).toMatchObject({ complete: true });
    expect(on.client.counts.secondAsks).toBe(1);
  });

  it("is behind the log, and nobody else serves its shards: the answer is not whole", async () => {
    await on.worker(0, 0);
    const b = await on.worker(0, 1);
    b.script.search = ({ reply }) => ({ ...reply, status: bus.SearchStatus.NOT_CURRENT });
    expect(await on.search()).toEqual({ complete: false, missing: 128, candidates: [], templates: 1 });
  });

  it("answers for part of its shards only: the rest is asked of its twin", async () => {
    const [a, , c] = await on.bothRows();
    for (const each of [a, c]) {
      each.script.search = ({ reply, row }) => {
        const shards = reply.shards?.slice() ?? new Uint8Array();
        if (row) shards[0] = 0;
        return { ...reply, shards };
      };
    }
    const found = await on.search();
    expect(found).toMatchObject({ complete: true });
    expect(found.candidates[0]?.member).toBe(ALICE);
  });

  it("does not know what it is asked: no twin is troubled with it", async () => {
    const all = await on.bothRows();
    for (const each of all)
      each.script.search = ({ reply }) => ({ ...reply, status: bus.SearchStatus.MODEL_MISMATCH });
    expect(await on.search()).toMatchObject({ complete: false, missing: 256 });
    expect(on.client.counts.secondAsks).toBe(0);
  });
});

it("the nearest 32 handles of all are compared, wherever they lie; of each scale where there are two", async () => {
  const near = (count: number, odd: number, similarity: number) =>
    Array.from({ length: count }, (_, n) =>
      person(`${(2 * n + odd).toString(16).padStart(2, "0")}${"ee".repeat(15)}`, [similarity - n / 1000, 0]),
    );
  const a = await on.worker(0, 0);
  const b = await on.worker(0, 1);
  a.people = near(40, 0, 0.9);
  b.people = near(40, 1, 0.8955);
  const compared = async () => {
    await on.search();
    return [a, b].map(
      ({ bodies }) => decode(bus.CompareRequest, bodies.at(-1) ?? new Uint8Array())?.handles.length,
    );
  };
  expect(await compared()).toEqual([18, 14]);
  b.script.search = ({ reply }) => ({ ...reply, scale: 2 });
  expect(await compared()).toEqual([32, 32]);
});

it("a search under way ends when the client closes", async () => {
  const a = await on.worker(0, 0);
  a.script.search = () => undefined;
  const searching = on.search();
  on.client.close();
  expect(await searching).toMatchObject({ complete: false });
});
