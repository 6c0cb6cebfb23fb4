// The sandbox processor: behaviour by token, idempotent by key, and a ledger that outlives the process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PaymentProcessor } from "../../gateway/payments/processor.js";
import { readSandboxLedger, sandboxProcessor } from "../../gateway/payments/sandbox.js";
import { eventually } from "./members.support.js";

let path: string;
let sandbox: PaymentProcessor;
const never = new AbortController().signal;
const open = () => sandboxProcessor({ path, latencyMs: 0, slowMs: 300 });
/** Waits until the sandbox has heard of the key. */
const known = (key: string) =>
  eventually(
    () => sandbox.query(key, never),
    (answer) => answer.ok && answer.state !== "NOT_FOUND",
  );
const request = (key: string, token = "tok_approve", amountMinor = 999) => ({
  key,
  token,
  amountMinor,
  currency: "EUR",
  orderRef: "1",
});

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "palmgate-sandbox-"));
  sandbox = open();
});
afterEach(async () => {
  await sandbox.close();
  rmSync(path, { recursive: true, force: true });
});

describe("the sandbox processor", () => {
  it("behaves as the token says", async () => {
    expect(await sandbox.authorise(request("a", "tok_approve"), never)).toMatchObject({ ok: true });
    expect(await sandbox.authorise(request("b", "tok_decline"), never)).toMatchObject({
      code: "DECLINED",
      declineCode: "do_not_honour",
    });
    expect(await sandbox.authorise(request("c", "tok_insufficient"), never)).toMatchObject({
      declineCode: "insufficient_funds",
    });
    expect(await sandbox.authorise(request("d", "tok_nobody"), never)).toMatchObject({
      declineCode: "token_unknown",
    });
  });

  it("never answers tok_unknown, and knows it when it is asked", async () => {
    const stop = new AbortController();
    const answer = sandbox.authorise(request("u", "tok_unknown"), stop.signal);
    await known("u");
    expect(await sandbox.query("u", never)).toMatchObject({ ok: true, state: "AUTHORISED" });
    stop.abort();
    expect(await answer).toEqual({ ok: false, code: "NO_ANSWER" });
  });

  it("lets tok_slow wait, pending, and a void in between wins", async () => {
    const slow = sandbox.authorise(request("s", "tok_slow"), never);
    const voided = sandbox.authorise(request("v", "tok_slow"), never);
    await known("s");
    await known("v");
    expect(await sandbox.query("s", never)).toMatchObject({ state: "PENDING" });
    expect(await sandbox.capture("s", never)).toMatchObject({ code: "REFUSED", state: "PENDING" });
    expect(await sandbox.void("v", never)).toEqual({ ok: true });
    expect(await slow).toMatchObject({ ok: true });
    expect(await voided).toMatchObject({ code: "DECLINED", declineCode: "voided" });
  });

  it("bars a key that was voided before it was ever seen", async () => {
    expect(await sandbox.query("late", never)).toEqual({ ok: true, state: "NOT_FOUND" });
    expect(await sandbox.void("late", never)).toEqual({ ok: true });
    expect(await sandbox.authorise(request("late"), never)).toMatchObject({ code: "DECLINED" });
    expect(await readSandboxLedger(path)).toMatchObject([{ key: "late", holds: 0, takes: 0 }]);
  });

  it("refuses a key that comes back with another amount", async () => {
    await sandbox.authorise(request("k"), never);
    expect(await sandbox.authorise(request("k", "tok_approve", 1000), never)).toEqual({
      ok: false,
      code: "KEY_REUSED",
    });
  });

  it("still knows every payment after a restart", async () => {
    const first = await sandbox.authorise(request("r"), never);
    await sandbox.capture("r", never);
    await sandbox.close();
    sandbox = open();
    expect(await sandbox.authorise(request("r"), never)).toEqual(first);
    expect(await sandbox.capture("r", never)).toEqual({ ok: true });
    expect(await readSandboxLedger(path)).toMatchObject([
      { key: "r", state: "CAPTURED", holds: 1, takes: 1 },
    ]);
  });

  it("holds, takes and gives back at most once, whatever is asked in whatever order and at once", async () => {
    const asked = fc.constantFrom("authorise", "capture", "void", "refund", "query");
    const key = fc.uuid();
    await fc.assert(
      fc.asyncProperty(key, fc.array(asked, { maxLength: 12 }), async (id, moves) => {
        await Promise.all(
          moves.map((move) =>
            move === "authorise" ? sandbox.authorise(request(id), never) : sandbox[move](id, never),
          ),
        );
        const row = (await readSandboxLedger(path)).find((each) => each.key === id);
        const { holds = 0, takes = 0, refunds = 0 } = row ?? {};
        expect(holds).toBeLessThanOrEqual(1);
        expect(takes).toBeLessThanOrEqual(holds);
        expect(refunds).toBeLessThanOrEqual(takes);
      }),
      { numRuns: 50 },
    );
  });
});
