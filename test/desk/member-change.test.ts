// When a change of a profile is answered: played matchers, on a real log.
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Members } from "../../desk/members/members.js";
import { openHolders, ServedBy, storeMember } from "../../records/index.js";
import { toHex } from "../../wire/hex.js";
import { ShardSet } from "../../wire/shard.js";
import { ORGANISATION, openRig, type Rig } from "../records/support/rig.js";
import { fakeWorker } from "../records/support/worker.js";

const SHARD = 7;
const GALLERY = "members";
const UNSERVED_AFTER_MS = 60_000;

describe("a change of a member's profile", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
    const holders = openHolders(rig.nc, Date.now);
    for (const worker of ["heard", "unheard"]) await holders.widen(worker, new ShardSet([SHARD]));
    await fakeWorker(rig.nc, { shard: SHARD, workerId: "heard" }, "APPLIED");
  });
  afterAll(() => rig.close());

  async function setUp(appliedWaitMs: number) {
    const { nc, eventLog, keyring } = rig;
    const memberId = Uint8Array.from([SHARD, ...randomBytes(15)]);
    const place = { organisation: ORGANISATION, gallery: GALLERY, memberId };
    const stored = await storeMember(eventLog, keyring, { ...place, templates: [], profile: {} });
    if (!stored.ok) throw new Error(stored.code);
    const reads: number[] = [];
    const pseudonyms = { booksRef: new Uint8Array(16), pairwiseRoot: new Uint8Array(32) };
    const facts = { memberId, revision: stored.sequence, profile: {}, ...pseudonyms, enrolledUnixMs: 1 };
    const member = { facts, gallery: GALLERY, templates: [], appliedSequence: stored.sequence };
    const members = new Members({
      ...{ eventLog, keyring, appliedWaitMs },
      client: {
        get: async (_organisation, _member, _deadlineMs, { atLeastSequence = 0 } = {}) => {
          reads.push(atLeastSequence);
          return { ok: true, member };
        },
      },
      served: new ServedBy({
        nc,
        holders: openHolders(nc, Date.now),
        // Its heartbeat has not come yet; that is no reason.
        silentMs: (worker) => (worker === "heard" ? 0 : 1000),
        unservedAfterMs: UNSERVED_AFTER_MS,
      }),
      directory: { sites: () => [], galleries: () => [] },
    });
    const change = () => members.change(ORGANISATION, toHex(memberId), (profile) => profile);
    return { change, reads, sequence: stored.sequence };
  }

  it("is not answered while a worker that holds the shard has not applied it, heard or not", async () => {
    const { change, reads } = await setUp(300);
    await expect(change()).rejects.toMatchObject({ code: "NOT_YET_DURABLE" });
    expect(reads).toEqual([0]);
  });

  it("is answered when that worker has, by one that has seen the change", async () => {
    const { change, reads, sequence } = await setUp(UNSERVED_AFTER_MS);
    let apply = () => {};
    const applied = new Promise<"APPLIED">((resolve) => {
      apply = () => resolve("APPLIED");
    });
    let asked = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const unheard = await fakeWorker(rig.nc, { shard: SHARD, workerId: "unheard" }, () => {
      asked();
      return applied;
    });
    let isAnswered = false;
    const answer = change().then(() => {
      isAnswered = true;
    });
    await isAsked;
    expect(isAnswered).toBe(false);
    apply();
    await answer;
    unheard.leave();
    expect(reads[0]).toBe(0);
    expect(reads[1]).toBeGreaterThan(sequence);
  });
});
