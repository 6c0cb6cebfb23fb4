// The main promise, on real processes: enrol -> recognised -> pays -> erased -> not recognised any more.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Enrolment } from "../../cli/operator-api.js";
import { PALMGATE_JS } from "../../cli/stack/child.js";
import type { Agent } from "../../edge-agent/agent.js";
import { openSite, present, type Site, seen } from "./support.js";

const MEMBER = 1;
const OTHERS = [2, 3, 4, 5, 6, 7, 8];
const STRANGER = 999_001;
const BROKE = 9;
const charge = (amountMinor: number) => ({ amountMinor, currency: "EUR", orderRef: "order-1" });

describe("a member's journey", () => {
  let site: Site;
  let gate: Agent;
  let till: Agent;
  let member: Enrolment;

  beforeAll(async () => {
    site = await openSite();
    [gate, till] = await Promise.all([site.lane("gate-1"), site.lane("till-1")]);
    member = await site.enrol(MEMBER);
    for (const seed of OTHERS) await site.enrol(seed);
    await site.enrol(BROKE, "tok_insufficient");
  });
  afterAll(() => site?.close());

  it("opens the gate for the member, under the pseudonym of that site", async () => {
    expect(seen(await present(gate, MEMBER))).toMatchObject({
      outcome: "MATCH",
      granted: true,
      reason: "WELCOME_MEMBER",
      pairwiseId: member.pairwiseIds.north,
    });
    expect(member.pairwiseIds.north).not.toBe(member.pairwiseIds.south);
  });

  it("takes a payment, and says so with brand and last four digits only", async () => {
    const end = await present(till, MEMBER, 1, { charge: charge(1290) });
    expect(seen(end)).toMatchObject({
      outcome: "MATCH",
      granted: true,
      reason: "PAYMENT_APPROVED",
      pairwiseId: member.pairwiseIds.south,
    });
    expect(end.kind === "decision" && end.decision.payment).toMatchObject({
      brand: "visa",
      last4: "4242",
      amountMinor: 1290,
      currency: "EUR",
    });
  });

  it("recognises a member whose card has no money, and refuses the payment", async () => {
    const end = await present(till, BROKE, 0, { charge: charge(500) });
    expect(seen(end)).toMatchObject({ outcome: "MATCH", granted: false, reason: "INSUFFICIENT_FUNDS" });
  });

  it("does not know a stranger", async () => {
    expect(seen(await present(gate, STRANGER))).toMatchObject({
      outcome: "NO_MATCH",
      granted: false,
      pairwiseId: "",
    });
  });

  it("shows the member every use of the palm", async () => {
    const history = await site.api.get<unknown>(`/api/v1/members/${member.memberId}/history`);
    expect(history.ok).toBe(true);
    const text = JSON.stringify(history);
    expect(text).toContain("north");
    expect(text).toContain("1290");
  });

  it("refuses to enrol the same palm twice", async () => {
    await expect(site.enrol(MEMBER)).rejects.toThrow("DUPLICATE_MEMBER");
  });

  it("erases for good, with a receipt that verifies and that no hand can change", async () => {
    const erased = await site.api.erase(member.memberId);
    expect(erased).toMatchObject({ ok: true, status: 200 });
    const keyAnswer = await site.api.get<{ publicKey: string }>("/api/v1/receipt-key");
    if (!erased.ok || !keyAnswer.ok) throw new Error("no receipt");
    const dir = mkdtempSync(join(tmpdir(), "palmgate-receipt-"));
    const verify = (receipt: unknown) => {
      const file = join(dir, "receipt.json");
      writeFileSync(file, JSON.stringify(receipt));
      return execFileSync(
        process.execPath,
        [PALMGATE_JS, "verify-receipt", "--key", keyAnswer.body.publicKey, file],
        { encoding: "utf8", stdio: "pipe" },
      );
    };
    expect(verify(erased.body)).toContain(member.memberId);
    const forged = JSON.parse(
      JSON.stringify(erased.body).replace(
        member.memberId,
        member.memberId.replace(/^./, (digit) => (digit === "0" ? "1" : "0")),
      ),
    );
    expect(() => verify(forged)).toThrow();
    rmSync(dir, { recursive: true, force: true });
  });

  it("does not recognise the erased member, and still recognises the others", async () => {
    expect(seen(await present(gate, MEMBER, 2))).toMatchObject({ outcome: "NO_MATCH", granted: false });
    expect(seen(await present(gate, OTHERS[0] ?? 0))).toMatchObject({ outcome: "MATCH", granted: true });
    expect(await site.api.get(`/api/v1/members/${member.memberId}`)).toMatchObject({
      ok: false,
      status: 410,
    });
  });

  it("lets the person enrol anew, as somebody else", async () => {
    const again = await site.enrol(MEMBER);
    expect(again.memberId).not.toBe(member.memberId);
    expect(seen(await present(gate, MEMBER, 3))).toMatchObject({
      outcome: "MATCH",
      pairwiseId: again.pairwiseIds.north,
    });
  });
});
