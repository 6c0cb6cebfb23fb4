// Erasures while a matcher is away, on real processes: pending as long as a holder may have anything of the member, whole
// by itself once all have confirmed, whatever was killed meanwhile.
import { afterEach, describe, expect, it } from "vitest";
import { openSite, pause, present, type Site, seen, until } from "./support.js";

const SETTLE_DEADLINE_MS = 40_000;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

describe("an erasure while a matcher is away", () => {
  let site: Site | undefined;
  const paused: (() => void)[] = [];
  afterEach(async () => {
    for (const resume of paused.splice(0)) resume();
    await site?.close();
    site = undefined;
  });

  async function remove({ stack }: Site, memberId: string): Promise<Answer> {
    const response = await fetch(`${stack.deskUrl}/api/v1/members/${memberId}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${stack.operatorToken}` },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  const whole = (running: Site, memberId: string) =>
    until("the receipt", SETTLE_DEADLINE_MS, async () => (await remove(running, memberId)).status === 200);

  it("is pending while one of two hangs, and whole only when that one has woken and confirmed", async () => {
    site = await openSite({ desks: 2 });
    const { memberId } = await site.enrol(31);
    paused.push(pause(site.stack, "matcher-2"));
    expect(await remove(site, memberId)).toMatchObject({ status: 202 });
    // It has fallen silent, and its disk may still have the member: no receipt on the word of the other alone.
    await until("silence is noticed", SETTLE_DEADLINE_MS, async () => {
      const status = await site?.api.get<{ fleet: { missingReplicas: number } }>("/api/v1/status");
      return status?.ok === true && status.body.fleet.missingReplicas > 0;
    });
    expect(await remove(site, memberId)).toMatchObject({ status: 202 });
    for (const resume of paused.splice(0)) resume();
    await whole(site, memberId);
    const { body } = await remove(site, memberId);
    expect(body).toMatchObject({ memberId, workers: expect.arrayContaining(["matcher-1", "matcher-2"]) });
  });

  it("survives the death of matchers, ledgers and desks, and comes to its end without being asked again", async () => {
    site = await openSite({ desks: 2 });
    const { stack } = site;
    const { memberId } = await site.enrol(32);
    await Promise.all(stack.of("matcher").map((matcher) => matcher.kill()));
    expect(await remove(site, memberId)).toMatchObject({ status: 202 });
    await Promise.all([...stack.of("ledger"), ...stack.of("desk")].map((child) => child.kill()));
    await Promise.all(
      ["ledger-1", "ledger-2", "desk-1", "desk-2", "matcher-1", "matcher-2"].map((name) => stack.start(name)),
    );
    await whole(site, memberId);
    const gate = await site.lane("gate-1");
    await until(
      "nobody known",
      SETTLE_DEADLINE_MS,
      async () => seen(await present(gate, 32)).outcome === "NO_MATCH",
    );
  });
});
