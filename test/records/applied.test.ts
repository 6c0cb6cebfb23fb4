import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type AppliedQuestion, askApplied } from "../../records/index.js";
import { bus, encode } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { appliedSubject } from "../../wire/subjects.js";
import { openRig, type Rig } from "./support/rig.js";
import { type FakeWorker, fakeWorker } from "./support/worker.js";

const SHARD = 7;

describe("asking workers what they have applied", () => {
  let rig: Rig;
  let fakes: FakeWorker[] = [];
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(() => {
    for (const fake of fakes) fake.leave();
    fakes = [];
  });
  afterAll(() => rig.close());

  const worker = async (workerId: string, answer: Parameters<typeof fakeWorker>[2], instance?: string) => {
    const place = { shard: SHARD, workerId, ...(instance === undefined ? {} : { instance }) };
    const fake = await fakeWorker(rig.nc, place, answer);
    fakes.push(fake);
    return fake;
  };
  const ask = (workers: string[], more: Partial<AppliedQuestion> = {}) =>
    askApplied(rig.nc, { workers, shard: SHARD, sequence: 5, waitMs: 500, ...more });

  it("is whole when every worker that was named has confirmed, and tells which life of it did", async () => {
    const fake = await worker("w1", "APPLIED");
    await worker("w2", "APPLIED", "i2");
    await worker("stranger", "APPLIED");
    const answer = await ask(["w1", "w2"]);
    expect(answer.missing).toEqual([]);
    expect(new Set(answer.confirmed)).toEqual(
      new Set([
        { workerId: "w1", instance: "i1" },
        { workerId: "w2", instance: "i2" },
      ]),
    );
    expect(fake.requests).toHaveLength(1);
    expect(fake.requests[0]).toMatchObject({ streamSequence: 5 });
    expect(fake.requests[0]?.waitMs).toBeLessThan(500);
  });

  it("does not take one for the other: a paused worker is missing, though its twin has confirmed", async () => {
    await worker("w1", "APPLIED");
    await worker("paused", "silent");
    const startedAtMs = performance.now();
    const answer = await ask(["w1", "paused", "gone"]);
    expect(performance.now() - startedAtMs).toBeLessThan(1500);
    expect(answer).toEqual({
      confirmed: [{ workerId: "w1", instance: "i1" }],
      missing: ["paused", "gone"],
      storeFull: [],
      stillPresent: [],
      doubled: [],
    });
  });

  it("counts as not confirmed what two processes say under one name, also when the second speaks later", async () => {
    const erasedMemberId = Uint8Array.from(randomBytes(16));
    await worker("w1", "APPLIED", "i1");
    await worker("w1", "APPLIED", "i2");
    expect(await ask(["w1"], { erasedMemberId })).toMatchObject({
      confirmed: [],
      missing: ["w1"],
      doubled: ["w1"],
    });
    await worker("w2", "APPLIED", "i1");
    await worker("w2", () => new Promise((resolve) => setTimeout(() => resolve("APPLIED"), 30)), "i2");
    expect(await ask(["w2"], { erasedMemberId })).toMatchObject({ confirmed: [], doubled: ["w2"] });
  });

  it("tells a full disk, a member still present and being late apart, and goes on asking the others", async () => {
    await worker("full", "STORE_FULL");
    await worker("bug", "STILL_PRESENT");
    await worker("late", "NOT_YET");
    await worker("fine", "APPLIED");
    const answer = await ask(["full", "bug", "late", "fine"]);
    expect(answer).toMatchObject({
      confirmed: [{ workerId: "fine" }],
      missing: ["full", "bug", "late"],
      storeFull: ["full"],
      stillPresent: ["bug"],
    });
  });

  it("tells the workers whom an erasure is about", async () => {
    const erasedMemberId = Uint8Array.from(randomBytes(16));
    const fake = await worker("w1", "APPLIED");
    expect((await ask(["w1"], { erasedMemberId })).missing).toEqual([]);
    expect(toHex(fake.requests[0]?.erasedMemberId ?? new Uint8Array())).toBe(toHex(erasedMemberId));
  });

  it("waits for a worker that is just starting", async () => {
    const asking = ask(["w1"], { waitMs: 5000 });
    await rig.nc.flush();
    await worker("w1", "APPLIED");
    expect((await asking).missing).toEqual([]);
  });

  it("asks nobody when nobody is named, and ends at once when the connection is closed", async () => {
    expect(await ask([])).toMatchObject({ confirmed: [], missing: [] });
    const nc = await rig.connect();
    const asking = askApplied(nc, { workers: ["nobody"], shard: SHARD, sequence: 1, waitMs: 20_000 });
    await nc.flush();
    await nc.close();
    expect((await asking).missing).toEqual(["nobody"]);
  });

  it("ignores what is not a reply of the worker that was asked", async () => {
    const bodies = [
      new Uint8Array([255]),
      encode(bus.AppliedReply, { workerId: "other", instance: "i", status: bus.AppliedStatus.APPLIED }),
      encode(bus.AppliedReply, { workerId: "w1", instance: "", status: bus.AppliedStatus.APPLIED }),
    ];
    const subscription = rig.nc.subscribe(appliedSubject("w1", SHARD), {
      callback: (_error, message) => {
        for (const body of bodies) message.respond(body);
      },
    });
    expect(await ask(["w1"])).toMatchObject({ confirmed: [], missing: ["w1"], doubled: [] });
    subscription.unsubscribe();
  });
});
