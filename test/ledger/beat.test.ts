// The beat on a real nats-server: who leads, who takes over, and what the log's clock says meanwhile.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BeatClocks, Beats } from "../../ledger/beat.js";
import { type EventLog, openEventLog } from "../../records/index.js";
import { readBeat } from "../../wire/beat.js";
import { Disposer } from "../../wire/disposer.js";
import { LogClock } from "../../wire/log-clock.js";
import { BEAT_SUBJECT } from "../../wire/subjects.js";
import { log, openRig, type Rig, until } from "./support/rig.js";

const MINUTES_MS = 60_000;

describe("the beat", () => {
  let rig: Rig;
  let open = new Disposer();
  beforeAll(async () => {
    rig = await openRig();
  });
  afterEach(async () => {
    await open.close();
    open = new Disposer();
  });
  afterAll(() => rig.close());

  interface Author {
    beats: Beats;
    clock: LogClock;
    clocks: BeatClocks & { wallAheadMs: number; monotonicAheadMs: number };
    /** Nothing of it reaches the log any more, and nothing comes back. */
    freeze(): void;
    thaw(): void;
  }

  async function author(ledgerId: string, wallAheadMs = 0): Promise<Author> {
    const nc = await rig.connect();
    const eventLog = await openEventLog(nc);
    const clock = LogClock.follow(nc, rig.keyring);
    let frozen: Promise<void> | undefined;
    let thaw = () => {};
    const afterThaw = async <T>(ask: () => Promise<T>): Promise<T> => {
      await frozen;
      return ask();
    };
    const guarded: Pick<EventLog, "append" | "last" | "standing" | "drop"> = {
      append: (...args) => afterThaw(() => eventLog.append(...args)),
      last: (...args) => afterThaw(() => eventLog.last(...args)),
      standing: (...args) => afterThaw(() => eventLog.standing(...args)),
      drop: (...args) => afterThaw(() => eventLog.drop(...args)),
    };
    const clocks = {
      wallAheadMs,
      monotonicAheadMs: 0,
      wallUnixMs: () => Date.now() + clocks.wallAheadMs,
      monotonicMs: () => performance.now() + clocks.monotonicAheadMs,
    };
    const beats = new Beats({
      ...{ eventLog: guarded, keyring: rig.keyring, clock, ledgerId, log, clocks },
      mayLead: () => true,
      onLead: () => {},
      onFull: () => {},
    });
    open.defer(async () => {
      thaw();
      await beats.close();
      clock.stop();
    });
    return {
      beats,
      clock,
      clocks,
      freeze: () => {
        frozen = new Promise((resolve) => {
          thaw = () => {
            frozen = undefined;
            resolve();
          };
        });
      },
      thaw: () => thaw(),
    };
  }

  /** Every beat that the log has. */
  const beatsInLog = async () =>
    (await rig.eventLog.all("MEMBERS", BEAT_SUBJECT)).flatMap(
      ({ body }) => readBeat(rig.keyring, body) ?? [],
    );

  it("is written by one of two, and is taken over at once when its author leaves", async () => {
    const [a, b] = [await author("a"), await author("b")];
    await until("one leads", () => a.beats.leads() !== b.beats.leads());
    const [leader, other] = a.beats.leads() ? [a, b] : [b, a];
    await until("some beats", async () => (await beatsInLog()).length >= 3);
    expect(other.beats.leads()).toBe(false);
    const leftAtMs = performance.now();
    await leader.beats.close();
    await until("the other one leads", () => other.beats.leads());
    expect(performance.now() - leftAtMs).toBeLessThan(1500);
  });

  it("is taken over within three seconds when its author falls silent, who does not lead when it wakes up late", async () => {
    const a = await author("slow");
    await until("a leads", () => a.beats.leads());
    const b = await author("quick");
    await until("a beat that b heard", () => b.clock.heard());
    const before = b.clock.beatAgeMs();
    a.freeze();
    const silentAtMs = performance.now() - before;
    await until("b leads", () => b.beats.leads());
    expect(performance.now() - silentAtMs).toBeLessThan(3500);
    // Not by hearing of the other one: by its own clock.
    expect(a.beats.leads()).toBe(false);
    a.thaw();
    const count = (await beatsInLog()).length;
    await until("b's next beats", async () => (await beatsInLog()).length >= count + 2);
    expect(a.beats.leads()).toBe(false);
    expect(b.beats.leads()).toBe(true);
    const authors = (await beatsInLog()).map(({ ledgerId }) => ledgerId);
    const firstOfB = authors.indexOf("quick");
    expect(authors.slice(firstOfB).filter((each) => each === "slow")).toEqual([]);
  });

  it("is not begun by one whose clock is wrong by more than a minute, who says so and leads once it is right", async () => {
    for (const wallAheadMs of [2 * MINUTES_MS, -2 * MINUTES_MS]) {
      const a = await author("wrong", wallAheadMs);
      await until("it says so", () => a.beats.hindrance() !== "");
      expect(a.beats.hindrance()).toMatch(/^its clock is 1[12]\d s (ahead of|behind) nats-server's$/);
      expect(a.beats.leads()).toBe(false);
      expect((await beatsInLog()).some(({ ledgerId }) => ledgerId === "wrong")).toBe(false);
      a.clocks.wallAheadMs = 0;
      await until("it leads", () => a.beats.leads());
      expect(a.beats.hindrance()).toBe("");
      await a.beats.close();
      await rig.eventLog.drop("MEMBERS", BEAT_SUBJECT, Number.MAX_SAFE_INTEGER);
    }
  });

  it("tells a time that never runs backwards and never leaps, whatever the wall clocks of its authors say", async () => {
    const from = (await beatsInLog()).length;
    const a = await author("a");
    await until("a leads", () => a.beats.leads());
    const b = await author("b");
    b.clocks.wallAheadMs = 20 * MINUTES_MS;
    await until("a beat that b heard", () => b.clock.heard());
    a.clocks.wallAheadMs = -20 * MINUTES_MS;
    await until("two more beats", async () => (await beatsInLog()).length >= from + 4);
    await a.beats.close();
    await until("b leads", () => b.beats.leads());
    const sofar = (await beatsInLog()).length;
    await until("beats of b", async () => (await beatsInLog()).length >= sofar + 2);
    const times = (await beatsInLog()).slice(from).map(({ atUnixMs }) => atUnixMs);
    const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...steps)).toBeLessThan(3500);
  });
});
