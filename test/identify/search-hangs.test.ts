// Workers that hang, against scripted workers over a real nats-server.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ScriptedWorker } from "./support/scripted-worker.js";
import { ALICE, BOB, CARL, openSearches, type Searches } from "./support/searches.js";

let on: Searches;
beforeAll(async () => {
  on = await openSearches();
});
beforeEach(() => on.renew(60));
afterEach(async () => {
  expect(on.client.active).toBe(0);
  await on.rig.noWorkers();
});
afterAll(() => on.close());

describe("a worker that hangs", () => {
  const hang = (each: ScriptedWorker) => {
    each.script.search = () => undefined;
    each.script.compare = () => undefined;
  };

  it("is replaced by its twin after 60 ms", async () => {
    const [, b, , d] = await on.bothRows();
    for (const each of [b, d]) each.script.search = ({ reply, row }) => (row ? undefined : reply);
    const fromMs = performance.now();
    expect(await on.search()).toMatchObject({ complete: true });
    expect(performance.now() - fromMs).toBeGreaterThan(50);
    expect(on.client.counts.secondAsks).toBeGreaterThan(0);
    expect(b.heard.own + d.heard.own).toBe(1);
  });

  it("is asked no more by the time a quarter of a second has passed, and its twin is asked at once", async () => {
    const [a, b, c] = await on.bothRows();
    hang(b);
    const tookMs: number[] = [];
    for (let n = 0; n < 30; n++) {
      const fromMs = performance.now();
      expect(await on.search()).toMatchObject({ complete: true });
      tookMs.push(performance.now() - fromMs);
    }
    expect(tookMs.slice(-10).toSorted((a, b) => a - b)[5]).toBeLessThan(50);
    expect(on.client.counts.secondAsks).toBeLessThanOrEqual(12);
    expect(a.heard.row + c.heard.row).toBe(30);
  });

  it("counts again as soon as it answers", async () => {
    const [, b] = await on.bothRows();
    hang(b);
    for (let n = 0; n < 20; n++) await on.search();
    const askedBefore = b.heard.row;
    b.script.search = ({ reply }) => reply;
    b.script.compare = ({ reply }) => reply;
    await vi.waitFor(
      async () => {
        await on.search();
        expect(b.heard.row).toBeGreaterThan(askedBefore + 3);
      },
      { timeout: 5000, interval: 20 },
    );
  });

  it("in round two is replaced as well, with what its twin finds", async () => {
    const [, b, , d] = await on.bothRows();
    for (const each of [b, d]) {
      let asked = 0;
      each.script.compare = ({ reply }) => (asked++ === 0 && hung++ === 0 ? undefined : reply);
    }
    let hung = 0;
    const found = await on.search();
    expect(found).toMatchObject({ complete: true });
    expect(found.candidates.map(({ member }) => member)).toEqual([ALICE, BOB, CARL]);
    expect(on.client.counts.secondAsks).toBe(1);
  });

  it("answers late, and nobody else did: its answer counts", async () => {
    await on.worker(0, 0);
    const b = await on.worker(0, 1);
    b.script.search = async ({ reply }) => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      return reply;
    };
    expect(await on.search()).toMatchObject({ complete: true });
  });

  it("alone serves its shards: the answer comes at the deadline and is not whole", async () => {
    await on.worker(0, 0);
    hang(await on.worker(0, 1));
    const fromMs = performance.now();
    expect(await on.search({ deadlineMs: 300 })).toMatchObject({
      complete: false,
      missing: 128,
      candidates: [],
    });
    const tookMs = performance.now() - fromMs;
    expect(tookMs).toBeGreaterThan(290);
    expect(tookMs).toBeLessThan(600);
  });

  it("has a budget of second asks: a fleet that is merely slow is not asked everything twice", async () => {
    const all = await on.bothRows();
    for (const each of all) {
      each.script.search = async ({ reply }) => {
        await new Promise((resolve) => setTimeout(resolve, 120));
        return reply;
      };
    }
    const searches = 100;
    const found = await Promise.all(
      Array.from({ length: searches }, () => on.search({ deadlineMs: 20_000 })),
    );
    expect(found.every(({ complete }) => complete)).toBe(true);
    expect(on.client.counts.secondAsks).toBeLessThanOrEqual(32 + searches * 0.05);
    expect(on.client.counts.secondAsksRefused).toBeGreaterThan(0);
  });
});
