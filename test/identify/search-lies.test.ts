// Answers that are none, against scripted workers over a real nats-server.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bus } from "../../wire/codec.js";
import { ofVector } from "../matcher/support/vectors.js";
import { BOB, openSearches, type Searches } from "./support/searches.js";

/** A machine that is busy with other tests must not make healthy workers late. */
const NEVER_MS = 60_000;

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

describe("an answer that is none", () => {
  const lies: [string, (reply: bus.CompareReply.$Properties) => bus.CompareReply.$Properties][] = [
    [
      "similarity 1e30",
      (reply) => ({
        ...reply,
        candidates: reply.candidates?.map((each) => ({ ...each, similarity: 1e30 })) ?? [],
      }),
    ],
    [
      "similarity NaN",
      (reply) => ({
        ...reply,
        candidates: reply.candidates?.map((each) => ({ ...each, similarity: Number.NaN })) ?? [],
      }),
    ],
    [
      "an id of 15 bytes",
      (reply) => ({ ...reply, candidates: [{ memberId: new Uint8Array(15), similarity: 0.5 }] }),
    ],
    ["worst first", (reply) => ({ ...reply, candidates: [...(reply.candidates ?? [])].reverse() })],
    ["another life's", (reply) => ({ ...reply, instance: "another" })],
  ];
  it.each(lies)("%s: the twin is asked", async (_, lie) => {
    const [, b, , d] = await on.bothRows();
    let lied = false;
    for (const each of [b, d]) {
      each.script.compare = ({ reply }) => {
        if (lied) return reply;
        lied = true;
        return lie(reply);
      };
    }
    const found = await on.search({ probe: ofVector(Float32Array.of(0.6, 0.8)) });
    expect(found).toMatchObject({ complete: true });
    expect(found.candidates[0]?.member).toBe(BOB);
    expect(on.client.counts).toMatchObject({ secondAsks: 1, answersDropped: 1 });
  });

  const broken: [string, (reply: bus.CompareReply.$Properties) => bus.CompareReply.$Properties["profile"]][] =
    [
      ["do not come", () => null],
      [
        "are changed by one bit",
        ({ profile }) => {
          const ciphertext = profile?.ciphertext?.slice() ?? new Uint8Array(1);
          ciphertext[0] = (ciphertext[0] ?? 0) ^ 1;
          return { ...profile, ciphertext };
        },
      ],
    ];
  it.each(broken)(
    "facts that %s: the twin is asked; where there is none, the answer is not whole",
    async (_, broke) => {
      const [, b, , d] = await on.bothRows();
      let lied = false;
      for (const each of [b, d]) {
        each.script.compare = ({ reply }) => {
          if (lied) return reply;
          lied = true;
          return { ...reply, profile: broke(reply) ?? null };
        };
      }
      const probe = ofVector(Float32Array.of(0.6, 0.8));
      const found = await on.search({ probe });
      expect(found.candidates[0]).toMatchObject({ member: BOB, facts: { revision: 1 } });
      for (const each of [b, d])
        each.script.compare = ({ reply }) => ({ ...reply, profile: broke(reply) ?? null });
      expect(await on.search({ probe })).toMatchObject({ complete: false, candidates: [] });
    },
  );

  it("facts of an earlier request do not open", async () => {
    await on.worker(0, 0);
    const b = await on.worker(0, 1);
    let old: bus.CompareReply.$Properties["profile"];
    b.script.compare = ({ reply }) => {
      old ??= reply.profile;
      return { ...reply, profile: old ?? null };
    };
    const probe = ofVector(Float32Array.of(0.6, 0.8));
    expect(await on.search({ probe })).toMatchObject({ complete: true });
    expect(await on.search({ probe })).toMatchObject({ complete: false });
  });

  it("for shards of another worker: they do not count, its own do", async () => {
    const b = await on.worker(0, 1);
    const all = new Uint8Array(32).fill(255);
    b.script.search = ({ reply }) => ({ ...reply, shards: all });
    expect(await on.search()).toMatchObject({ complete: false, missing: 128 });
    const others = new Uint8Array(32).fill(0b01010101);
    b.script.search = ({ reply }) => ({ ...reply, shards: others });
    expect(await on.search()).toMatchObject({ complete: false, missing: 256 });
  });

  it("handles of an earlier life: that worker is asked anew, once", async () => {
    await on.worker(0, 0);
    const b = await on.worker(0, 1);
    let lives = 0;
    b.script.compare = ({ reply }) => (lives++ === 0 ? { status: bus.SearchStatus.STALE_HANDLES } : reply);
    expect(await on.search()).toMatchObject({ complete: true });
    expect(b.heard.own).toBe(1);
    lives = Number.NEGATIVE_INFINITY;
    b.script.compare = () => ({ status: bus.SearchStatus.STALE_HANDLES });
    expect(await on.search()).toMatchObject({ complete: false });
  });
});
