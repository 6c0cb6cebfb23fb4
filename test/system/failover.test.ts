// What happens when machines die under a running site: nobody wrong, nobody lost, no NO_MATCH without a full search.
import { afterEach, describe, expect, it } from "vitest";
import type { Enrolment } from "../../cli/operator-api.js";
import type { Agent } from "../../edge-agent/agent.js";
import { PRESENTATION_DEADLINE_MS } from "../../wire/limits.js";
import { toHex } from "../../wire/partition.js";
import { openSite, present, type Seen, type Site, seen, until } from "./support.js";

const SEEDS = [11, 12, 13, 14, 15, 16];
/** The network and the scheduler of a busy machine on top of the gateway's own deadline. */
const ROUND_TRIP_SLACK_MS = 1000;
const RECOVERY_DEADLINE_MS = 30_000;

describe("a running site", () => {
  let site: Site | undefined;
  afterEach(async () => {
    await site?.close();
    site = undefined;
  });

  async function populated(): Promise<{ site: Site; gate: Agent; members: Map<number, Enrolment> }> {
    site = await openSite();
    const members = new Map<number, Enrolment>();
    for (const seed of SEEDS) members.set(seed, await site.enrol(seed));
    return { site, gate: await site.lane("gate-1"), members };
  }

  /** Presents everybody once, in turn. */
  async function round(gate: Agent, n: number): Promise<Map<number, Seen>> {
    const results = new Map<number, Seen>();
    for (const seed of SEEDS) results.set(seed, seen(await present(gate, seed, n)));
    return results;
  }

  function expectAllRecognised(results: Map<number, Seen>, members: Map<number, Enrolment>): void {
    for (const [seed, each] of results) {
      expect(each).toMatchObject({
        outcome: "MATCH",
        granted: true,
        pairwiseId: members.get(seed)?.pairwiseIds.north,
      });
    }
  }

  it("goes on when one matcher is killed in the middle: none undecided after failover, none wrong, none lost", async () => {
    const { site, gate, members } = await populated();
    expectAllRecognised(await round(gate, 0), members);
    const during = round(gate, 1);
    await site.stack.matchers.get("matcher-1")?.kill();
    for (const [seed, each] of await during) {
      expect(["MATCH", "UNDECIDED"]).toContain(each.outcome);
      if (each.outcome === "MATCH") expect(each.pairwiseId).toBe(members.get(seed)?.pairwiseIds.north);
    }
    for (let n = 2; n < 5; n++) expectAllRecognised(await round(gate, n), members);
  });

  it("says UNDECIDED inside the deadline while no matcher is left, and recovers by itself", async () => {
    const { site, gate, members } = await populated();
    await Promise.all([...site.stack.matchers.values()].map((matcher) => matcher.kill()));
    for (const [, each] of await round(gate, 0)) {
      expect(each.outcome).toBe("UNDECIDED");
      expect(each.roundTripMs).toBeLessThan(PRESENTATION_DEADLINE_MS + ROUND_TRIP_SLACK_MS);
    }
    await Promise.all([site.stack.startMatcher("matcher-1"), site.stack.startMatcher("matcher-2")]);
    const [first = 0] = SEEDS;
    await until(
      "the first recognition",
      RECOVERY_DEADLINE_MS,
      async () => seen(await present(gate, first, 1)).outcome === "MATCH",
    );
    expectAllRecognised(await round(gate, 2), members);
  });

  it("goes on when nats-server dies and comes back: every decision is in the record once", async () => {
    const { site, gate, members } = await populated();
    const before = await round(gate, 0);
    expectAllRecognised(before, members);
    await site.stack.nats.kill();
    const [first = 0] = SEEDS;
    expect(seen(await present(gate, first, 1)).outcome).toBe("UNDECIDED");
    const readiness = await fetch(`${site.stack.gatewayOpsUrl()}/readyz`);
    expect([readiness.status, await readiness.text()]).toEqual([
      503,
      "not ready: nats-server is not reached\n",
    ]);
    await site.stack.nats.restart();
    await until(
      "recognition after the restart",
      RECOVERY_DEADLINE_MS,
      async () => seen(await present(gate, first, 2)).outcome === "MATCH",
    );
    expectAllRecognised(await round(gate, 3), members);
    const [, second = 0] = SEEDS;
    // Presented in rounds 0 and 3 only, so that two uses are on record, neither lost nor doubled.
    const path = `/api/members/${members.get(second)?.memberId}/history`;
    await until("two uses on record", RECOVERY_DEADLINE_MS, async () => {
      const answer = await site.api.get<{ uses: unknown[] }>(path);
      return answer.ok && answer.body.uses.length === 2;
    });
  });

  it("lets lanes back in when the gateway is killed and started again, and pays once for one presentation", async () => {
    const { site, gate, members } = await populated();
    const till = await site.lane("till-1");
    const [first = 0] = SEEDS;
    const charge = { amountMinor: 700, currency: "EUR", orderRef: "order-7" };
    const paid = await present(till, first, 0, { charge });
    expect(seen(paid)).toMatchObject({ granted: true, reason: "PAYMENT_APPROVED" });
    const another = await present(till, first, 1, { charge });
    expect(seen(another)).toMatchObject({ granted: true, reason: "PAYMENT_APPROVED" });
    await site.stack.gateway().kill();
    await site.stack.restartGateway();
    await until(
      "recognition after the restart",
      RECOVERY_DEADLINE_MS,
      async () => seen(await present(gate, first, 1)).outcome === "MATCH",
    );
    expectAllRecognised(await round(gate, 2), members);
    const repeated = await present(till, first, 3, { charge, presentationId: paid.presentationId });
    expect(seen(repeated)).toMatchObject({ granted: true, reason: "PAYMENT_APPROVED" });
    const changed = { ...charge, amountMinor: 701 };
    const conflict = await present(till, first, 4, {
      charge: changed,
      presentationId: another.presentationId,
    });
    expect(seen(conflict)).toMatchObject({ granted: false, reason: "PAYMENT_CONFLICT" });
    const history = `/api/members/${members.get(first)?.memberId}/history`;
    const captured = async () => {
      const answer = await site.api.get<{ uses: { step?: string; presentationId: string }[] }>(history);
      return answer.ok
        ? answer.body.uses.filter(({ step }) => step === "CAPTURED").map((use) => use.presentationId)
        : [];
    };
    await until("the captures", RECOVERY_DEADLINE_MS, async () => (await captured()).length >= 2);
    expect((await captured()).sort()).toEqual(
      [toHex(paid.presentationId), toHex(another.presentationId)].sort(),
    );
  });
});
