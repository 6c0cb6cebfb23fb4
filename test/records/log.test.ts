import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  destroyMember,
  keySubjectOf,
  LogUnavailableError,
  openEventLog,
  storeMember,
} from "../../records/index.js";
import { APPEND_TIMEOUT_MS } from "../../records/log.js";
import { UsageError } from "../../wire/config.js";
import { startLocalNats } from "../../wire/nats-server.js";
import { STREAMS } from "../../wire/subjects.js";
import { enrolmentOf } from "./support/members.js";
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
      for (const name of Object.values(STREAMS)) await manager.streams.delete(name);
      const connections = await Promise.all(Array.from({ length: 8 }, () => rig.connect()));
      await Promise.all(connections.map((nc) => openEventLog(nc)));
      await openEventLog(rig.nc, { decisionsAgeDays: 1 });
      const { config } = await manager.streams.info("MEMBERS");
      expect(config).toMatchObject({
        storage: "file",
        discard: "new",
        deny_delete: false,
        allow_direct: true,
        max_age: 0,
      });
      const names = await manager.streams.names().next();
      expect(names.filter((each) => !each.startsWith("KV_")).sort()).toEqual(Object.values(STREAMS).sort());
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
      await manager.streams.add({
        name: "KEYS",
        subjects: ["keys.>"],
        max_age: 1e12,
        metadata: { "palmgate.layout": "2" },
      });
      await expect(openEventLog(rig.nc)).rejects.toThrow(/KEYS.*discard must be new.*max age must be 0/);
    } finally {
      await rig.close();
    }
  });
});

describe("streams", () => {
  it("of another layout are refused in one line", async () => {
    const rig = await openRig();
    try {
      const manager = await jetstreamManager(rig.nc);
      for (const metadata of [{ "palmgate.layout": "3" }, undefined]) {
        await manager.streams.delete("SAGAS");
        await manager.streams.add({
          name: "SAGAS",
          subjects: ["sagas.>"],
          ...(metadata ? { metadata } : {}),
        });
        const opening = openEventLog(rig.nc);
        await expect(opening).rejects.toThrow(UsageError);
        await expect(opening).rejects.toThrow(
          /^stream SAGAS has layout [13], and this Palmgate reads layout 2\./,
        );
      }
    } finally {
      await rig.close();
    }
  });

  it("expire by age but for members and keys, and leave half of the server's room to those", async () => {
    const maxStoreBytes = 64 * 1024 * 1024;
    const rig = await openRig({ start: (dir) => startLocalNats(dir, { maxStoreBytes }) });
    try {
      const manager = await jetstreamManager(rig.nc);
      const infos = await Promise.all(Object.values(STREAMS).map((name) => manager.streams.info(name)));
      const days = Object.fromEntries(
        infos.map(({ config }) => [config.name, config.max_age / (24 * 3600 * 1e9)]),
      );
      expect(days).toEqual({ MEMBERS: 0, KEYS: 0, SAGAS: 400, DECISIONS: 90, PAYMENTS: 400 });
      const bounded = infos.flatMap(({ config: { max_bytes } }) => (max_bytes > 0 ? max_bytes : []));
      expect(bounded).toHaveLength(3);
      expect(bounded.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(maxStoreBytes / 2);
      expect(bounded.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(maxStoreBytes / 8);
    } finally {
      await rig.close();
    }
  });

  it("that are full keep nobody from being enrolled, charged or erased: decisions fill their own place only", async () => {
    const maxBytes = { DECISIONS: 256 * 1024 };
    const rig = await openRig({ streams: { maxBytes } });
    try {
      const { eventLog, keyring } = rig;
      const before = enrolmentOf("full");
      expect((await storeMember(eventLog, keyring, before)).ok).toBe(true);
      let stored = 0;
      const body = new Uint8Array(1000);
      const decide = (at: number) => eventLog.append(`decisions.acme.door.lane.${at}`, body);
      while ((await decide(stored)).ok) stored++;
      expect(await decide(stored)).toMatchObject({ ok: false, code: "STORE_FULL" });
      expect(stored).toBeGreaterThan(100);

      expect(await storeMember(eventLog, keyring, enrolmentOf("full"))).toMatchObject({ ok: true });
      const paid = await eventLog.append("payments.acme.00", body, { expectedSubjectSequence: 0 });
      expect(paid.ok).toBe(true);
      const begun = await eventLog.append("sagas.erase.acme.00", body, { expectedSubjectSequence: 0 });
      expect(begun.ok).toBe(true);
      expect(await destroyMember(eventLog, before, "operator")).toMatchObject({ ok: true });
      expect(await eventLog.all("KEYS", keySubjectOf(before))).toEqual([]);
    } finally {
      await rig.close();
    }
  });

  it("let an event of MEMBERS leave by itself when it was appended to, and no other", async () => {
    const rig = await openRig();
    try {
      const { eventLog } = rig;
      await eventLog.append("members.beat", bytes("beat"), { ttlMs: 1000 });
      await eventLog.append("members.0.acme.g.aa", bytes("stays"));
      expect(await eventLog.last("MEMBERS", "members.beat")).toBeDefined();
      await expect.poll(() => eventLog.last("MEMBERS", "members.beat"), { timeout: 10_000 }).toBeUndefined();
      expect(await eventLog.last("MEMBERS", "members.0.acme.g.aa")).toBeDefined();
      const refused = await eventLog.append("keys.0.acme.g.aa", bytes("x"), { ttlMs: 1000 });
      expect(refused.ok).toBe(false);
    } finally {
      await rig.close();
    }
  });

  it("tell the last event of every subject", async () => {
    const rig = await openRig();
    try {
      const { eventLog } = rig;
      for (let i = 0; i < 1500; i++) await eventLog.append(`sagas.enrol.acme.${i % 700}`, bytes(`${i}`));
      await eventLog.append("sagas.erase.acme.0", bytes("other"));
      const seen: [string, string][] = [];
      let largest = 0;
      const upTo = await eventLog.lastPerSubject("SAGAS", "sagas.enrol.>", (events) => {
        largest = Math.max(largest, events.length);
        for (const { subject, body } of events) seen.push([subject, text(body)]);
      });
      const wanted = Array.from({ length: 700 }, (_, i) => [
        `sagas.enrol.acme.${i}`,
        `${i < 100 ? i + 1400 : i + 700}`,
      ]);
      expect(new Map(seen)).toEqual(new Map(wanted as [string, string][]));
      expect([seen.length, upTo, largest <= 512]).toEqual([700, 1501, true]);
      expect(await eventLog.lastPerSubject("SAGAS", "sagas.erase.>")).toHaveLength(1);
      expect(await eventLog.lastPerSubject("SAGAS", "sagas.refund.>")).toEqual([]);
    } finally {
      await rig.close();
    }
  });
});

describe("a log that is in trouble", () => {
  it("answers LOG_UNAVAILABLE in time while the server is away, and takes events when it is back", async () => {
    const rig = await openRig();
    try {
      const gone = await rig.connect();
      const cut = await openEventLog(gone);
      await gone.close();
      await expect(cut.lastPerSubject("SAGAS", "sagas.>")).rejects.toThrow(LogUnavailableError);
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
    const rig = await openRig({
      start: (storeDir) => startLocalNats(storeDir, { maxStoreBytes: 4 * 1024 * 1024 }),
    });
    try {
      const body = new Uint8Array(100_000);
      let stored = 0;
      let refused: unknown;
      while (stored < 80) {
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
