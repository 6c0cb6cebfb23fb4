import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ActResult } from "../../../gateway/purposes/purpose.js";
import type { SearchResult } from "../../../identify/index.js";
import { edge } from "../../../wire/codec.js";
import { MONEY_DEADLINE_MS, PRESENTATION_DEADLINE_MS } from "../../../wire/limits.js";
import { type Client, frameOf, newId } from "../support/client.js";
import { ALICE, decisionsOf, type Front, found, newWorld, startFront } from "../support/front.js";
import { gate } from "../support/gate.js";

const { Outcome, Reason } = edge;
const charge = { amountMinor: 250, currency: "EUR", orderRef: "order-7" };

let front: Front;
let client: Client;
let world: ReturnType<typeof newWorld>;
beforeEach(async () => {
  world = newWorld();
  front = await startFront({ world, maxPresentations: 2, maxEvents: 5 });
  client = await front.welcome("gate-1");
});
afterEach(async () => {
  expect(front.presentations.active).toBe(0);
  await front.close();
});

const decisions = () => decisionsOf(front, world.log);

describe("one lane, one palm", () => {
  it("a new presentation takes the place of one that still looks for more frames", async () => {
    front.script.search = async () => found();
    const [first, second] = [newId(), newId()];
    client.send({ frame: frameOf(first) });
    await client.next("guide");
    front.script.search = async () => found([ALICE, 0.9]);
    client.send({ frame: frameOf(second) });
    const old = await client.next("decision");
    expect(old).toMatchObject({ outcome: Outcome.UNDECIDED, reason: Reason.DEADLINE_PASSED });
    expect(Buffer.from(old.presentationId ?? [])).toEqual(first);
    expect(await client.next("decision")).toMatchObject({ granted: true });
  });

  it("but not of one whose payment is being taken: BUSY, come again", async () => {
    const act = gate<ActResult>();
    front.script.act = act.wait;
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await act.reached;
    till.send({ frame: frameOf(newId(), { charge }) });
    const error = await till.next("error");
    expect(error).toMatchObject({ code: edge.ErrorCode.BUSY, fatal: false });
    expect(error.retryAfterMs).toBeGreaterThan(0);
    const payment = { brand: "visa", last4: "4242", amountMinor: 250, currency: "EUR" };
    act.open({ granted: true, reason: Reason.PAYMENT_APPROVED, payment });
    expect(await till.next("decision")).toMatchObject({ granted: true, payment });
  });

  it("hands the charge to the act, and a deadline of its own", async () => {
    let asked: Parameters<NonNullable<Front["script"]["act"]>>[1] | undefined;
    front.script.act = async (_, request) => {
      asked = request;
      return { granted: true, reason: Reason.PAYMENT_APPROVED };
    };
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await till.next("decision");
    expect(asked).toMatchObject({ site: "north", deviceId: "till-1", charge });
    const leftMs = (asked?.deadlineAtMs ?? 0) - performance.now();
    expect(leftMs).toBeLessThan(MONEY_DEADLINE_MS);
    expect(leftMs).toBeGreaterThan(PRESENTATION_DEADLINE_MS);
  });
});

describe("limits", () => {
  it("refuses presentations beyond the limit at once, and takes them again when one has ended", async () => {
    const search = gate<SearchResult>();
    front.script.search = search.wait;
    const [other, till] = [await front.welcome("gate-2"), await front.welcome("till-1")];
    client.send({ frame: frameOf(newId()) });
    other.send({ frame: frameOf(newId()) });
    await Promise.all([client.settled(), other.settled()]);
    till.send({ frame: frameOf(newId(), { charge }) });
    expect(await till.nextError()).toBe("BUSY");
    search.open(found([ALICE, 0.9]));
    await Promise.all([client.next("decision"), other.next("decision")]);
    till.send({ frame: frameOf(newId(), { charge }) });
    expect(await till.next("decision")).toMatchObject({ granted: true });
  });

  it("grants fewer credits while frames queue up, but never none", async () => {
    front.script.queued = 6;
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({ creditLimit: 4 });
    for (let more = 0; more < 3; more++) {
      client.send({ frame: frameOf(newId()) });
      await client.next("decision");
    }
    expect(client.credit).toBe(5);
    front.script.queued = 0;
    await client.settled();
    await client.next("credit");
    expect(client.credit).toBe(8);
  });

  it("takes no new presentation while signers are behind by a full queue", async () => {
    front.script.queued = 8;
    client.send({ frame: frameOf(newId()) });
    expect(await client.nextError()).toBe("BUSY");
  });

  it("lets those under way finish at the end, and takes no new ones", async () => {
    const search = gate<SearchResult>();
    front.script.search = search.wait;
    client.send({ frame: frameOf(newId()) });
    await client.settled();
    const stopped = front.presentations.stop();
    const other = await front.welcome("gate-2");
    other.send({ frame: frameOf(newId()) });
    expect(await other.nextError()).toBe("BUSY");
    front.lanes.dismiss("idle");
    expect(await other.nextError()).toBe("SHUTTING_DOWN");
    search.open(found([ALICE, 0.9]));
    expect(await client.next("decision")).toMatchObject({ granted: true });
    await stopped;
    front.lanes.dismiss("all");
    expect(await client.nextError()).toBe("SHUTTING_DOWN");
    expect(await client.closed()).toBe(1001);
  });
});

describe("a gateway that stops while a grant is being recorded", () => {
  it("keeps the lane until it has its answer", async () => {
    const stored = gate<void>();
    world.log.beforeStored = stored.wait;
    const payment = { brand: "visa", last4: "4242", amountMinor: 250, currency: "EUR" };
    front.script.act = async () => ({ granted: true, reason: Reason.PAYMENT_APPROVED, payment });
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await stored.reached;
    front.lanes.dismiss("idle");
    const stopped = front.presentations.stop().then(() => front.lanes.dismiss("all"));
    stored.open();
    await stopped;
    expect(await till.next("decision")).toMatchObject({ granted: true, payment });
    expect(await till.nextError()).toBe("SHUTTING_DOWN");
  });
});

describe("a lane that goes away", () => {
  const gone = async (lane: Client) => {
    const before = front.lanes.count;
    lane.terminate();
    while (front.lanes.count === before) await new Promise((resolve) => setImmediate(resolve));
  };

  it("in the middle of a search leaves nothing behind and makes no decision", async () => {
    const search = gate<SearchResult>();
    front.script.search = search.wait;
    const id = newId();
    client.send({ frame: frameOf(id) });
    await client.settled();
    await gone(client);
    expect(front.presentations.active).toBe(0);
    search.open(found([ALICE, 0.9]));
    front.script.search = async () => found([ALICE, 0.9]);
    const again = await front.welcome("gate-1");
    again.send({ frame: frameOf(id) });
    expect(await again.next("decision")).toMatchObject({ granted: true });
    expect(await decisions()).toHaveLength(1);
  });

  it("in the middle of a payment: the act goes on to its end, and no grant is recorded that nobody hears", async () => {
    const act = gate<ActResult>();
    front.script.act = act.wait;
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await act.reached;
    await gone(till);
    const ended = front.presentations.stop();
    act.open({ granted: true, reason: Reason.PAYMENT_APPROVED });
    await ended;
    expect(await decisions()).toEqual([]);
  });

  it("while its grant is being recorded: it stands, and is granted again when the lane comes back", async () => {
    const stored = gate<void>();
    world.log.beforeStored = stored.wait;
    const id = newId();
    client.send({ frame: frameOf(id) });
    await stored.reached;
    await gone(client);
    world.log.beforeStored = async () => {};
    stored.open();
    const again = await front.welcome("gate-1");
    again.send({ frame: frameOf(id) });
    expect(await again.next("decision")).toMatchObject({ granted: true });
    expect(new Set((await decisions()).map(({ atUnixMs }) => atUnixMs)).size).toBe(1);
  });
});

describe("money has a deadline of its own", () => {
  it("the lane hears one moment, and by when; then the answer", async () => {
    const act = gate<ActResult>();
    front.script.act = act.wait;
    const till = await front.welcome("till-1");
    const id = newId();
    till.send({ frame: frameOf(id, { charge }) });
    const progress = await till.next("progress");
    expect(Buffer.from(progress.presentationId ?? [])).toEqual(id);
    expect(progress.displayKey).toBe("progress.one_moment");
    const leftMs = (progress.decisionByUnixMs ?? 0) - Date.now();
    expect(leftMs).toBeGreaterThan(MONEY_DEADLINE_MS - 1000);
    expect(leftMs).toBeLessThan(MONEY_DEADLINE_MS + 500);
    await new Promise((resolve) => setTimeout(resolve, PRESENTATION_DEADLINE_MS));
    act.open({ granted: true, reason: Reason.PAYMENT_APPROVED });
    expect(await till.next("decision")).toMatchObject({ granted: true });
  });

  it("nobody hears it where the money is there at once, nor on a lane that takes none", async () => {
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await till.next("decision");
    client.send({ frame: frameOf(newId()) });
    await client.next("decision");
    await new Promise((resolve) => setTimeout(resolve, 200));
    await till.settled();
    expect(till.take().some(({ progress }) => progress)).toBe(false);
    expect(client.take().some(({ progress }) => progress)).toBe(false);
  });

  it("comes inside the presentation's deadline, however late the person was known", async () => {
    const search = gate<SearchResult>();
    const act = gate<ActResult>();
    front.script.search = search.wait;
    front.script.act = act.wait;
    const till = await front.welcome("till-1");
    const fromMs = performance.now();
    till.send({ frame: frameOf(newId(), { charge }) });
    await new Promise((resolve) => setTimeout(resolve, PRESENTATION_DEADLINE_MS - 100));
    search.open(found([ALICE, 0.9]));
    await till.next("progress");
    expect(performance.now() - fromMs).toBeLessThan(PRESENTATION_DEADLINE_MS + 100);
    act.open({ granted: false, reason: Reason.PAYMENT_DECLINED });
    expect(await till.next("decision")).toMatchObject({ reason: Reason.PAYMENT_DECLINED });
  });

  it("an act that overruns even that is a bug: INTERNAL, and nobody is let in", async () => {
    front.script.actBudgetMs = 100;
    const act = gate<ActResult>();
    front.script.act = act.wait;
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    expect(await till.nextError()).toBe("INTERNAL");
    act.open({ granted: true, reason: Reason.PAYMENT_APPROVED });
    await till.settled();
    expect(till.take().some(({ decision }) => decision)).toBe(false);
    expect(await decisions()).toEqual([]);
  });
});

describe("a bug behind the lane", () => {
  it("lets nobody in: INTERNAL, and the lane goes on", async () => {
    front.script.act = async () => {
      throw new Error("a bug");
    };
    client.send({ frame: frameOf(newId()) });
    expect(await client.nextError()).toBe("INTERNAL");
    front.script.act = undefined;
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({ granted: true });
    expect(await decisions()).toHaveLength(1);
  });
});
