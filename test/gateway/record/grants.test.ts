// Grants and passages on one record, at one gateway and at two.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { edge } from "../../../wire/codec.js";
import { type Client, frameOf, newId } from "../support/client.js";
import { BOB, decisionsOf, type Front, found, newWorld, passagesOf, startFront } from "../support/front.js";
import { gate } from "../support/gate.js";

const { Outcome, Passage, Reason } = edge;

let world: ReturnType<typeof newWorld>;
let one: Front;
let two: Front;
beforeEach(async () => {
  world = newWorld();
  one = await startFront({ world, gatewayId: "gateway-1" });
  two = await startFront({ world, gatewayId: "gateway-2" });
});
afterEach(async () => {
  await one.close();
  await two.close();
});

const decisions = () => decisionsOf(one, world.log);
const present = async (client: Client, id: Uint8Array) => {
  client.send({ frame: frameOf(id, { last: true }) });
  return client.next("decision");
};

describe("a presentation id at two gateways", () => {
  it("is granted once and answered the same: one person, one token, a new validity", async () => {
    const id = newId();
    const first = await present(await one.welcome("gate-1"), id);
    const second = await present(await two.welcome("gate-1"), id);
    expect([first.granted, second.granted]).toEqual([true, true]);
    expect(second.passageToken).toEqual(first.passageToken);
    expect(second.pairwiseId).toBe(first.pairwiseId);
    const recorded = await decisions();
    expect(new Set(recorded.map(({ subject }) => subject)).size).toBe(1);
    expect(new Set(recorded.map(({ atUnixMs }) => atUnixMs)).size).toBe(1);
  });

  it("at the same moment: both answer the same token", async () => {
    const id = newId();
    const links = [await one.connect(), await two.connect()];
    expect(links).toHaveLength(2);
    // Two gateways that do not know of each other's link yet: each still has the lane.
    world.book.put = async () => true;
    const [a, b] = [await one.welcome("gate-2"), await two.welcome("gate-2")];
    const both = await Promise.all([present(a, id), present(b, id)]);
    expect(both.map(({ granted }) => granted)).toEqual([true, true]);
    expect(both[0]?.passageToken).toEqual(both[1]?.passageToken);
  });

  it("is not granted to somebody else", async () => {
    const id = newId();
    await present(await one.welcome("gate-1"), id);
    two.script.search = async () => found([BOB, 0.9]);
    const client = await two.welcome("gate-1");
    client.send({ frame: frameOf(id) });
    expect(await client.nextError()).toBe("PRESENTATION_CLOSED");
  });

  it("is not granted again once its passage is on record", async () => {
    const id = newId();
    const client = await one.welcome("gate-1");
    const { passageToken = new Uint8Array() } = await present(client, id);
    client.send({ gateReport: { presentationId: id, passageToken, passage: Passage.OPENED } });
    await client.next("passageAck");
    const again = await two.welcome("gate-1");
    again.send({ frame: frameOf(id) });
    expect(await again.nextError()).toBe("PRESENTATION_CLOSED");
  });

  it("is not granted again after half a minute", async () => {
    const id = newId();
    await present(await one.welcome("gate-1"), id);
    const laterMs = 31_000;
    await two.close();
    two = await startFront({
      world: { ...world, nowUnixMs: () => Date.now() + laterMs },
      gatewayId: "gateway-2",
    });
    const again = await two.welcome("gate-1");
    again.send({ frame: frameOf(id) });
    expect(await again.nextError()).toBe("PRESENTATION_CLOSED");
  });

  it("may be granted after it was not", async () => {
    const id = newId();
    one.script.search = async () => found();
    expect(await present(await one.welcome("gate-1"), id)).toMatchObject({ outcome: Outcome.NO_MATCH });
    await one.recorder.flush();
    expect(await present(await two.welcome("gate-1"), id)).toMatchObject({ granted: true });
    expect((await decisions()).map(({ granted }) => granted)).toEqual([false, true]);
  });
});

describe("a till", () => {
  const charge = { amountMinor: 250, currency: "EUR", orderRef: "order-7" };
  const payment = { brand: "visa", last4: "4242", amountMinor: 250, currency: "EUR" };

  it("that was refused is not granted under the same id: what was held for it is let go already", async () => {
    const id = newId();
    one.script.act = async () => ({ granted: false, reason: Reason.PAYMENT_UNKNOWN, payment });
    const first = await one.welcome("till-1");
    first.send({ frame: frameOf(id, { charge }) });
    expect(await first.next("decision")).toMatchObject({ granted: false });
    await one.recorder.flush();
    two.script.act = async () => ({ granted: true, reason: Reason.PAYMENT_APPROVED, payment });
    const second = await two.welcome("till-1");
    second.send({ frame: frameOf(id, { charge }) });
    expect(await second.nextError()).toBe("PRESENTATION_CLOSED");
    second.send({ frame: frameOf(newId(), { charge }) });
    expect(await second.next("decision")).toMatchObject({ granted: true });
  });
});

describe("a log that does not take the grant", () => {
  it("is away: UNDECIDED, no grant, within the presentation's deadline; then nobody was let in on record", async () => {
    world.log.away = true;
    const client = await one.welcome("gate-1");
    const fromMs = performance.now();
    const decision = await present(client, newId());
    expect(decision).toMatchObject({
      outcome: Outcome.UNDECIDED,
      granted: false,
      reason: Reason.RECORD_UNAVAILABLE,
      displayKey: "decision.record_unavailable",
    });
    expect(decision.passageToken).toHaveLength(0);
    expect(performance.now() - fromMs).toBeLessThan(1000);
    world.log.away = false;
    expect(await decisions()).toMatchObject([{ granted: false, reason: Reason.RECORD_UNAVAILABLE }]);
  });

  it("is too slow: UNDECIDED after 250 ms, and the grant that it stores later is taken back", async () => {
    const stored = gate<void>();
    world.log.beforeStored = stored.wait;
    const client = await one.welcome("gate-1");
    expect(await present(client, newId())).toMatchObject({ outcome: Outcome.UNDECIDED, granted: false });
    world.log.beforeStored = async () => {};
    stored.open();
    expect((await decisions()).at(-1)).toMatchObject({ granted: false, reason: Reason.RECORD_UNAVAILABLE });
  });

  it("stores it and loses its answer: UNDECIDED, and it is taken back; asked again it may be granted", async () => {
    world.log.losesAnswers = 1;
    const id = newId();
    expect(await present(await one.welcome("gate-1"), id)).toMatchObject({ granted: false });
    expect((await decisions()).map(({ granted }) => granted)).toEqual([true, false]);
    expect(await present(await two.welcome("gate-1"), id)).toMatchObject({ granted: true });
    expect((await decisions()).map(({ granted }) => granted)).toEqual([true, false, true]);
  });
});

describe("reports of passages", () => {
  const granted = async (client: Client, id = newId()) => {
    const { passageToken = new Uint8Array() } = await present(client, id);
    return { presentationId: id, passageToken, passage: Passage.OPENED, atUnixMs: Date.now() };
  };

  it("are acknowledged when they are on record, however often they come, and recorded once", async () => {
    const client = await one.welcome("gate-1");
    const report = await granted(client);
    for (let times = 0; times < 3; times++) {
      client.send({ gateReport: report });
      expect(Buffer.from((await client.next("passageAck")).presentationId ?? [])).toEqual(
        report.presentationId,
      );
    }
    expect(passagesOf(world.log)).toMatchObject([
      {
        subject: `passages.acme.north.gate-1.${report.presentationId.toString("hex")}`,
        passage: Passage.OPENED,
      },
    ]);
    const [decision] = await decisions();
    expect(passagesOf(world.log)[0]?.booksRef).toEqual(decision?.booksRef);
  });

  it("are taken by another gateway, and by one that has just started", async () => {
    const report = await granted(await one.welcome("gate-1"));
    const elsewhere = await two.welcome("gate-1");
    elsewhere.send({ gateReport: report });
    await elsewhere.next("passageAck");
    const fresh = await startFront({ world, gatewayId: "gateway-3" });
    const client = await fresh.welcome("gate-1");
    client.send({ gateReport: { ...report, passage: Passage.FAILED } });
    await client.next("passageAck");
    expect(passagesOf(world.log).map(({ passage, booksRef }) => [passage, booksRef?.length])).toEqual([
      [Passage.OPENED, 16],
    ]);
    await fresh.close();
  });

  it("of a gate that failed are in the record and counted", async () => {
    const client = await one.welcome("gate-1");
    const report = await granted(client);
    client.send({ gateReport: { ...report, passage: Passage.FAILED } });
    await client.next("passageAck");
    expect(passagesOf(world.log)).toMatchObject([{ passage: Passage.FAILED }]);
    const counted = await one.metrics.registry.getSingleMetricAsString("palmgate_passages_total");
    expect(counted).toContain('palmgate_passages_total{passage="failed"} 1');
  });

  it("keep the site of the decision, also when the device stands elsewhere by now", async () => {
    const report = await granted(await one.welcome("gate-1"));
    const device = world.devices.get("gate-1");
    if (device === undefined) throw new Error("no gate-1");
    world.devices.set("gate-1", { ...device, site: "south" });
    const client = await two.welcome("gate-1");
    client.send({ gateReport: report });
    await client.next("passageAck");
    expect(passagesOf(world.log)[0]?.subject).toContain("passages.acme.north.");
  });

  it("are refused with another device's token, another presentation's, or an invented one", async () => {
    const client = await one.welcome("gate-1");
    const report = await granted(client);
    const other = await one.welcome("gate-2");
    other.send({ gateReport: report });
    expect(await other.nextError()).toBe("TOKEN_INVALID");
    for (const wrong of [
      { presentationId: newId() },
      { presentationId: new Uint8Array(3) },
      { passageToken: new Uint8Array(24) },
      { passageToken: new Uint8Array(16) },
    ]) {
      client.send({ gateReport: { ...report, ...wrong } });
      expect(await client.nextError()).toBe("TOKEN_INVALID");
    }
    expect(passagesOf(world.log)).toEqual([]);
  });

  it("of a gate that failed are in the record, and counted once, however often they come", async () => {
    const client = await one.welcome("gate-1");
    const report = { ...(await granted(client)), passage: Passage.FAILED };
    for (let times = 0; times < 2; times++) {
      client.send({ gateReport: report });
      await client.next("passageAck");
    }
    expect(passagesOf(world.log)).toMatchObject([{ passage: Passage.FAILED }]);
    const counted = await one.metrics.registry.getSingleMetricAsString("palmgate_passages_total");
    expect(counted).toContain('palmgate_passages_total{passage="failed"} 1');
  });

  it("get no answer while the log is away, and one when they come again", async () => {
    const client = await one.welcome("gate-1");
    const report = await granted(client);
    world.log.away = true;
    client.send({ gateReport: report });
    await client.settled();
    expect(client.take().some(({ passageAck, error }) => passageAck ?? error)).toBe(false);
    world.log.away = false;
    client.send({ gateReport: report });
    await client.next("passageAck");
    expect(passagesOf(world.log)).toHaveLength(1);
  });
});

describe("two links of one device", () => {
  it("at two gateways: the newest counts, the older one hears DUPLICATE_DEVICE", async () => {
    const older = await one.welcome("gate-1");
    const newer = await two.welcome("gate-1");
    expect(await older.nextError()).toBe("DUPLICATE_DEVICE");
    expect(await older.closed()).toBe(1008);
    expect(await present(newer, newId())).toMatchObject({ granted: true });
    expect([one.lanes.count, two.lanes.count]).toEqual([0, 1]);
    expect(world.book.get("gate-1")?.gateway).toBe("gateway-2");
  });

  it("the book has a lane while its link is up, said anew every five seconds, and loses it with the link", async () => {
    let said = 0;
    const put = world.book.put;
    world.book.put = (entry) => {
      said += 1;
      return put(entry);
    };
    const client = await one.welcome("gate-1");
    expect(world.book.get("gate-1")).toMatchObject({
      gateway: "gateway-1",
      organisation: "acme",
      site: "north",
    });
    await expect.poll(() => said, { timeout: 8000 }).toBeGreaterThan(1);
    client.close();
    await expect.poll(() => world.book.get("gate-1")).toBeUndefined();
  });

  it("at gateways whose clocks disagree: the newest counts all the same", async () => {
    await two.close();
    two = await startFront({
      world: { ...world, nowUnixMs: () => Date.now() - 60_000 },
      gatewayId: "gateway-2",
    });
    const older = await one.welcome("gate-1");
    const newer = await two.welcome("gate-1");
    expect(await older.nextError()).toBe("DUPLICATE_DEVICE");
    await newer.settled();
    expect(two.lanes.count).toBe(1);
  });
});
