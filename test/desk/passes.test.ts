// Passes on a real nats-server: who may use one, how often, how long, and what a race ends with.
import { randomBytes, randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openMetrics } from "../../desk/metrics.js";
import { passCodeOf, readPassCode, shownPassCode } from "../../desk/passes/code.js";
import {
  decodePass,
  encodePass,
  isTakenFor,
  type Pass,
  unusable,
  withUseReturned,
  withUseTaken,
} from "../../desk/passes/pass.js";
import { Passes } from "../../desk/passes/passes.js";
import { Throttle } from "../../desk/throttle.js";
import { readBucket } from "../../wire/bucket.js";
import { BUCKETS } from "../../wire/subjects.js";
import { type BusRig, log, openBusRig } from "../wire/support/rig.js";

const HOUR_MS = 3_600_000;
const START_MS = 1_800_000_000_000;

const HERE = "192.0.2.1";
const THERE = "192.0.2.2";
const KEY = randomBytes(32);
const newPassCode = () => passCodeOf(KEY, randomUUID());
/** Of one request. */
const newRequest = () => randomBytes(16).toString("hex");

const lanePass = (changed: Partial<Extract<Pass, { kind: "LANE" }>> = {}): Pass => ({
  kind: "LANE",
  purpose: "ENTRY",
  organisation: "acme",
  site: "north",
  gallery: "members",
  takenFor: [],
  orderSha256: "ab".repeat(32),
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

  it("is the same for the same order, and another for another order or key", () => {
    expect(passCodeOf(KEY, "a")).toBe(passCodeOf(KEY, "a"));
    expect(passCodeOf(KEY, "a")).not.toBe(passCodeOf(KEY, "b"));
    expect(passCodeOf(KEY, "a")).not.toBe(passCodeOf(randomBytes(32), "a"));
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
          ? lanePass({ ...numbers, purpose: "PAY", takenFor: [newRequest(), newRequest()] })
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
        const taken: string[] = [];
        let uses = 0;
        let returned = 0;
        for (const isTake of isTakes) {
          const request = isTake ? newRequest() : (taken.pop() ?? "none");
          if (isTake && unusable(pass, "LANE", START_MS) === undefined) {
            pass = withUseTaken(pass, request);
            taken.push(request);
            uses++;
          } else if (!isTake) {
            const next = withUseReturned(pass, request);
            if (next) returned++;
            pass = next ?? pass;
          }
        }
        expect(returned).toBeLessThanOrEqual(numbers.returnsLeft);
        expect(uses - returned + pass.usesLeft).toBe(numbers.usesLeft);
        expect(pass.usesLeft).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it("remembers the latest requests that it was used for, and no more than that", () => {
    const requests = Array.from({ length: 40 }, newRequest);
    const pass = requests.reduce<Pass>(
      (each, request) => withUseTaken(each, request),
      lanePass({ usesLeft: 100 }),
    );
    expect(requests.filter((request) => isTakenFor(pass, request))).toEqual(requests.slice(-16));
  });
});

describe("passes in their bucket", () => {
  let rig: BusRig;
  let nowUnixMs = START_MS;
  const metrics = openMetrics();
  const newThrottle = () => new Throttle({ maxWrong: 3, windowMs: 60_000 });
  const open = (more: object = {}) =>
    new Passes({
      nats: rig.nc,
      key: KEY,
      throttle: newThrottle(),
      metrics,
      log,
      nowUnixMs: () => nowUnixMs,
      ...more,
    });
  const by = (request = newRequest(), address = HERE) => ({ address, request });

  async function issued(passes: Passes, pass: Pass): Promise<string> {
    const answer = await passes.issue(pass, randomUUID());
    if (!answer.ok) throw new Error(answer.code);
    return answer.code;
  }

  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());

  it("are good for what they are for, once, at any desk", async () => {
    const code = await issued(open(), lanePass());
    expect(await open().look(code, "LANE", HERE)).toMatchObject({ ok: true, pass: { site: "north" } });
    expect(await open().redeem(code, "ENROL", by())).toEqual({ ok: false, code: "PASS_WRONG_KIND" });
    expect(await open().redeem(code, "LANE", by())).toMatchObject({ ok: true, pass: { purpose: "ENTRY" } });
    expect(await open().redeem(code, "LANE", by())).toEqual({ ok: false, code: "PASS_USED" });
    expect(await open().look(code, "LANE", HERE)).toEqual({ ok: false, code: "PASS_USED" });
  });

  it("take one use for one request, however often it is sent, also at once and at two desks", async () => {
    const code = await issued(open(), lanePass({ usesLeft: 2 }));
    const request = newRequest();
    const sent = [open(), open(), open(), open()].map((desk) => desk.redeem(code, "LANE", by(request)));
    for (const each of await Promise.all(sent)) expect(each).toMatchObject({ ok: true });
    expect(await open().redeem(code, "LANE", by())).toMatchObject({ ok: true });
    expect(await open().redeem(code, "LANE", by())).toEqual({ ok: false, code: "PASS_USED" });
    expect(await open().redeem(code, "LANE", by(request))).toMatchObject({ ok: true });
    expect(await open().lookFor(code, "LANE", by(request))).toMatchObject({ ok: true });
    await open().settle(code, request);
    expect(await open().redeem(code, "LANE", by(request))).toEqual({ ok: false, code: "PASS_USED" });
    expect(await open().known(code, HERE)).toMatchObject({ ok: true });
  });

  it("end at their time, to the millisecond", async () => {
    const code = await issued(open(), lanePass());
    nowUnixMs = START_MS + HOUR_MS - 1;
    expect(await open().look(code, "LANE", HERE)).toMatchObject({ ok: true });
    nowUnixMs = START_MS + HOUR_MS;
    expect(await open().redeem(code, "LANE", by())).toEqual({ ok: false, code: "PASS_EXPIRED" });
    nowUnixMs = START_MS;
  });

  it.each([1, 2, 5])("let exactly %i of eight in who come at once", async (usesLeft) => {
    const code = await issued(open(), lanePass({ usesLeft }));
    const desks = [open(), open()];
    const redeemed = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        (n % 2 ? desks[0] : desks[1])?.redeem(code, "LANE", by(newRequest(), `a${n}`)),
      ),
    );
    expect(redeemed.filter((each) => each?.ok)).toHaveLength(usesLeft);
    const used = redeemed.filter((each) => each && !each.ok && each.code === "PASS_USED");
    expect(used).toHaveLength(8 - usesLeft);
  });

  it("take a use back as often as they may, once for each request, and no more", async () => {
    const passes = open();
    const code = await issued(passes, lanePass({ returnsLeft: 2 }));
    for (let n = 0; n < 3; n++) {
      const request = newRequest();
      expect(await passes.redeem(code, "LANE", by(request))).toMatchObject({ ok: true });
      await passes.giveBack(code, request);
      await passes.giveBack(code, request);
      await passes.giveBack(code, newRequest());
    }
    expect(await passes.redeem(code, "LANE", by())).toEqual({ ok: false, code: "PASS_USED" });
  });

  it("turn an address away after too many wrong codes, right ones too, and nobody else", async () => {
    const passes = open();
    const code = await issued(passes, lanePass());
    for (const wrong of ["WRONG", "00000-00000", "7777777777"]) {
      expect(await passes.redeem(wrong, "LANE", by())).toEqual({ ok: false, code: "PASS_UNKNOWN" });
    }
    expect(await passes.look(code, "LANE", HERE)).toEqual({ ok: false, code: "TOO_MANY_TRIES" });
    expect(await passes.look(code, "LANE", THERE)).toMatchObject({ ok: true });
  });

  it("are not to be guessed by many who try at once", async () => {
    const passes = open();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => passes.look(newPassCode(), "LANE", HERE)),
    );
    const codes = answers.map((answer) => (answer.ok ? "" : answer.code));
    expect(codes.filter((code) => code === "PASS_UNKNOWN")).toHaveLength(3);
    expect(codes.filter((code) => code === "TOO_MANY_TRIES")).toHaveLength(17);
  });

  it("are bounded in number", async () => {
    await issued(open(), lanePass());
    expect(await open({ maxPasses: 1 }).issue(lanePass(), randomUUID())).toEqual({
      ok: false,
      code: "LIMIT_REACHED",
    });
  });

  it("are listed and revoked for their organisation, and for no other", async () => {
    const passes = open();
    const answer = await passes.issue(lanePass(), randomUUID());
    const id = answer.ok ? answer.id : "";
    expect(await passes.revoke("other", id)).toBe("NOT_FOUND");
    expect(await passes.list("other")).toEqual({ ok: true, value: [] });
    const listed = await passes.list("acme");
    expect(listed.ok && listed.value.map((each) => each.id)).toContain(id);
    expect(await passes.revoke("acme", id)).toBe("REVOKED");
    expect(await passes.known(answer.ok ? answer.code : "", HERE)).toEqual({
      ok: false,
      code: "PASS_UNKNOWN",
    });
  });

  it("are not in their bucket under anything that tells the code, and open under no other key", async () => {
    const code = await issued(open(), lanePass());
    const bucket = await readBucket(rig.nc, { name: BUCKETS.passes, storage: "file" });
    expect(bucket.size).toBeGreaterThan(0);
    for (const [key, value] of bucket) {
      expect(key).toMatch(/^[0-9a-f]{64}$/);
      expect(Buffer.from(value).toString("latin1")).not.toContain(code);
    }
    expect(await open({ key: randomBytes(32) }).look(code, "LANE", HERE)).toEqual({
      ok: false,
      code: "PASS_UNKNOWN",
    });
  });

  it("are counted by what became of them", async () => {
    const text = await metrics.registry.getSingleMetricAsString("palmgate_passes_total");
    for (const result of ["issued", "taken", "returned", "refused", "throttled"]) {
      expect(text).toMatch(new RegExp(`result="${result}"\\} [1-9]`));
    }
  });
});
