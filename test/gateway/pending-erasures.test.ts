// Erasures that go on by themselves, on a real log with a holder that confirms when the test says so.
import { generateKeyPairSync } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type Erasure,
  openPendingErasures,
  type PendingErasures,
} from "../../gateway/api/pending-erasures.js";
import { eraseMember, signReceipt } from "../../records/index.js";
import { bus } from "../../wire/codec.js";
import { fromHex, partitionOf } from "../../wire/partition.js";
import {
  enrolSomebody,
  eventually,
  GALLERY,
  openServices,
  PARTITIONS,
  type Services,
} from "./members.support.js";

const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 80;
const { privateKey } = generateKeyPairSync("ed25519");

let services: Services;
let erasures: PendingErasures;
let attempts: { memberHex: string; asked: boolean; atMs: number }[];

beforeAll(async () => {
  services = await openServices();
});
afterAll(() => services.close());
beforeEach(() => {
  attempts = [];
  erasures = open();
});
afterEach(async () => {
  await erasures.close();
  services.holder.status = bus.AppliedStatus.APPLIED;
});

const open = () =>
  openPendingErasures({
    attempt,
    log: services.deps.log,
    firstPauseMs: FIRST_PAUSE_MS,
    maxPauseMs: MAX_PAUSE_MS,
  });

const triesOf = (id: string) => attempts.filter(({ memberHex }) => memberHex === id).length;

/** Waits until an erasure that is begun now has been tried often: anything else due would have been, too. */
async function fourTriesLater(where: PendingErasures): Promise<void> {
  services.holder.status = bus.AppliedStatus.APPLIED;
  const id = await enrolSomebody(services);
  services.holder.status = bus.AppliedStatus.NOT_YET;
  await where.erase(id, "operator");
  await eventually(
    () => triesOf(id),
    (count) => count >= 4,
  );
}

async function attempt(memberHex: string, asked: boolean): Promise<Erasure> {
  attempts.push({ memberHex, asked, atMs: performance.now() });
  const { nats: nc, eventLog, log } = services.deps;
  const memberId = fromHex(memberHex);
  const place = { gallery: GALLERY, partition: partitionOf(memberId, PARTITIONS), memberId };
  const outcome = await eraseMember({ nc, eventLog, log }, { ...place, requestedBy: "operator", holders: 1 });
  return outcome.ok ? { ok: true, receipt: signReceipt(privateKey, outcome.erasure) } : outcome;
}

const pending = { ok: false, code: "ERASURE_PENDING" };

describe("an erasure that is pending", () => {
  it("goes on by itself, with growing bounded pauses, until its receipt is there; then it needs nobody", async () => {
    const id = await enrolSomebody(services);
    services.holder.status = bus.AppliedStatus.NOT_YET;
    expect(await erasures.erase(id, "operator")).toMatchObject(pending);
    await eventually(
      () => triesOf(id),
      (count) => count >= 5,
    );
    services.holder.status = bus.AppliedStatus.APPLIED;
    const receipt = await eventually(
      () => erasures.receipt(id),
      (found) => found !== undefined,
    );
    expect(receipt).toMatchObject({ memberId: id, workers: ["m1"] });
    expect(attempts.map(({ asked }) => asked)).toEqual([true, ...attempts.slice(1).map(() => false)]);
    const pauses = attempts.slice(1).map(({ atMs }, index) => atMs - (attempts[index]?.atMs ?? 0));
    for (const [index, pauseMs] of pauses.entries()) {
      // One millisecond for the timer's rounding.
      expect(pauseMs).toBeGreaterThanOrEqual(Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** index) - 1);
    }
    services.holder.status = bus.AppliedStatus.NOT_YET;
    expect(erasures.receipt(id)).toBe(receipt);
  });

  it("is attempted once at a time: who asks meanwhile gets that one's outcome", async () => {
    const id = await enrolSomebody(services);
    const outcomes = await Promise.all([
      erasures.erase(id, "operator"),
      erasures.erase(id, "operator"),
      erasures.erase(id, "operator"),
    ]);
    expect(outcomes[0]).toMatchObject({ ok: true });
    expect([outcomes[1], outcomes[2]]).toEqual([outcomes[0], outcomes[0]]);
    expect(attempts).toHaveLength(1);
  });

  it("goes on now when somebody asks, and is left alone once whole", async () => {
    const id = await enrolSomebody(services);
    services.holder.status = bus.AppliedStatus.NOT_YET;
    expect(await erasures.erase(id, "operator")).toMatchObject(pending);
    services.holder.status = bus.AppliedStatus.APPLIED;
    expect(await erasures.erase(id, "operator")).toMatchObject({ ok: true });
    const tries = triesOf(id);
    await fourTriesLater(erasures);
    expect(triesOf(id)).toBe(tries);
  });

  it("is not tried again for a member that never was, nor after close()", async () => {
    const nobody = "0".repeat(32);
    expect(await erasures.erase(nobody, "operator")).toMatchObject({ ok: false, code: "NOT_FOUND" });
    const id = await enrolSomebody(services);
    services.holder.status = bus.AppliedStatus.NOT_YET;
    await erasures.erase(id, "operator");
    await erasures.close();
    const tries = triesOf(id);
    const others = open();
    await fourTriesLater(others);
    await others.close();
    expect([triesOf(id), triesOf(nobody)]).toEqual([tries, 1]);
  });
});
