// What happens when machines die, hang or come back under a running site of two of everything: nobody wrong, nobody lost,
// no NO_MATCH without a full and current search, no order paid twice.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Enrolment } from "../../cli/operator-api.js";
import { waitReady } from "../../cli/stack/stack.js";
import type { Agent } from "../../edge-agent/agent.js";
import { toHex } from "../../wire/hex.js";
import { PRESENTATION_DEADLINE_MS } from "../../wire/limits.js";
import { openSite, pause, present, type Seen, type Site, seen, until } from "./support.js";

const FIRST = 11;
const SECOND = 12;
const SEEDS = [FIRST, SECOND, 13, 14, 15, 16];
/** The network and the scheduler of a busy machine on top of the gateway's own deadline. */
const ROUND_TRIP_SLACK_MS = 1000;
const RECOVERY_DEADLINE_MS = 30_000;
/** A gateway that has just started, whatever is enrolled. */
const GATEWAY_READY_MS = 10_000;

describe("a running site", () => {
  let site: Site;
  let gate: Agent;
  const members = new Map<number, Enrolment>();
  const resumed: (() => void)[] = [];
  /** Of presentations: none is shown twice. */
  let rounds = 0;

  beforeAll(async () => {
    site = await openSite();
    for (const seed of SEEDS) members.set(seed, await site.enrol(seed));
    gate = await site.lane("gate-1");
  });
  /** Whatever died is there again before the next thing happens. */
  afterEach(async () => {
    for (const resume of resumed.splice(0)) resume();
    await site.stack.startMissing();
    await waitReady(site.stack, RECOVERY_DEADLINE_MS);
    await recognised();
  });
  afterAll(() => site?.close());

  /** Presents everybody once, in turn. */
  async function round(): Promise<Map<number, Seen>> {
    const n = rounds++;
    const results = new Map<number, Seen>();
    for (const seed of SEEDS) results.set(seed, seen(await present(gate, seed, n)));
    return results;
  }

  function expectAllRecognised(results: Map<number, Seen>): void {
    for (const [seed, each] of results) {
      expect(each).toMatchObject({
        outcome: "MATCH",
        granted: true,
        pairwiseId: members.get(seed)?.pairwiseIds.north,
      });
    }
  }

  /** Recognised as themselves, or told "one moment": never a stranger, never somebody else. */
  function expectNobodyWrong(results: Map<number, Seen>): void {
    for (const [seed, each] of results) {
      expect(["MATCH", "UNDECIDED", "NO_DECISION"]).toContain(each.outcome);
      if (each.outcome === "MATCH") expect(each.pairwiseId).toBe(members.get(seed)?.pairwiseIds.north);
    }
  }

  const recognised = () =>
    until(
      "recognition",
      RECOVERY_DEADLINE_MS,
      async () => seen(await present(gate, FIRST, rounds++)).outcome === "MATCH",
    );

  it("goes on when one matcher is killed in the middle: none undecided after failover, none wrong, none lost", async () => {
    expectAllRecognised(await round());
    const during = round();
    await site.stack.child("matcher-1").kill();
    expectNobodyWrong(await during);
    for (let n = 2; n < 5; n++) expectAllRecognised(await round());
  });

  it("goes on when one matcher hangs: none undecided once it has fallen silent, and enrolments are taken", async () => {
    resumed.push(pause(site.stack, "matcher-1"));
    expectNobodyWrong(await round());
    await until("a whole round", RECOVERY_DEADLINE_MS, async () =>
      [...(await round()).values()].every(({ outcome }) => outcome === "MATCH"),
    );
    for (let n = 2; n < 5; n++) expectAllRecognised(await round());
    const late = await site.enrol(99);
    expect(seen(await present(gate, 99))).toMatchObject({
      outcome: "MATCH",
      pairwiseId: late.pairwiseIds.north,
    });
    for (const resume of resumed.splice(0)) resume();
    // The one that slept does not know the new member yet, and knows that it does not: it never makes them a stranger.
    for (let n = 1; n < 6; n++)
      expect(["MATCH", "UNDECIDED"]).toContain(seen(await present(gate, 99, n)).outcome);
  });

  it("says UNDECIDED inside the deadline while no matcher is left, and recovers by itself", async () => {
    await Promise.all(site.stack.of("matcher").map((matcher) => matcher.kill()));
    for (const [, each] of await round()) {
      expect(each.outcome).toBe("UNDECIDED");
      expect(each.roundTripMs).toBeLessThan(PRESENTATION_DEADLINE_MS + ROUND_TRIP_SLACK_MS);
    }
    await Promise.all([site.stack.start("matcher-1"), site.stack.start("matcher-2")]);
    await recognised();
    expectAllRecognised(await round());
  });

  it("restarts its matchers one after the other under load without a wrong answer", async () => {
    let rolling = true;
    const answers: Seen[] = [];
    const load = (async () => {
      while (rolling) {
        const results = await round();
        expectNobodyWrong(results);
        answers.push(...results.values());
      }
    })();
    for (const name of ["matcher-1", "matcher-2"]) {
      await site.stack.child(name).stop();
      await site.stack.start(name);
      await until("both serve", RECOVERY_DEADLINE_MS, async () => {
        const status = await site.api.get<{ fleet: { missingReplicas: number } }>("/api/v1/status");
        return status.ok && status.body.fleet.missingReplicas === 0;
      });
    }
    rolling = false;
    await load;
    expect(answers.filter(({ outcome }) => outcome === "UNDECIDED").length).toBeLessThanOrEqual(
      Math.ceil(answers.length / 20),
    );
    expectAllRecognised(await round());
  });

  it("goes on when nats-server dies and comes back: every grant is in the record once", async () => {
    const before = new Set(await grantsOf(site, members.get(SECOND)));
    expectAllRecognised(await round());
    await site.stack.nats.kill();
    expect(seen(await present(gate, FIRST, rounds++)).outcome).toBe("UNDECIDED");
    const readiness = await fetch(`${site.stack.opsUrl("gateway-1")}/readyz`);
    expect(readiness.status).toBe(503);
    expect(await readiness.text()).toContain("nats-server is not reached");
    await site.stack.nats.restart();
    await recognised();
    expectAllRecognised(await round());
    // Presented in two rounds only, so that two grants more are on record, neither lost nor doubled.
    const more = async () => (await grantsOf(site, members.get(SECOND))).filter((each) => !before.has(each));
    await until("two grants on record", RECOVERY_DEADLINE_MS, async () => (await more()).length >= 2);
    expect(await more()).toHaveLength(2);
  });

  it("answers at the other gateway when one dies, and pays an order once, whichever it is asked at", async () => {
    const till = await site.lane("till-1");
    const charge = { amountMinor: 700, currency: "EUR", orderRef: "order-7" };
    const paid = await present(till, FIRST, 0, { charge });
    expect(seen(paid)).toMatchObject({ granted: true, reason: "PAYMENT_APPROVED" });
    for (const name of ["gateway-1", "gateway-2"]) {
      await site.stack.child(name).kill();
      await recognised();
      expectAllRecognised(await round());
      await site.stack.start(name);
    }
    const repeated = await present(till, FIRST, 3, { charge, presentationId: paid.presentationId });
    expect(seen(repeated).outcome).not.toBe("NO_MATCH");
    const changed = await present(till, FIRST, 4, {
      charge: { ...charge, amountMinor: 701 },
      presentationId: paid.presentationId,
    });
    expect(seen(changed).granted).toBe(false);
    await until(
      "one capture",
      RECOVERY_DEADLINE_MS,
      async () => (await captured(site, members.get(FIRST))).length > 0,
    );
    expect(await captured(site, members.get(FIRST))).toEqual([toHex(paid.presentationId)]);
  });

  it("knows everybody at a gateway that has just started: members are strangers to nobody", async () => {
    await Promise.all(site.stack.of("gateway").map((gateway) => gateway.kill()));
    const from = Date.now();
    await Promise.all([site.stack.start("gateway-1"), site.stack.start("gateway-2")]);
    expect(Date.now() - from).toBeLessThan(GATEWAY_READY_MS);
    for (let n = 1; n < 4; n++) expectNobodyWrong(await round());
    await recognised();
    expectAllRecognised(await round());
  });

  it("goes on when the ledger that leads dies: the other one leads, enrols and erases", async () => {
    await site.stack.child("ledger-1").kill();
    const late = await site.enrol(98);
    expect(seen(await present(gate, 98))).toMatchObject({
      outcome: "MATCH",
      pairwiseId: late.pairwiseIds.north,
    });
    await site.stack.start("ledger-1");
    await site.stack.child("ledger-2").kill();
    await until("the erasure", RECOVERY_DEADLINE_MS, async () => (await site.api.erase(late.memberId)).ok);
    expect(seen(await present(gate, 98, 1))).toMatchObject({ outcome: "NO_MATCH" });
  });
});

interface Use {
  kind: string;
  granted?: boolean;
  step?: string;
  presentationId: string;
}

async function usesOf(site: Site, member: Enrolment | undefined): Promise<Use[]> {
  const answer = await site.api.get<{ uses: Use[] }>(`/api/v1/members/${member?.memberId}/history`);
  return answer.ok ? answer.body.uses : [];
}

/** Presentations that were granted, as the member reads them. */
const grantsOf = async (site: Site, member: Enrolment | undefined): Promise<string[]> =>
  (await usesOf(site, member)).filter(({ granted }) => granted).map((use) => use.presentationId);

const captured = async (site: Site, member: Enrolment | undefined): Promise<string[]> =>
  (await usesOf(site, member)).filter(({ step }) => step === "CAPTURED").map((use) => use.presentationId);
