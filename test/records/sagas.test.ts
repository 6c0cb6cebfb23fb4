import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type EventLog,
  hasEnded,
  openSagas,
  type Saga,
  type SagaOrder,
  type Sagas,
} from "../../records/index.js";
import { sagaSubject } from "../../wire/subjects.js";
import { changedLog } from "./support/changed-log.js";
import { log, openRig, type Rig } from "./support/rig.js";

const sha256 = (text: string) => Uint8Array.from(createHash("sha256").update(text).digest());

describe("sagas", () => {
  let rig: Rig;
  const now = 1_700_000_000_000;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  const open = (eventLog: EventLog = rig.eventLog): Sagas =>
    openSagas(rig.nc, eventLog, { nowUnixMs: () => now, log });
  const order = (more: Partial<SagaOrder> = {}): SagaOrder => ({
    kind: "enrol",
    organisation: "acme",
    id: randomBytes(16).toString("hex"),
    by: "operator",
    bodySha256: sha256("what was asked"),
    intent: randomBytes(64),
    ...more,
  });
  const begun = async (sagas: Sagas, given = order()): Promise<Saga> => {
    const outcome = await sagas.begin(given);
    if (!outcome.ok) throw new Error(outcome.code);
    return outcome.saga;
  };
  const at = ({ kind, organisation, id }: SagaOrder | Saga) => [kind, organisation, id] as const;

  it("begin once, whoever asks and how often; another order under the id is told apart", async () => {
    const [one, two] = [open(), open()];
    const given = order();
    const outcomes = await Promise.all([one, two, one, two].map((sagas) => sagas.begin(given)));
    expect(outcomes.filter((each) => each.ok && !each.existing)).toHaveLength(1);
    expect(outcomes.filter((each) => each.ok && each.existing)).toHaveLength(3);
    expect(new Set(outcomes.map((each) => each.ok && each.saga.sequence)).size).toBe(1);
    expect(await one.begin({ ...given, bodySha256: sha256("something else") })).toEqual({
      ok: false,
      code: "OTHER_BODY",
    });
    const read = await two.read(...at(given));
    const { intent, bodySha256, ...plain } = given;
    expect(read).toMatchObject({ ...plain, step: "OPEN", beganUnixMs: now });
    expect([read?.intent, read?.bodySha256].map((bytes) => Buffer.from(bytes ?? []))).toEqual([
      Buffer.from(intent),
      Buffer.from(bodySha256),
    ]);
    expect(await two.read("erase", "acme", given.id)).toBeUndefined();
    expect(await two.read("enrol", "other", given.id)).toBeUndefined();
  });

  it("let one of two drivers go on from a step, and tell the other, who goes on from where it then stands", async () => {
    const drivers = [open(), open(openedAnew())];
    const saga = await begun(open());
    let wins = 0;
    const drive = async (sagas: Sagas, name: string): Promise<void> => {
      for (let round = 0; round < 50; round++) {
        const found = await sagas.read(...at(saga));
        if (found === undefined) throw new Error("lost");
        if (hasEnded(found)) return;
        const step = found.step === "OPEN" ? "ACCEPTED" : "DONE";
        const advanced = await sagas.advance(found, { step, result: Buffer.from(`${name} ${step}`) });
        if (advanced.ok) wins++;
        else expect(advanced.code).toBe("CONFLICT");
      }
    };
    await Promise.all(drivers.flatMap((sagas, at) => [drive(sagas, `a${at}`), drive(sagas, `b${at}`)]));
    expect(wins).toBe(2);
    const events = await rig.eventLog.all("SAGAS", sagaSubject(...at(saga)));
    expect(events).toHaveLength(3);
    const ended = await open().read(...at(saga));
    expect(ended).toMatchObject({ step: "DONE", beganUnixMs: saga.beganUnixMs, by: saga.by });
    expect(Buffer.from(ended?.bodySha256 ?? []).equals(saga.bodySha256)).toBe(true);
  });

  /** A log of its own on the same streams, as another process has it. */
  function openedAnew(): EventLog {
    return changedLog(rig.eventLog, {});
  }

  it("do not let a driver that slept on change anything afterwards", async () => {
    const sagas = open();
    const asleep = await begun(sagas);
    const accepted = await sagas.advance(asleep, { step: "ACCEPTED", result: new Uint8Array([1]) });
    if (!accepted.ok) throw new Error(accepted.code);
    const done = await sagas.advance(accepted.saga, { step: "DONE" });
    expect(done).toMatchObject({ ok: true, saga: { step: "DONE", result: new Uint8Array([1]) } });
    for (const late of [asleep, accepted.saga]) {
      expect(await sagas.advance(late, { step: "REFUSED", code: "BUSY" })).toEqual({
        ok: false,
        code: "CONFLICT",
      });
    }
    if (done.ok) await expect(sagas.advance(done.saga, { step: "REFUSED" })).rejects.toThrow(/has ended/);
    expect((await sagas.read(...at(asleep)))?.step).toBe("DONE");
  });

  it("destroy an intent that must leave no trace: its bytes are nowhere on disk", async () => {
    const sagas = open();
    const intent = randomBytes(200);
    const saga = await begun(sagas, order({ intent }));
    const accepted = await sagas.advance(saga, { step: "ACCEPTED" });
    if (!accepted.ok) throw new Error(accepted.code);
    expect(accepted.saga.intent).toEqual(Buffer.from(intent));
    const kept = randomBytes(200);
    await begun(sagas, order({ intent: kept }));
    const done = await sagas.advance(accepted.saga, { step: "DONE", dropIntent: true });
    expect(done).toMatchObject({ ok: true, saga: { intent: new Uint8Array() } });
    expect(await rig.eventLog.all("SAGAS", sagaSubject(...at(saga)))).toHaveLength(1);
    await rig.server.stop();
    expect(filesWith(join(rig.dir, "nats"), kept)).toHaveLength(1);
    expect(filesWith(join(rig.dir, "nats"), intent)).toEqual([]);
    await rig.server.restart();
    await expect
      .poll(() => sagas.read(...at(saga)).catch(() => "away"), { timeout: 15_000 })
      .toMatchObject({
        step: "DONE",
      });
  });

  it("destroy an intent whose destruction a crash kept from happening, when whoever goes on asks for it", async () => {
    const crashing = open(
      changedLog(rig.eventLog, {
        secureDelete: async () => ({ ok: false, code: "LOG_UNAVAILABLE", detail: "crash" }),
      }),
    );
    const crashed = await begun(open());
    const advanced = await crashing.advance(crashed, { step: "ACCEPTED", dropIntent: true });
    if (!advanced.ok) throw new Error(advanced.code);
    const subject = sagaSubject(...at(crashed));
    expect(await rig.eventLog.all("SAGAS", subject)).toHaveLength(2);
    expect(await crashing.tidy(advanced.saga)).toBe(false);
    const found = await open().read(...at(crashed));
    if (found === undefined) throw new Error("lost");
    expect(await open().tidy(found)).toBe(true);
    expect(await open().tidy(found)).toBe(true);
    expect((await rig.eventLog.all("SAGAS", subject)).map(({ sequence }) => sequence)).toEqual([
      found.sequence,
    ]);
    expect(found).toMatchObject({ step: "ACCEPTED", by: crashed.by });
    expect(found.intent).toHaveLength(0);
  });

  it("tell who waits as soon as one has ended, and how it stands when the time is up", async () => {
    const sagas = open();
    const saga = await begun(sagas);
    const startedAtMs = performance.now();
    expect(await sagas.ended(...at(saga), 200)).toMatchObject({ step: "OPEN" });
    expect(performance.now() - startedAtMs).toBeLessThan(2000);
    const waiting = Promise.all([1, 2].map(() => open().ended(...at(saga), 20_000)));
    const accepted = await sagas.advance(saga, { step: "ACCEPTED" });
    if (!accepted.ok) throw new Error(accepted.code);
    await sagas.advance(accepted.saga, { step: "DONE", result: new Uint8Array([7]) });
    const advancedAtMs = performance.now();
    expect(await waiting).toMatchObject([{ step: "DONE" }, { step: "DONE" }]);
    expect(performance.now() - advancedAtMs).toBeLessThan(1000);
    expect(await sagas.ended(...at(saga), 20_000)).toMatchObject({ step: "DONE" });
    expect(await sagas.ended("erase", "acme", saga.id, 0)).toBeUndefined();
  });

  it("are followed as they stand, then with every change, also over a restart of nats-server", async () => {
    const sagas = open();
    const before = await begun(sagas, order({ kind: "erase" }));
    const accepted = await sagas.advance(before, { step: "ACCEPTED" });
    if (!accepted.ok) throw new Error(accepted.code);
    const steps = new Map<string, string[]>();
    let caughtUp = 0;
    const follower = sagas.follow(
      (saga) => steps.set(saga.id, [...(steps.get(saga.id) ?? []), saga.step]),
      () => caughtUp++,
    );
    await follower.caughtUp();
    expect([caughtUp, steps.get(before.id)]).toEqual([1, ["ACCEPTED"]]);
    const after = await begun(sagas);
    await expect.poll(() => steps.get(after.id)).toEqual(["OPEN"]);
    await rig.server.kill();
    await rig.server.restart();
    await expect
      .poll(async () => (await sagas.advance(accepted.saga, { step: "DONE" })).ok, { timeout: 15_000 })
      .toBe(true);
    await expect.poll(() => steps.get(before.id), { timeout: 15_000 }).toEqual(["ACCEPTED", "DONE"]);
    await follower.stop();
  });

  it("say LOG_UNAVAILABLE, and begin once all the same when the answer was lost", async () => {
    let lost = 1;
    const sagas = open(
      changedLog(rig.eventLog, {
        append: async (...call) => {
          const appended = await rig.eventLog.append(...call);
          return lost-- > 0 ? { ok: false, code: "LOG_UNAVAILABLE", detail: "lost" } : appended;
        },
      }),
    );
    const given = order();
    expect(await sagas.begin(given)).toEqual({ ok: false, code: "LOG_UNAVAILABLE" });
    expect(await sagas.begin(given)).toMatchObject({ ok: true, existing: true });
    expect(await rig.eventLog.all("SAGAS", sagaSubject(...at(given)))).toHaveLength(1);
  });
});

/** Names of the files below `dir` that hold the bytes. */
function filesWith(dir: string, bytes: Uint8Array): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(Buffer.from(bytes)));
}
