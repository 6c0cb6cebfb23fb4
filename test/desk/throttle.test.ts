// Wrong tries: bounded for each address, at all desks together, and never at the cost of another address.
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { addressKey, shareThrottles, Throttle } from "../../desk/throttle.js";
import { TRIES_SUBJECT } from "../../wire/subjects.js";
import { type BusRig, openBusRig } from "../wire/support/rig.js";

const HERE = "192.0.2.1";
const THERE = "192.0.2.2";
const tried = (throttle: Throttle, address: string, isWrong: boolean) => {
  const isAllowed = throttle.enter(address);
  if (isAllowed) throttle.leave(address, isWrong);
  return isAllowed;
};

describe("wrong tries of an address", () => {
  it("are let through up to the bound, and again in the next window", () => {
    let nowMs = 0;
    const throttle = new Throttle({ maxWrong: 3, windowMs: 1000, nowMs: () => nowMs });
    for (let n = 0; n < 3; n++) expect(tried(throttle, HERE, true)).toBe(true);
    expect(tried(throttle, HERE, false)).toBe(false);
    nowMs = 999;
    expect(tried(throttle, HERE, false)).toBe(false);
    nowMs = 1000;
    expect(tried(throttle, HERE, true)).toBe(true);
    expect(tried(throttle, HERE, true)).toBe(true);
  });

  it("count for nothing when they were right", () => {
    const throttle = new Throttle({ maxWrong: 3, windowMs: 1000, nowMs: () => 0 });
    for (let n = 0; n < 10; n++) expect(tried(throttle, HERE, false)).toBe(true);
  });

  it("keep nobody else out", () => {
    const throttle = new Throttle({ maxWrong: 3, windowMs: 1000, nowMs: () => 0 });
    for (let n = 0; n < 10; n++) tried(throttle, HERE, true);
    expect(tried(throttle, THERE, true)).toBe(true);
  });

  it("are never more than the bound, however many are under way at once", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("enter", "right", "wrong"), { maxLength: 60 }), (steps) => {
        const throttle = new Throttle({ maxWrong: 3, windowMs: 1000, nowMs: () => 0 });
        let underWay = 0;
        let wrong = 0;
        for (const step of steps) {
          if (step === "enter") underWay += throttle.enter(HERE) ? 1 : 0;
          else if (underWay > 0) {
            underWay--;
            throttle.leave(HERE, step === "wrong");
            wrong += step === "wrong" ? 1 : 0;
          }
          expect(underWay + wrong).toBeLessThanOrEqual(3);
        }
      }),
    );
  });

  it("are remembered of a bounded number of addresses, those that tried last", () => {
    const throttle = new Throttle({ maxWrong: 1, windowMs: 1000, nowMs: () => 0 });
    tried(throttle, HERE, true);
    for (let n = 0; n < 9_999; n++) tried(throttle, `a${n}`, true);
    expect(tried(throttle, "a9998", true)).toBe(false);
    tried(throttle, "one more", true);
    expect(tried(throttle, HERE, true)).toBe(true);
  });
});

it.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:DB8:1:2::9", "2001:db8:1:2"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
])("%s stands for %s", (ip, key) => {
  expect(addressKey(ip)).toBe(key);
});

describe("throttles of two desks", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  it("count together what is signed with the fleet's key, by name, and nothing else", async () => {
    const key = randomBytes(32);
    const options = { maxWrong: 2, windowMs: 60_000 };
    const [one, other] = [shareThrottles(rig.nc, key), shareThrottles(await rig.connect(), key)];
    const stranger = shareThrottles(await rig.connect(), randomBytes(32));
    const [here, there] = [one.open("codes", options), other.open("codes", options)];
    const unrelated = other.open("tokens", options);
    const forged = stranger.open("codes", options);
    for (let n = 0; n < 5; n++) tried(forged, HERE, true);
    rig.nc.publish(TRIES_SUBJECT, "not ours");
    tried(here, HERE, true);
    tried(here, HERE, true);
    await vi.waitUntil(() => !tried(there, HERE, false));
    expect(tried(unrelated, HERE, false)).toBe(true);
    expect(tried(there, THERE, false)).toBe(true);
    for (const each of [one, other, stranger]) each.close();
  });
});
