import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeBeat } from "../../wire/beat.js";
import { openKeyring } from "../../wire/keyring.js";
import { LogClock } from "../../wire/log-clock.js";
import { BEAT_SUBJECT } from "../../wire/subjects.js";
import { type BusRig, openBusRig } from "./support/rig.js";

const T = 1_700_000_000_000;

function ownClocks() {
  const at = { wall: T - 3_600_000, monotonic: 1000 };
  return {
    at,
    clock: new LogClock({ wallUnixMs: () => at.wall, monotonicMs: () => at.monotonic }),
    pass: (ms: number) => {
      at.monotonic += ms;
      at.wall += ms;
    },
  };
}

const beatAt = (atUnixMs: number, ledgerId = "l1") => ({ atUnixMs, ledgerId, headSequence: 1 });

describe("the log's clock", () => {
  it("tells the machine's time until the first beat, and says so; then the log's, counted on", () => {
    const { clock, pass } = ownClocks();
    expect([clock.heard(), clock.nowUnixMs(), clock.beatAgeMs()]).toEqual([
      false,
      T - 3_600_000,
      Number.POSITIVE_INFINITY,
    ]);
    clock.hear(beatAt(T));
    expect([clock.heard(), clock.nowUnixMs(), clock.beatAgeMs()]).toEqual([true, T, 0]);
    pass(700);
    expect([clock.nowUnixMs(), clock.beatAgeMs(), clock.leader()]).toEqual([T + 700, 700, "l1"]);
  });

  it("does not care for the machine's wall clock", () => {
    const { at, clock, pass } = ownClocks();
    clock.hear(beatAt(T));
    at.wall += 86_400_000;
    pass(10);
    expect(clock.nowUnixMs()).toBe(T + 10);
    at.wall = 0;
    expect(clock.nowUnixMs()).toBe(T + 10);
  });

  it("never runs backwards, whatever beats come and however late", () => {
    const step = fc.record({
      passMs: fc.nat({ max: 5000 }),
      beatMs: fc.option(fc.integer({ min: -5000, max: 5000 })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const { clock, pass } = ownClocks();
        clock.hear(beatAt(T));
        let [told, truth] = [clock.nowUnixMs(), T];
        for (const { passMs, beatMs } of steps) {
          pass(passMs);
          truth += passMs;
          if (beatMs !== null) clock.hear(beatAt(truth + beatMs));
          expect(clock.nowUnixMs()).toBeGreaterThanOrEqual(told);
          told = clock.nowUnixMs();
        }
      }),
    );
  });

  it("is not set back by old beats that a stopped process hears all at once: it knows that they are old", () => {
    const { clock, pass } = ownClocks();
    clock.hear(beatAt(T));
    pass(10_000);
    for (let second = 1; second <= 9; second++) clock.hear(beatAt(T + 1000 * second));
    expect(clock.nowUnixMs()).toBeGreaterThanOrEqual(T + 10_000 - 9);
    expect(clock.beatAgeMs()).toBeGreaterThan(900);
    clock.hear(beatAt(T + 10_000));
    expect(clock.beatAgeMs()).toBeLessThanOrEqual(20);
  });

  it("follows a log whose clock is slower than the machine's", () => {
    const { clock, pass } = ownClocks();
    for (let second = 0; second < 3600; second++) {
      clock.hear(beatAt(T + 1000 * second));
      pass(1000.2);
    }
    expect(Math.abs(clock.nowUnixMs() - (T + 3_600_000))).toBeLessThan(5);
  });

  it("does not hear a ledger that has been overtaken", () => {
    const { clock, pass } = ownClocks();
    clock.hear(beatAt(T, "new"));
    pass(500);
    clock.hear(beatAt(T - 1, "old"));
    expect([clock.leader(), clock.beatAgeMs()]).toEqual(["new", 500]);
  });
});

describe("the log's clock on the bus", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  it("hears signed beats, and no others", async () => {
    const keyring = openKeyring(randomBytes(32), () => []);
    const stranger = openKeyring(randomBytes(32), () => []);
    const clock = LogClock.follow(rig.nc, keyring);
    const heard: number[] = [];
    clock.onBeat(({ atUnixMs }) => heard.push(atUnixMs));
    rig.nc.publish(BEAT_SUBJECT, encodeBeat(stranger, beatAt(T + 5)));
    rig.nc.publish(BEAT_SUBJECT, Buffer.from("nonsense"));
    rig.nc.publish(BEAT_SUBJECT, encodeBeat(keyring, beatAt(T)));
    await expect.poll(() => heard).toEqual([T]);
    expect(clock.nowUnixMs() - T).toBeLessThan(5000);
    clock.stop();
    rig.nc.publish(BEAT_SUBJECT, encodeBeat(keyring, beatAt(T + 1)));
    await rig.nc.flush();
    expect(heard).toEqual([T]);
  });
});
