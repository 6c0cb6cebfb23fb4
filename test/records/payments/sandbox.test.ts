// The sandbox processor: behaviour by token, idempotent by key, and rows that whoever asks shares.
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PaymentProcessor, readSandbox, sandboxProcessor } from "../../../records/index.js";
import { openRig, type Rig } from "../support/rig.js";

let rig: Rig;
let sandbox: PaymentProcessor;
let names = 0;
const never = new AbortController().signal;
const open = () => sandboxProcessor(rig.nc, { latencyMs: 0, slowMs: 1500 });
/** Tests do not share payments. */
let k: (name: string) => string;
/** Waits until the sandbox has heard of the key. */
const known = (key: string) =>
  expect
    .poll(async () => {
      const answer = await sandbox.query(key, never);
      return answer.ok && answer.state !== "NOT_FOUND";
    })
    .toBe(true);
const rowOf = async (key: string) => (await readSandbox(rig.nc)).find((each) => each.key === key);

beforeAll(async () => {
  rig = await openRig();
});
afterAll(() => rig.close());
beforeEach(() => {
  const test = names++;
  k = (name) => `${name}-${test}`;
  sandbox = open();
});

const request = (key: string, token = "tok_approve", amountMinor = 999) => ({
  key,
  token,
  amountMinor,
  currency: "EUR",
  orderRef: "1",
});

describe("the sandbox processor", () => {
  it("behaves as the token says", async () => {
    expect(await sandbox.authorise(request(k("a"), "tok_approve"), never)).toMatchObject({ ok: true });
    expect(await sandbox.authorise(request(k("b"), "tok_decline"), never)).toMatchObject({
      code: "DECLINED",
      declineCode: "do_not_honour",
    });
    expect(await sandbox.authorise(request(k("c"), "tok_insufficient"), never)).toMatchObject({
      declineCode: "insufficient_funds",
    });
    expect(await sandbox.authorise(request(k("d"), "tok_nobody"), never)).toMatchObject({
      declineCode: "token_unknown",
    });
  });

  it("never answers tok_unknown, and knows it when it is asked", async () => {
    const stop = new AbortController();
    const answer = sandbox.authorise(request(k("u"), "tok_unknown"), stop.signal);
    await known(k("u"));
    expect(await sandbox.query(k("u"), never)).toMatchObject({ ok: true, state: "AUTHORISED" });
    stop.abort();
    expect(await answer).toEqual({ ok: false, code: "NO_ANSWER" });
  });

  it("lets tok_slow wait, pending, and a void in between wins", async () => {
    const slow = sandbox.authorise(request(k("s"), "tok_slow"), never);
    const voided = sandbox.authorise(request(k("v"), "tok_slow"), never);
    await known(k("s"));
    await known(k("v"));
    expect(await sandbox.query(k("s"), never)).toMatchObject({ state: "PENDING" });
    expect(await sandbox.capture(k("s"), never)).toMatchObject({ code: "REFUSED", state: "PENDING" });
    expect(await sandbox.void(k("v"), never)).toEqual({ ok: true });
    expect(await slow).toMatchObject({ ok: true });
    expect(await voided).toMatchObject({ code: "DECLINED", declineCode: "voided" });
  });

  it("bars a key that was voided before it was ever seen", async () => {
    expect(await sandbox.query(k("late"), never)).toEqual({ ok: true, state: "NOT_FOUND" });
    expect(await sandbox.void(k("late"), never)).toEqual({ ok: true });
    expect(await sandbox.authorise(request(k("late")), never)).toMatchObject({ code: "DECLINED" });
    expect(await rowOf(k("late"))).toMatchObject({ holds: 0, takes: 0 });
  });

  it("refuses a key that comes back with another amount", async () => {
    await sandbox.authorise(request(k("k")), never);
    expect(await sandbox.authorise(request(k("k"), "tok_approve", 1000), never)).toEqual({
      ok: false,
      code: "KEY_REUSED",
    });
  });

  it("still knows every payment after a restart of whoever asks, and of nats-server", async () => {
    const first = await sandbox.authorise(request(k("r")), never);
    await sandbox.capture(k("r"), never);
    await sandbox.close();
    await rig.server.kill();
    await rig.server.restart();
    sandbox = sandboxProcessor(await rig.connect(), { latencyMs: 0 });
    await known(k("r"));
    expect(await sandbox.authorise(request(k("r")), never)).toEqual(first);
    expect(await sandbox.capture(k("r"), never)).toEqual({ ok: true });
    await expect
      .poll(() => rowOf(k("r")).catch(() => "starting"), { timeout: 15_000 })
      .toMatchObject({ state: "CAPTURED", holds: 1, takes: 1 });
  });

  it("holds, takes and gives back at most once, whatever is asked in whatever order, at once and of two", async () => {
    const asked = fc.constantFrom("authorise", "capture", "void", "refund", "query");
    const other = sandboxProcessor(await rig.connect(), { latencyMs: 0 });
    await fc.assert(
      fc.asyncProperty(fc.uuid(), fc.array(asked, { maxLength: 12 }), async (id, moves) => {
        await Promise.all(
          moves.map((move, at) => {
            const processor = at % 2 === 0 ? sandbox : other;
            return move === "authorise"
              ? processor.authorise(request(id), never)
              : processor[move](id, never);
          }),
        );
        const { holds = 0, takes = 0, refunds = 0 } = (await rowOf(id)) ?? {};
        expect(holds).toBeLessThanOrEqual(1);
        expect(takes).toBeLessThanOrEqual(holds);
        expect(refunds).toBeLessThanOrEqual(takes);
      }),
      { numRuns: 25 },
    );
  });

  it("says NO_ANSWER, and never rejects, when its bucket cannot be reached", async () => {
    const nc = await rig.connect();
    const cut = sandboxProcessor(nc, { latencyMs: 0 });
    await nc.close();
    const none = { ok: false, code: "NO_ANSWER" };
    expect(await cut.authorise(request(k("x")), never)).toEqual(none);
    expect(await cut.capture(k("x"), never)).toEqual(none);
    expect(await cut.query(k("x"), never)).toEqual(none);
  });
});
