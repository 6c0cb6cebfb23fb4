// One truth about a member, however many doors there are: two desks, two gateways, no stickiness.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enrolRequest } from "../../cli/demo/enrol.js";
import { syntheticPerson } from "../../cli/demo/people.js";
import { type OperatorApi, operatorApi } from "../../cli/operator-api.js";
import { openSite, present, type Site, seen, until } from "./support.js";

const SETTLE_DEADLINE_MS = 20_000;
/** At both doors at one moment, so often. */
const RACES = 6;

describe("a site with two of everything", () => {
  let site: Site;
  let desks: OperatorApi[];
  beforeAll(async () => {
    site = await openSite({ desks: 2, siteSettings: { reportWithinMs: 3000 } });
    desks = site.stack
      .of("desk")
      .map(({ ready }) => operatorApi(`http://127.0.0.1:${Number(ready.port)}`, site.stack.operatorToken));
  });
  afterAll(() => site?.close());

  it("makes one member of one palm that is enrolled at two desks at one moment", async () => {
    for (let race = 0; race < RACES; race++) {
      const images = await syntheticPerson(700 + race).enrolment(0);
      const answers = await Promise.all(desks.map((desk) => desk.enrol(enrolRequest(images, "tok_approve"))));
      expect(answers.map((answer) => (answer.ok ? "enrolled" : answer.code)).sort()).toEqual([
        "DUPLICATE_MEMBER",
        "enrolled",
      ]);
    }
  });

  it("shows at one desk what was done at the other, at once", async () => {
    const [one, other] = desks;
    const member = await site.enrol(720);
    const path = `/api/v1/members/${member.memberId}`;
    expect(await other?.get(path)).toMatchObject({ ok: true });
    expect(await one?.erase(member.memberId)).toMatchObject({ ok: true });
    expect(await other?.get(path)).toMatchObject({ ok: false, status: 410 });
    const [a, b] = await Promise.all(desks.map((desk) => desk.get<unknown>("/api/v1/receipt-keys")));
    expect(a).toEqual(b);
  });

  it("holds a payment at the decision and takes it when the passage is reported", async () => {
    const member = await site.enrol(721);
    const till = await site.lane("till-1");
    const charge = { amountMinor: 990, currency: "EUR", orderRef: "order-a" };
    expect(seen(await present(till, 721, 0, { charge }))).toMatchObject({ granted: true });
    await until("captured", SETTLE_DEADLINE_MS, async () =>
      (await steps(member.memberId)).includes("CAPTURED"),
    );
  });

  it("lets a payment go when the gate failed", async () => {
    const member = await site.enrol(722);
    const till = await site.lane("till-1", { gate: { open: async () => ({ ok: false, why: "stuck" }) } });
    const charge = { amountMinor: 990, currency: "EUR", orderRef: "order-b" };
    expect(seen(await present(till, 722, 0, { charge }))).toMatchObject({ granted: true });
    await until("voided", SETTLE_DEADLINE_MS, async () => (await steps(member.memberId)).includes("VOIDED"));
    expect(await steps(member.memberId)).not.toContain("CAPTURED");
  });

  async function steps(memberId: string): Promise<string[]> {
    const answer = await site.api.get<{ uses: { step?: string }[] }>(`/api/v1/members/${memberId}/history`);
    return answer.ok ? answer.body.uses.flatMap(({ step }) => step ?? []) : [];
  }
});
