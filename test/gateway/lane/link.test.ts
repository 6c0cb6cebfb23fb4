import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { edge } from "../../../wire/codec.js";
import { MAX_EDGE_MESSAGE_BYTES, MONEY_DEADLINE_MS, PRESENTATION_DEADLINE_MS } from "../../../wire/limits.js";
import { frameOf, helloOf, newId } from "../support/client.js";
import { type Front, startFront } from "../support/front.js";

describe("greeting", () => {
  let front: Front;
  beforeEach(async () => {
    front = await startFront();
  });
  afterEach(() => front.close());

  const greeted = async (make: (nonce: Uint8Array) => edge.IHello) => {
    const client = await front.connect();
    const { nonce } = await client.next("challenge");
    client.send({ hello: make(nonce ?? new Uint8Array()) });
    return client;
  };

  it("challenges with 32 fresh bytes and the versions spoken", async () => {
    const [one, other] = [await front.connect(), await front.connect()];
    const [first, second] = [await one.next("challenge"), await other.next("challenge")];
    expect(first.nonce).toHaveLength(32);
    expect(first.nonce).not.toEqual(second.nonce);
    expect(first.protocolVersions).toEqual([1]);
  });

  it("welcomes a device that proves itself, with everything it must obey", async () => {
    const client = await greeted((nonce) => helloOf("gate-1", nonce, front.keyOf("gate-1")));
    expect(await client.next("welcome")).toMatchObject({
      protocolVersion: 1,
      site: "north",
      purpose: edge.Purpose.ENTRY,
      gallery: "g",
      creditLimit: 4,
      maxMessageBytes: MAX_EDGE_MESSAGE_BYTES,
      maxFramesPerPresentation: 3,
      presentationDeadlineMs: PRESENTATION_DEADLINE_MS,
      transport: "uws-native",
      organisation: "acme",
      moneyDeadlineMs: 0,
    });
    const till = await front.connect();
    const { nonce } = await till.next("challenge");
    till.send({ hello: helloOf("till-1", nonce ?? new Uint8Array(), front.keyOf("till-1")) });
    expect(await till.next("welcome")).toMatchObject({ moneyDeadlineMs: MONEY_DEADLINE_MS });
    till.close();
    await till.closed();
    while (front.lanes.count > 1) await new Promise((resolve) => setImmediate(resolve));
    expect(front.lanes.count).toBe(1);
  });

  it("refuses the key of another device", async () => {
    const client = await greeted((nonce) => helloOf("gate-1", nonce, front.keyOf("gate-2")));
    expect(await client.nextError()).toBe("UNAUTHENTICATED");
    expect(await client.closed()).toBe(1008);
  });

  it("refuses a Hello signed for another connection", async () => {
    const other = await front.connect();
    const { nonce: otherNonce } = await other.next("challenge");
    const client = await greeted(() =>
      helloOf("gate-1", otherNonce ?? new Uint8Array(), front.keyOf("gate-1")),
    );
    expect(await client.nextError()).toBe("UNAUTHENTICATED");
  });

  it.each(["gate-9", "", "gate-1\0", "GATE-1", "x".repeat(65)])(
    "refuses the unknown device %j",
    async (deviceId) => {
      const client = await greeted((nonce) => helloOf(deviceId, nonce, front.keyOf("gate-1")));
      expect(await client.nextError()).toBe("UNAUTHENTICATED");
    },
  );

  it("refuses an unknown version with those that would do", async () => {
    const client = await greeted((nonce) => helloOf("gate-1", nonce, front.keyOf("gate-1"), 99));
    const error = await client.next("error");
    expect(error).toMatchObject({
      code: edge.ErrorCode.VERSION_UNSUPPORTED,
      fatal: true,
      protocolVersions: [1],
    });
    expect(await client.closed()).toBe(1008);
  });

  it.each([
    ["frame", { frame: frameOf(newId()) }],
    ["gate report", { gateReport: {} }],
    ["heartbeat", { heartbeat: { sentUnixMs: 1 } }],
  ])("refuses a %s before Hello", async (_, message) => {
    const client = await front.connect();
    client.send(message);
    await client.next("challenge");
    expect(await client.nextError()).toBe("HELLO_EXPECTED");
    expect(await client.closed()).toBe(1008);
  });

  it("closes the older link of a device that connects again", async () => {
    const older = await front.welcome("gate-1");
    const newer = await front.welcome("gate-1");
    expect(await older.nextError()).toBe("DUPLICATE_DEVICE");
    await older.closed();
    newer.send({ frame: frameOf(newId()) });
    expect(await newer.next("decision")).toMatchObject({ granted: true });
    expect(front.lanes.count).toBe(1);
  });

  it("closes the link of a device whose duty has changed: it comes back to its new one", async () => {
    const moved = await front.welcome("gate-1");
    const device = front.world.devices.get("gate-1");
    if (device === undefined) throw new Error("no gate-1");
    front.world.devices.set("gate-1", { ...device, site: "south" });
    front.world.directoryChanged();
    expect(await moved.nextError()).toBe("SHUTTING_DOWN");
  });

  it("closes the link of a device that leaves the directory, and no other", async () => {
    const [gone, stays] = [await front.welcome("gate-1"), await front.welcome("gate-2")];
    front.world.devices.delete("gate-1");
    front.world.directoryChanged();
    expect(await gone.nextError()).toBe("UNAUTHENTICATED");
    await stays.settled();
    expect(front.lanes.count).toBe(1);
  });
});

describe("a welcomed link", () => {
  let front: Front;
  beforeEach(async () => {
    front = await startFront();
  });
  afterEach(() => front.close());

  it("echoes a heartbeat", async () => {
    const client = await front.welcome("gate-1");
    client.send({ heartbeat: { sentUnixMs: 4711 } });
    expect(await client.next("heartbeat")).toMatchObject({ echoSentUnixMs: 4711 });
  });

  it("refuses a second Hello", async () => {
    const client = await front.welcome("gate-1");
    client.send({ hello: helloOf("gate-1", new Uint8Array(32), front.keyOf("gate-1")) });
    expect(await client.nextError()).toBe("UNAUTHENTICATED");
    await client.closed();
  });

  it.each([
    ["no protobuf", new Uint8Array([0x0a, 0xff])],
    ["an empty message", new Uint8Array()],
    ["an unknown field only", new Uint8Array([0xf8, 0x01, 0x01])],
  ])("closes on %s", async (_, bytes) => {
    const client = await front.welcome("gate-1");
    client.sendBytes(bytes);
    expect(await client.nextError()).toBe("MALFORMED");
    expect(await client.closed()).toBe(1008);
  });

  it("closes on text", async () => {
    const client = await front.welcome("gate-1");
    client.sendText("frame");
    expect(await client.nextError()).toBe("MALFORMED");
  });

  it("is cut off by the transport for an oversized message", async () => {
    const client = await front.welcome("gate-1");
    client.send({ frame: frameOf(newId(), { image: new Uint8Array(MAX_EDGE_MESSAGE_BYTES) }) });
    expect(await client.closed()).toBe(1006);
    const next = await front.welcome("gate-1");
    next.send({ frame: frameOf(newId()) });
    expect(await next.next("decision")).toMatchObject({ granted: true });
  });

  it("closes on a frame beyond the credit limit", async () => {
    front.script.sign = () => new Promise(() => {});
    const client = await front.welcome("gate-1");
    for (let frame = 0; frame < 4; frame++) client.send({ frame: frameOf(newId()) });
    await client.settled();
    expect(client.take().some((each) => each.error)).toBe(false);
    client.send({ frame: frameOf(newId()) });
    expect(await client.nextError()).toBe("CREDIT_EXCEEDED");
    expect(await client.closed()).toBe(1008);
  });

  it("keeps no view on a message: the bytes of a decision's id outlive it", async () => {
    let release = () => {};
    front.script.search = () =>
      new Promise((resolve) => {
        release = () => resolve({ complete: true, missing: 0, templates: 1, candidates: [] });
      });
    const client = await front.welcome("gate-1");
    const id = newId();
    client.send({ frame: frameOf(id, { last: true }) });
    await client.settled();
    for (let n = 0; n < 20; n++) client.send({ heartbeat: { sentUnixMs: n } });
    await client.settled();
    release();
    const { presentationId } = await client.next("decision");
    expect(Buffer.from(presentationId ?? [])).toEqual(id);
  });
});
