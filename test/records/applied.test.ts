import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { askApplied } from "../../records/index.js";
import { openRig, type Rig } from "./support/rig.js";
import { type FakeWorker, fakeWorker } from "./support/worker.js";

describe("asking holders whether they have applied", () => {
  let rig: Rig;
  let workers: FakeWorker[] = [];
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(() => {
    for (const worker of workers) worker.leave();
    workers = [];
  });
  afterAll(() => rig.close());

  const place = { gallery: "g", partition: 1 };
  const question = { ...place, sequence: 7, waitMs: 400 };
  const worker = async (workerId: string, answer: Parameters<typeof fakeWorker>[2]) => {
    const each = await fakeWorker(rig.nc, { ...place, workerId }, answer);
    workers.push(each);
    return each;
  };
  const timed = async <T>(run: Promise<T>): Promise<[T, number]> => {
    const startedAtMs = performance.now();
    const result = await run;
    return [result, performance.now() - startedAtMs];
  };

  it("is content with the first of several for an enrolment, though others are silent", async () => {
    await worker("slow", "silent");
    const quick = await worker("quick", "APPLIED");
    const [answer, tookMs] = await timed(askApplied(rig.nc, { ...question, holders: "first" }));
    expect(answer).toEqual({ ok: true, workers: ["quick"] });
    expect(tookMs).toBeLessThan(question.waitMs);
    expect(quick.requests[0]?.streamSequence).toBe(7);
    expect(quick.requests[0]?.waitMs).toBeLessThan(question.waitMs);
  });

  it("wants all holders for an erasure, and tells them whom it is about", async () => {
    const erasedMemberId = new Uint8Array(16).fill(9);
    const a = await worker("a", "APPLIED");
    await worker("b", "APPLIED");
    const answer = await askApplied(rig.nc, { ...question, holders: 2, erasedMemberId });
    expect(answer).toMatchObject({ ok: true });
    expect(new Set(answer.workers)).toEqual(new Set(["a", "b"]));
    expect(Buffer.from(a.requests[0]?.erasedMemberId ?? [])).toEqual(Buffer.from(erasedMemberId));
  });

  it("does not count one worker twice", async () => {
    await worker("a", "APPLIED");
    await worker("a", "APPLIED");
    const answer = await askApplied(rig.nc, { ...question, holders: 2 });
    expect(answer).toEqual({ ok: false, code: "NOT_YET_DURABLE", workers: ["a"] });
  });

  it("answers NOT_YET_DURABLE when one is missing at the end, or all have spoken and one has not", async () => {
    await worker("a", "APPLIED");
    await worker("b", "silent");
    const [late, lateMs] = await timed(askApplied(rig.nc, { ...question, holders: 2 }));
    expect(late).toEqual({ ok: false, code: "NOT_YET_DURABLE", workers: ["a"] });
    expect(lateMs).toBeGreaterThanOrEqual(question.waitMs - 5);
    workers.pop()?.leave();
    await worker("c", "NOT_YET");
    const [spoken, spokenMs] = await timed(askApplied(rig.nc, { ...question, holders: 2 }));
    expect(spoken).toEqual({ ok: false, code: "NOT_YET_DURABLE", workers: ["a"] });
    expect(spokenMs).toBeLessThan(question.waitMs);
  });

  it("tells a full disk and a member still present from being late", async () => {
    await worker("full", "STORE_FULL");
    expect(await askApplied(rig.nc, { ...question, holders: "first" })).toMatchObject({ code: "STORE_FULL" });
    workers.pop()?.leave();
    await worker("odd", "STILL_PRESENT");
    expect(await askApplied(rig.nc, { ...question, holders: 1 })).toMatchObject({ code: "STILL_PRESENT" });
  });

  it("waits for a holder to come, and answers NO_HOLDER when none does", async () => {
    expect(await askApplied(rig.nc, { ...question, holders: "first" })).toEqual({
      ok: false,
      code: "NO_HOLDER",
      workers: [],
    });
    const asked = askApplied(rig.nc, { ...question, waitMs: 5000, holders: "first" });
    await rig.nc.flush();
    await worker("late", "APPLIED");
    expect(await asked).toEqual({ ok: true, workers: ["late"] });
  });

  it("ends at once when the connection is closed while it waits for a holder", async () => {
    const nc = await rig.connect();
    const asked = timed(askApplied(nc, { ...question, waitMs: 5000, holders: "first" }));
    await nc.flush();
    await nc.close();
    const [answer, tookMs] = await asked;
    expect(answer).toMatchObject({ ok: false, code: "NO_HOLDER" });
    expect(tookMs).toBeLessThan(5000);
  });

  it("ignores what is not a reply", async () => {
    const stranger = rig.nc.subscribe("applied.g.1", {
      callback: (_error, message) => {
        message.respond(new Uint8Array([255, 255, 255]));
        message.respond(new Uint8Array());
      },
    });
    await worker("a", "APPLIED");
    expect(await askApplied(rig.nc, { ...question, holders: "first" })).toEqual({ ok: true, workers: ["a"] });
    stranger.unsubscribe();
  });
});
