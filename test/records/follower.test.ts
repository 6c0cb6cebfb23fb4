import { jetstreamManager } from "@nats-io/jetstream";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogEvent } from "../../records/index.js";
import { append, bytes, type Followed, followAll, sequencesOf } from "./support/followed.js";
import { log, openRig, type Rig } from "./support/rig.js";

describe("follower", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());

  it("is caught up at once with a filter that has no event, though the stream has many", async () => {
    await append(rig.eventLog, "members.other.0.x", 10);
    const { follower, events } = followAll(rig.eventLog, { filters: ["members.none.0.*"] });
    await follower.caughtUp();
    expect([events, follower.position(), follower.lag()]).toEqual([[], 0, 0]);
    await follower.stop();
  });

  it("brings what was there, then what comes, of its filter only, in order and once", async () => {
    const before = await append(rig.eventLog, "members.a.0.x", 7);
    await append(rig.eventLog, "members.a.1.x", 3);
    const followed = followAll(rig.eventLog, { filters: ["members.a.0.*"], maxBatchEvents: 3 });
    await followed.follower.caughtUp();
    expect(sequencesOf(followed.events)).toEqual(before);
    expect(Math.max(...followed.batches)).toBeLessThanOrEqual(3);
    const after = await append(rig.eventLog, "members.a.0.y", 5);
    await followed.reached(after.at(-1) ?? 0);
    expect(sequencesOf(followed.events)).toEqual([...before, ...after]);
    await expect.poll(() => followed.follower.position()).toBe(after.at(-1));
    await followed.follower.stop();
  });

  it("follows many wildcards at once, in stream order, and nothing else", async () => {
    const filters = Array.from({ length: 128 }, (_, shard) => `members.w${2 * shard}.>`);
    const own: number[] = [];
    for (let i = 0; i < 64; i++) {
      own.push(...(await append(rig.eventLog, `members.w${2 * ((i * 37) % 128)}.o.g.x`)));
      await append(rig.eventLog, `members.w${2 * i + 1}.o.g.x`);
    }
    const followed = followAll(rig.eventLog, { filters, maxBatchEvents: 7 });
    await followed.follower.caughtUp();
    expect(sequencesOf(followed.events)).toEqual(own);
    own.push(...(await append(rig.eventLog, "members.w254.o.g.y")));
    await followed.reached(own.at(-1) ?? 0);
    expect(sequencesOf(followed.events)).toEqual(own);
    await followed.follower.stop();
  });

  it("goes on after the sequence it is given", async () => {
    const all = await append(rig.eventLog, "members.b.0.x", 6);
    const followed = followAll(rig.eventLog, { filters: ["members.b.0.*"], afterSequence: all[3] ?? 0 });
    await followed.follower.caughtUp();
    expect(sequencesOf(followed.events)).toEqual(all.slice(4));
    await followed.follower.stop();
  });

  it("is caught up although the last events of its filter were erased", async () => {
    const all = await append(rig.eventLog, "members.c.0.x", 4);
    await append(rig.eventLog, "members.c.0.gone", 2);
    await rig.eventLog.secureDelete("MEMBERS", "members.c.0.gone");
    const followed = followAll(rig.eventLog, { filters: ["members.c.0.*"] });
    await followed.follower.caughtUp();
    expect(sequencesOf(followed.events)).toEqual(all);
    await followed.follower.stop();
  });

  it("is caught up although the event it waited for is erased while it catches up", async () => {
    const all = await append(rig.eventLog, "members.cc.0.x", 4);
    await append(rig.eventLog, "members.cc.0.gone", 1);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let seen = () => {};
    const first = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const followed = followAll(rig.eventLog, { filters: ["members.cc.0.*"], maxBatchEvents: 2 }, () => {
      seen();
      return held;
    });
    await first;
    await rig.eventLog.secureDelete("MEMBERS", "members.cc.0.gone");
    release();
    await followed.follower.caughtUp();
    expect(sequencesOf(followed.events)).toEqual(all);
    await followed.follower.stop();
  });

  it("is not caught up before onBatch has taken what was there", async () => {
    await append(rig.eventLog, "members.e.0.x", 5);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let called = () => {};
    const inBatch = new Promise<void>((resolve) => {
      called = resolve;
    });
    const followed = followAll(rig.eventLog, { filters: ["members.e.0.*"] }, () => {
      called();
      return held;
    });
    let caughtUp = false;
    void followed.follower.caughtUp().then(() => {
      caughtUp = true;
    });
    await inBatch;
    await rig.nc.rtt();
    expect(caughtUp).toBe(false);
    expect(followed.follower.lag()).toBe(5);
    release();
    await followed.follower.caughtUp();
    expect(followed.follower.lag()).toBe(0);
    await followed.follower.stop();
  });

  it("offers a batch that was not taken again, without losing its place, and never two at once", async () => {
    const all = await append(rig.eventLog, "members.f.0.x", 9);
    let failures = 3;
    let running = 0;
    const followed = followAll(rig.eventLog, { filters: ["members.f.0.*"], maxBatchEvents: 4 }, async () => {
      running++;
      expect(running).toBe(1);
      await rig.nc.rtt();
      running--;
      if (failures-- > 0) throw new Error("disk full");
    });
    await followed.follower.caughtUp();
    expect(failures).toBeLessThan(0);
    expect(sequencesOf(followed.events)).toEqual(all);
    await followed.follower.stop();
  });

  it("keeps at most one queue of events in memory while onBatch does not take them", async () => {
    await append(rig.eventLog, "members.q.0.x", 40);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const followed = followAll(rig.eventLog, { filters: ["members.q.0.*"], maxBatchEvents: 8 }, () => held);
    const manager = await jetstreamManager(rig.nc);
    const delivered = async () => {
      const found = (await manager.consumers.list("MEMBERS").next()).filter(
        ({ config }) => config.filter_subjects?.[0] === "members.q.0.*",
      );
      return found[0]?.delivered.consumer_seq;
    };
    await expect.poll(delivered).toBe(8);
    await rig.nc.rtt();
    expect(await delivered()).toBe(8);
    release();
    await followed.follower.caughtUp();
    expect(followed.events).toHaveLength(40);
    await followed.follower.stop();
  });

  it("makes a lost consumer anew", async () => {
    const before = await append(rig.eventLog, "members.h.0.x", 3);
    const followed = followAll(rig.eventLog, { filters: ["members.h.0.*"] });
    await followed.follower.caughtUp();
    const manager = await jetstreamManager(rig.nc);
    for (const info of await manager.consumers.list("MEMBERS").next()) {
      if (info.config.filter_subjects?.[0] === "members.h.0.*")
        await manager.consumers.delete("MEMBERS", info.name);
    }
    const after = await append(rig.eventLog, "members.h.0.x", 3);
    await followed.reached(after.at(-1) ?? 0);
    expect(sequencesOf(followed.events)).toEqual([...before, ...after]);
    await followed.follower.stop();
  });

  it("calls nothing after stop, and tells who still waits for it", async () => {
    await append(rig.eventLog, "members.i.0.x", 3);
    let calls = 0;
    const { follower } = followAll(rig.eventLog, { filters: ["members.i.0.*"] }, () => {
      calls++;
      throw new Error("never taken");
    });
    const waited = follower.caughtUp();
    await expect.poll(() => calls).toBeGreaterThan(0);
    await follower.stop();
    const callsAtStop = calls;
    await expect(waited).rejects.toThrow(/stopped/);
    await append(rig.eventLog, "members.i.0.x", 1);
    await rig.nc.rtt();
    expect(calls).toBe(callsAtStop);
  });

  it("leaves out bodies when they are not wanted", async () => {
    await rig.eventLog.append("members.j.0.x", bytes("body"), { messageId: "id-1" });
    const events: LogEvent[] = [];
    const follower = rig.eventLog.follow({
      stream: "MEMBERS",
      filters: ["members.j.0.*"],
      afterSequence: 0,
      withoutBodies: true,
      onBatch: (batch) => {
        events.push(...batch);
      },
      log,
    });
    await follower.caughtUp();
    expect(events.map(({ body, messageId }) => [body.length, messageId])).toEqual([[0, "id-1"]]);
    await follower.stop();
  });

  it("gives every event once and in order, however appends, erasures, batch sizes and restarts fall", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ member: fc.nat(3), erase: fc.boolean() }), { minLength: 1, maxLength: 25 }),
        fc.integer({ min: 1, max: 7 }),
        fc.nat(25),
        async (steps, maxBatchEvents, restartAfter) => {
          const gallery = `p${run++}`;
          const filters = [`members.${gallery}.0.*`];
          const kept = new Map<string, number[]>();
          const followed = followAll(rig.eventLog, { filters, maxBatchEvents });
          let second: Followed | undefined;
          for (const [at, { member, erase }] of steps.entries()) {
            const subject = `members.${gallery}.0.${member}`;
            if (erase) {
              await rig.eventLog.secureDelete("MEMBERS", subject);
              kept.delete(subject);
            }
            kept.set(subject, [...(kept.get(subject) ?? []), ...(await append(rig.eventLog, subject))]);
            if (at === restartAfter) {
              await followed.follower.stop();
              const afterSequence = followed.follower.position();
              second = followAll(rig.eventLog, { filters, maxBatchEvents, afterSequence });
            }
          }
          const last = Math.max(...[...kept.values()].flat());
          await (second ?? followed).reached(last);
          const seen = [...sequencesOf(followed.events), ...sequencesOf(second?.events ?? [])];
          expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
          expect(seen).toEqual(expect.arrayContaining([...kept.values()].flat()));
          await followed.follower.stop();
          await second?.follower.stop();
        },
      ),
      { numRuns: 15 },
    );
  });
});
