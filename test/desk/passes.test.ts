// Passes on a real nats-server: who may use one, how often, how long, and what a race ends with.
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newPassCode, readPassCode, shownPassCode } from "../../gateway/passes/code.js";
import {
  decodePass,
  encodePass,
  type Pass,
  unusable,
  withUseReturned,
  withUseTaken,
} from "../../gateway/passes/pass.js";
import { Passes } from "../../gateway/passes/passes.js";
import { Tries } from "../../gateway/passes/tries.js";
import { readBucket } from "../../wire/bucket.js";
import { BUCKETS } from "../../wire/subjects.js";
import { GALLERY, openServices, type Services } from "./members.support.js";

const HOUR_MS = 3_600_000;
const START_MS = 1_800_000_000_000;

const lanePass = (changed: Partial<Extract<Pass, { kind: "LANE" }>> = {}): Pass => ({
  kind: "LANE",
  purpose: "ENTRY",
  site: "north",
  gallery: GALLERY,
  expiresAtUnixMs: START_MS + HOUR_MS,
  usesLeft: 1,
  returnsLeft: 2,
  ...changed,
});

describe("the code of a pass", () => {
  it("is read back however people type it", () => {
    fc.assert(
      fc.property(fc.constantFrom("", " ", "-", "  - "), fc.boolean(), (separator, isSmall) => {
        const code = newPassCode();
        const typed = code.split("").join(separator).slice(0, 32);
        const shown = separator.length > 1 ? shownPassCode(code) : typed;
        expect(readPassCode(isSmall ? shown.toLowerCase() : shown)).toBe(code);
      }),
    );
  });

  it("forgives O for 0, I and L for 1, and nothing else", () => {
    expect(readPassCode("oil01-ABCDE")).toBe("01101ABCDE");
    for (const wrong of ["", "01101ABCD", "01101ABCDEF", "U1101ABCDE", "01101ABCD!", "0".repeat(1000)]) {
      expect(readPassCode(wrong)).toBeUndefined();
    }
  });

  it("uses every letter as often as any other", () => {
    const counts = new Map<string, number>();
    for (let n = 0; n < 3200; n++) {
      for (const letter of newPassCode()) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    expect(counts.size).toBe(32);
    // 1000 expected, standard deviation 31.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(200);
  });
});

describe("a pass", () => {
  const anyPass = fc.record({
    usesLeft: fc.integer({ min: 0, max: 5 }),
    returnsLeft: fc.integer({ min: 0, max: 5 }),
    expiresAtUnixMs: fc.integer({ min: START_MS - HOUR_MS, max: START_MS + HOUR_MS }),
  });

  it("reads back from its bytes as it was", () => {
    fc.assert(
      fc.property(anyPass, fc.boolean(), (numbers, isLane) => {
        const { purpose: _, ...rest } = { ...lanePass(numbers), purpose: "PAY" };
        const pass: Pass = isLane
          ? lanePass({ ...numbers, purpose: "PAY" })
          : { ...rest, kind: "ENROL", consents: ["PAY", "ENTRY"] };
        expect(decodePass(encodePass(pass))).toEqual(pass);
      }),
    );
    expect(decodePass(Uint8Array.of(255, 255))).toBeUndefined();
    expect(decodePass(new Uint8Array())).toBeUndefined();
  });

  it("never gives more uses than it has and than are given back, whatever the order", () => {
    fc.assert(
      fc.property(anyPass, fc.array(fc.boolean(), { maxLength: 40 }), (numbers, isTakes) => {
        let pass = lanePass({ ...numbers, expiresAtUnixMs: START_MS + HOUR_MS });
        let taken = 0;
        let returned = 0;
        for (const isTake of isTakes) {
          if (isTake && unusable(pass, "LANE", START_MS) === undefined) {
            pass = withUseTaken(pass);
            taken++;
          } else if (!isTake && taken > returned) {
            const next = withUseReturned(pass);
            if (next) returned++;
            pass = next ?? pass;
          }
        }
        expect(returned).toBeLessThanOrEqual(numbers.returnsLeft);
        expect(taken - returned + pass.usesLeft).toBe(numbers.usesLeft);
        expect(pass.usesLeft).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("wrong tries", () => {
  const tried = (tries: Tries, isWrong: boolean) => {
    const isAllowed = tries.enter();
    if (isAllowed) tries.leave(isWrong);
    return isAllowed;
  };

  it("are let through up to the bound, and again in the next window", () => {
    let nowMs = 0;
    const tries = new Tries(3, 1000, () => nowMs);
    for (let n = 0; n < 3; n++) expect(tried(tries, true)).toBe(true);
    expect(tried(tries, false)).toBe(false);
    nowMs = 999;
    expect(tried(tries, false)).toBe(false);
    nowMs = 1000;
    expect(tried(tries, true)).toBe(true);
    expect(tried(tries, true)).toBe(true);
  });

  it("count for nothing when they were right", () => {
    const tries = new Tries(3, 1000, () => 0);
    for (let n = 0; n < 10; n++) expect(tried(tries, false)).toBe(true);
  });

  it("are never more than the bound, however many are under way at once", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("enter", "right", "wrong"), { maxLength: 60 }), (steps) => {
        const tries = new Tries(3, 1000, () => 0);
        let underWay = 0;
        let wrong = 0;
        for (const step of steps) {
          if (step === "enter") underWay += tries.enter() ? 1 : 0;
          else if (underWay > 0) {
            underWay--;
            tries.leave(step === "wrong");
            wrong += step === "wrong" ? 1 : 0;
          }
          expect(underWay + wrong).toBeLessThanOrEqual(3);
        }
      }),
    );
  });
});

describe("passes in their bucket", () => {
  let services: Services;
  let nowUnixMs = START_MS;
  const masterKey = new Uint8Array(randomBytes(32));
  const open = (more: object = {}) =>
    new Passes({ ...services.deps, masterKey, nowUnixMs: () => nowUnixMs, ...more });

  async function issued(passes: Passes, pass: Pass): Promise<string> {
    const answer = await passes.issue(pass);
    if (!answer.ok) throw new Error(answer.code);
    return answer.code;
  }

  beforeAll(async () => {
    services = await openServices();
  });
  afterAll(() => services.close());

  it("are good for what they are for, once, at any gateway", async () => {
    const code = await issued(open(), lanePass());
    expect(await open().look(code, "LANE")).toMatchObject({ ok: true, pass: { site: "north" } });
    expect(await open().redeem(code, "ENROL")).toEqual({ ok: false, code: "PASS_WRONG_KIND" });
    expect(await open().redeem(code, "LANE")).toMatchObject({ ok: true, pass: { purpose: "ENTRY" } });
    expect(await open().redeem(code, "LANE")).toEqual({ ok: false, code: "PASS_USED" });
    expect(await open().look(code, "LANE")).toEqual({ ok: false, code: "PASS_USED" });
  });

  it("end at their time, to the millisecond", async () => {
    const code = await issued(open(), lanePass());
    nowUnixMs = START_MS + HOUR_MS - 1;
    expect(await open().look(code, "LANE")).toMatchObject({ ok: true });
    nowUnixMs = START_MS + HOUR_MS;
    expect(await open().redeem(code, "LANE")).toEqual({ ok: false, code: "PASS_EXPIRED" });
    nowUnixMs = START_MS;
  });

  it.each([1, 2, 5])("let exactly %i of eight in who come at once", async (usesLeft) => {
    const code = await issued(open(), lanePass({ usesLeft }));
    const gateways = [open(), open()];
    const redeemed = await Promise.all(
      Array.from({ length: 8 }, (_, n) => (n % 2 ? gateways[0] : gateways[1])?.redeem(code, "LANE")),
    );
    expect(redeemed.filter((each) => each?.ok)).toHaveLength(usesLeft);
    expect(redeemed.filter((each) => each && !each.ok && each.code === "PASS_USED")).toHaveLength(
      8 - usesLeft,
    );
  });

  it("take a use back as often as they may, and no more", async () => {
    const passes = open();
    const code = await issued(passes, lanePass({ returnsLeft: 2 }));
    for (let n = 0; n < 3; n++) {
      const redeemed = await passes.redeem(code, "LANE");
      if (!redeemed.ok) throw new Error(redeemed.code);
      await redeemed.giveBack();
    }
    expect(await passes.redeem(code, "LANE")).toEqual({ ok: false, code: "PASS_USED" });
  });

  it("turn everybody away after too many wrong codes, and let them in later", async () => {
    let nowMs = 0;
    const passes = open({ tries: new Tries(3, 60_000, () => nowMs) });
    const code = await issued(passes, lanePass());
    for (const wrong of ["WRONG", "00000-00000", "7777777777"]) {
      expect(await passes.redeem(wrong, "LANE")).toEqual({ ok: false, code: "PASS_UNKNOWN" });
    }
    expect(await passes.look(code, "LANE")).toEqual({ ok: false, code: "TOO_MANY_TRIES" });
    nowMs = 60_000;
    expect(await passes.look(code, "LANE")).toMatchObject({ ok: true });
  });

  it("are not to be guessed by many who try at once", async () => {
    const passes = open({ tries: new Tries(3, 60_000, () => 0) });
    const answers = await Promise.all(Array.from({ length: 20 }, () => passes.look(newPassCode(), "LANE")));
    const codes = answers.map((answer) => (answer.ok ? "" : answer.code));
    expect(codes.filter((code) => code === "PASS_UNKNOWN")).toHaveLength(3);
    expect(codes.filter((code) => code === "TOO_MANY_TRIES")).toHaveLength(17);
  });

  it("are bounded in number", async () => {
    const full = open({ maxPasses: 1 });
    await issued(open(), lanePass());
    expect(await full.issue(lanePass())).toEqual({ ok: false, code: "LIMIT_REACHED" });
  });

  it("are not in their bucket under anything that tells the code, and open under no other master key", async () => {
    const code = await issued(open(), lanePass());
    const bucket = await readBucket(services.connection, { name: BUCKETS.passes, storage: "file" });
    expect(bucket.size).toBeGreaterThan(0);
    for (const [key, value] of bucket) {
      expect(key).toMatch(/^[0-9a-f]{64}$/);
      expect(Buffer.from(value).toString("latin1")).not.toContain(code);
    }
    const other = open({ masterKey: new Uint8Array(32) });
    expect(await other.look(code, "LANE")).toEqual({ ok: false, code: "PASS_UNKNOWN" });
  });

  it("are counted by what became of them", async () => {
    const passes = open();
    const code = await issued(passes, lanePass());
    await passes.redeem(code, "LANE");
    await passes.redeem(code, "LANE");
    const text = await services.metrics.registry.getSingleMetricAsString("palmgate_passes_total");
    for (const result of ["issued", "taken", "returned", "refused", "throttled"]) {
      expect(text).toMatch(new RegExp(`result="${result}"\\} [1-9]`));
    }
  });
});
