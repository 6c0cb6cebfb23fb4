import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEventLog } from "../../records/index.js";
import { APPEND_TIMEOUT_MS } from "../../records/log.js";
import { startLocalNats } from "../../wire/nats-server.js";
import { openRig, type Rig } from "./support/rig.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array | undefined) => new TextDecoder().decode(body);

describe("event log", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  it("stores events in order and reads a subject back", async () => {
    const { eventLog } = rig;
    const first = await eventLog.append("members.g.0.aa", bytes("one"));
    const second = await eventLog.append("members.g.0.bb", bytes("two"));
    const third = await eventLog.append("members.g.0.aa", bytes("three"));
    if (!first.ok || !second.ok || !third.ok) throw new Error("not stored");
    expect([second.sequence, third.sequence]).toEqual([first.sequence + 1, first.sequence + 2]);
    const events = await eventLog.all("MEMBERS", "members.g.0.aa");
    expect(events.map(({ body, sequence }) => [text(body), sequence])).toEqual([
      ["one", first.sequence],
      ["three", third.sequence],
    ]);
    expect(text((await eventLog.last("MEMBERS", "members.g.0.aa"))?.body)).toBe("three");
    expect(text((await eventLog.last("MEMBERS", "members.g.0.*"))?.body)).toBe("three");
    expect(await eventLog.lastSequence("MEMBERS")).toBe(third.sequence);
    expect(Math.abs((events[0]?.atUnixMs ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it("knows no event of a subject without one", async () => {
    expect(await rig.eventLog.last("MEMBERS", "members.g.0.none")).toBeUndefined();
    expect(await rig.eventLog.all("MEMBERS", "members.g.0.none")).toEqual([]);
  });

  it("refuses an append on top of another event than the author had seen", async () => {
    const { eventLog } = rig;
    const subject = "payments.00";
    const first = await eventLog.append(subject, bytes("1"), { expectedSubjectSequence: 0 });
    if (!first.ok) throw new Error(first.detail);
    const again = await eventLog.append(subject, bytes("2"), { expectedSubjectSequence: 0 });
    expect(again).toMatchObject({ ok: false, code: "CONFLICT" });
    const next = await eventLog.append(subject, bytes("2"), { expectedSubjectSequence: first.sequence });
    expect(next.ok).toBe(true);
    expect(await eventLog.all("PAYMENTS", subject)).toHaveLength(2);
  });

  it("lets exactly one of many authors be the first of a subject", async () => {
    const tries = await Promise.all(
      Array.from({ length: 20 }, (_, author) =>
        rig.eventLog.append("payments.01", bytes(`${author}`), { expectedSubjectSequence: 0 }),
      ),
    );
    expect(tries.filter(({ ok }) => ok)).toHaveLength(1);
    expect(tries.filter((each) => !each.ok && each.code === "CONFLICT")).toHaveLength(19);
  });

  it("stores an append repeated with its message id once", async () => {
    const { eventLog } = rig;
    const once = await eventLog.append("decisions.s.d", bytes("x"), { messageId: "m1" });
    const twice = await eventLog.append("decisions.s.d", bytes("x"), { messageId: "m1" });
    expect(once).toMatchObject({ ok: true, duplicate: false });
    expect(twice).toMatchObject({ ok: true, duplicate: true, sequence: once.ok ? once.sequence : -1 });
    expect(await eventLog.all("DECISIONS", "decisions.s.d")).toMatchObject([{ messageId: "m1" }]);
  });

  it("gives each of many appends in flight its own answer", async () => {
    const subjects = Array.from({ length: 200 }, (_, i) => `members.h.0.s${i}`);
    const appended = await Promise.all(subjects.map((each) => rig.eventLog.append(each, bytes(each))));
    for (const [i, subject] of subjects.entries()) {
      const stored = await rig.eventLog.last("MEMBERS", subject);
      expect(appended[i]).toEqual({ ok: true, sequence: stored?.sequence, duplicate: false });
    }
  });

  it("does not wait for an answer that nobody can give", async () => {
    const startedAtMs = performance.now();
    const appended = await rig.eventLog.append("nobody.listens", bytes("x"));
    expect(appended).toMatchObject({ ok: false, code: "LOG_UNAVAILABLE" });
    expect(performance.now() - startedAtMs).toBeLessThan(APPEND_TIMEOUT_MS / 2);
  });

  it("securely deletes one subject only, up to a sequence, and again without harm", async () => {
    const { eventLog } = rig;
    const sequences: number[] = [];
    for (const name of ["a", "b", "a", "b", "a"]) {
      const appended = await eventLog.append(`members.d.0.${name}`, bytes(name));
      if (appended.ok) sequences.push(appended.sequence);
    }
    const [a1, b1, a2, b2, a3] = sequences;
    const kept = { keepFromSequence: a3 ?? 0 };
    expect(await eventLog.secureDelete("MEMBERS", "members.d.0.a", kept)).toEqual({
      ok: true,
      sequences: [a1, a2],
    });
    expect(await eventLog.secureDelete("MEMBERS", "members.d.0.a", kept)).toEqual({
      ok: true,
      sequences: [],
    });
    const left = async (name: string) =>
      (await eventLog.all("MEMBERS", `members.d.0.${name}`)).map(({ sequence }) => sequence);
    expect(await left("a")).toEqual([a3]);
    expect(await left("b")).toEqual([b1, b2]);
    expect(await eventLog.secureDelete("MEMBERS", "members.d.0.a")).toEqual({ ok: true, sequences: [a3] });
    expect(await eventLog.last("MEMBERS", "members.d.0.a")).toBeUndefined();
  });

  it("deletes everything when several erasers do it at once", async () => {
    const { eventLog } = rig;
    for (let i = 0; i < 20; i++) await eventLog.append("keys.d.0.x", bytes(`${i}`));
    const erasers = await Promise.all([1, 2, 3].map(() => eventLog.secureDelete("KEYS", "keys.d.0.x")));
    expect(erasers.every(({ ok }) => ok)).toBe(true);
    const deleted = erasers.flatMap((each) => (each.ok ? each.sequences : []));
    expect(new Set(deleted).size).toBe(20);
    expect(deleted).toHaveLength(20);
    expect(await eventLog.last("KEYS", "keys.d.0.x")).toBeUndefined();
  });
});

describe("opening the event log", () => {
  it("works when many do it at once, and twice, and keeps replicas and ages that an operator changed", async () => {
    const rig = await openRig();
    try {
      const manager = await jetstreamManager(rig.nc);
      for (const name of ["MEMBERS", "KEYS", "DECISIONS", "PAYMENTS"]) await manager.streams.delete(name);
      const connections = await Promise.all([1, 2, 3, 4].map(() => rig.connect()));
      await Promise.all(connections.map((nc) => openEventLog(nc)));
      await openEventLog(rig.nc, { maxDecisionsAgeDays: 1 });
      const { config } = await manager.streams.info("MEMBERS");
      expect(config).toMatchObject({
        storage: "file",
        discard: "new",
        deny_delete: false,
        allow_direct: true,
        max_age: 0,
      });
      const decisions = await manager.streams.info("DECISIONS");
      expect(decisions.config.max_age).toBe(90 * 24 * 3600 * 1e9);
    } finally {
      await rig.close();
    }
  });

  it("refuses a stream that would forget, and says what to change", async () => {
    const rig = await openRig();
    try {
      const manager = await jetstreamManager(rig.nc);
      await manager.streams.delete("KEYS");
      await manager.streams.add({ name: "KEYS", subjects: ["keys.>"], max_age: 1e12 });
      await expect(openEventLog(rig.nc)).rejects.toThrow(/KEYS.*discard must be new.*max age must be 0/);
    } finally {
      await rig.close();
    }
  });
});

describe("a log that is in trouble", () => {
  it("answers LOG_UNAVAILABLE in time while the server is away, and takes events when it is back", async () => {
    const rig = await openRig();
    try {
      await rig.server.kill();
      const startedAtMs = performance.now();
      const refused = await rig.eventLog.append("payments.02", bytes("x"), { expectedSubjectSequence: 0 });
      expect(refused).toMatchObject({ ok: false, code: "LOG_UNAVAILABLE" });
      expect(performance.now() - startedAtMs).toBeLessThan(APPEND_TIMEOUT_MS + 1000);
      expect(await rig.eventLog.secureDelete("KEYS", "keys.g.0.a")).toMatchObject({
        ok: false,
        code: "LOG_UNAVAILABLE",
      });
      await expect(rig.eventLog.last("PAYMENTS", "payments.02")).rejects.toThrow(/./);
      await rig.server.restart();
      await expect
        .poll(async () => (await rig.eventLog.append("payments.03", bytes("y"))).ok, { timeout: 10_000 })
        .toBe(true);
    } finally {
      await rig.close();
    }
  });

  it("answers STORE_FULL when the quota is used up, stores nothing then, and still reads and erases", async () => {
    const rig = await openRig((storeDir) => startLocalNats(storeDir, { maxStoreBytes: 1024 * 1024 }));
    try {
      const body = new Uint8Array(100_000);
      let stored = 0;
      let refused: unknown;
      while (stored < 30) {
        const appended = await rig.eventLog.append(`members.g.0.${stored}`, body);
        if (!appended.ok) {
          refused = appended;
          break;
        }
        stored++;
      }
      expect(refused).toMatchObject({ ok: false, code: "STORE_FULL" });
      expect(stored).toBeGreaterThan(5);
      expect(await rig.eventLog.last("MEMBERS", `members.g.0.${stored}`)).toBeUndefined();
      expect((await rig.eventLog.last("MEMBERS", "members.g.0.0"))?.body).toHaveLength(body.length);
      expect((await rig.eventLog.secureDelete("MEMBERS", "members.g.0.0")).ok).toBe(true);
      expect((await rig.eventLog.append("members.g.0.again", body)).ok).toBe(true);
    } finally {
      await rig.close();
    }
  });

  it("has every acknowledged event after a power cut in the middle of appends", async () => {
    const rig = await openRig();
    try {
      const acknowledged = new Map<number, string>();
      let issued = 0;
      let cut = false;
      const author = async () => {
        while (!cut) {
          const name = `e${issued++}`;
          const appended = await rig.eventLog.append(`members.p.0.${name}`, bytes(name));
          if (appended.ok) acknowledged.set(appended.sequence, name);
          if (acknowledged.size === 500 && !cut) {
            cut = true;
            await rig.server.kill();
          }
        }
      };
      await Promise.all(Array.from({ length: 16 }, author));
      await rig.server.restart();
      await expect
        .poll(() => rig.eventLog.lastSequence("MEMBERS").catch(() => -1), { timeout: 10_000 })
        .toBeGreaterThan(0);
      expect(acknowledged.size).toBeGreaterThanOrEqual(500);
      for (const [sequence, name] of acknowledged) {
        const found = await rig.eventLog.last("MEMBERS", `members.p.0.${name}`);
        expect([found?.sequence, text(found?.body)]).toEqual([sequence, name]);
      }
    } finally {
      await rig.close();
    }
  });
});
