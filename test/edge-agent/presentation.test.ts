import { describe, expect, it } from "vitest";
import type { PresentationEnd } from "../../edge-agent/agent.js";
import type { Palm } from "../../edge-agent/source/source.js";
import { palmOfImages } from "../../edge-agent/source/source.js";
import { edge } from "../../wire/codec.js";
import { images, openLane, QUICK } from "./lane.js";

const CHARGE = { amountMinor: 1250, currency: "EUR", orderRef: "order-1" };

/** A palm that tells how many frames were captured, and lets a test wait for the next capture. */
function watchedPalm(count: number): { palm: Palm; captured: () => number } {
  let captured = 0;
  const inner = palmOfImages(images(count));
  const frames = () => {
    const { next } = inner.frames();
    return {
      next: () => {
        captured += 1;
        return next();
      },
    };
  };
  return { palm: { label: "watched", frames }, captured: () => captured };
}

const decisionOf = (end: PresentationEnd) => (end.kind === "decision" ? end : undefined);

describe("a presentation", () => {
  it("sends the palm's image as it is, and ends with the gateway's Decision", async () => {
    const { agent, connection } = await openLane();
    const [image] = images(1);
    const presenting = agent.present(images(1));
    const frame = await connection.frame();
    expect(frame).toMatchObject({
      sequence: 0,
      encoding: edge.Encoding.GRAY8,
      stage: edge.Stage.ROI,
      modality: edge.Modality.VISIBLE,
      widthPx: 64,
      heightPx: 64,
      last: true,
    });
    expect(frame.presentationId).toHaveLength(16);
    expect(Buffer.from(frame.image ?? [])).toEqual(Buffer.from(image?.bytes ?? []));
    const sent = connection.decide(frame, { outcome: edge.Outcome.NO_MATCH, granted: false });
    const end = await presenting;
    expect(decisionOf(end)?.decision).toMatchObject({ outcome: sent.outcome, granted: false });
    expect(decisionOf(end)?.passage).toBeUndefined();
    expect(decisionOf(end)?.roundTripMs).toBeGreaterThan(0);
  });

  it("takes a fresh id each time", async () => {
    const { agent, connection } = await openLane();
    const ids = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const presenting = agent.present(images(1));
      const frame = await connection.frame();
      ids.add(String(frame.presentationId));
      connection.decide(frame);
      await presenting;
    }
    expect(ids.size).toBe(3);
  });

  it("sends the next frame only when a Guide asks for it, and marks the last", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(2));
    const first = await connection.frame();
    expect(first.last).toBe(false);
    await connection.settled();
    expect(connection.unreadFrames()).toBe(0);
    connection.send({
      guide: { presentationId: first.presentationId ?? null, reason: edge.Reason.TOO_DARK },
    });
    const second = await connection.frame();
    expect(second).toMatchObject({ sequence: 1, last: true, presentationId: first.presentationId });
    connection.decide(second);
    expect((await presenting).kind).toBe("decision");
  });

  it("never sends more frames than the gateway takes for one presentation", async () => {
    const { agent, connection } = await openLane({ welcome: { maxFramesPerPresentation: 2 } });
    const presenting = agent.present(images(5));
    const first = await connection.frame();
    connection.send({ guide: { presentationId: first.presentationId ?? null } });
    const second = await connection.frame();
    expect(second.last).toBe(true);
    connection.send({ guide: { presentationId: first.presentationId ?? null } });
    await connection.settled();
    expect(connection.unreadFrames()).toBe(0);
    connection.decide(second);
    await presenting;
  });

  it("waits for a credit, and captures nothing before it has one", async () => {
    const { agent, connection } = await openLane({ welcome: { creditLimit: 1 } });
    const { palm, captured } = watchedPalm(3);
    const presenting = agent.present(palm);
    const first = await connection.frame();
    connection.send({ guide: { presentationId: first.presentationId ?? null } });
    await connection.settled();
    expect({ captured: captured(), unread: connection.unreadFrames() }).toEqual({ captured: 1, unread: 0 });
    connection.send({ credit: { creditLimit: 1 } });
    await connection.settled();
    expect(captured()).toBe(1);
    connection.send({ credit: { creditLimit: 2 } });
    const second = await connection.frame();
    expect(captured()).toBe(2);
    connection.decide(second);
    await presenting;
  });

  it("counts credits over presentations and takes the limit that a Decision brings", async () => {
    const { agent, connection } = await openLane({ welcome: { creditLimit: 1 } });
    const first = agent.present(images(1));
    connection.decide(await connection.frame(), { creditLimit: 2 });
    await first;
    const second = agent.present(images(1));
    connection.decide(await connection.frame(), { creditLimit: 2 });
    await second;
    const third = agent.present(images(1), { deadlineMs: 50 });
    expect(await third).toMatchObject({ kind: "error", code: "NO_DECISION" });
    expect(connection.unreadFrames()).toBe(0);
  });

  it("ends with the code of an Error, and with how long to wait", async () => {
    const { agent, connection, lines } = await openLane();
    const presenting = agent.present(images(1));
    const { presentationId = null } = await connection.frame();
    const error = { code: edge.ErrorCode.BUSY, message: "full", presentationId, retryAfterMs: 321 };
    connection.send({ error });
    expect(await presenting).toMatchObject({ kind: "error", code: "BUSY", retryAfterMs: 321 });
    expect(lines).toContainEqual({ level: "warn", text: expect.stringContaining("BUSY") });
  });

  const leavesLink = (code: unknown) => code === edge.ErrorCode.SHUTTING_DOWN;
  it.each(
    Object.values(edge.ErrorCode).filter((code) => typeof code === "number" && code > 0 && !leavesLink(code)),
  )("ends on error code %i without losing the link", async (code) => {
    const { agent, gateway, connection } = await openLane();
    const presenting = agent.present(images(1));
    const { presentationId = null } = await connection.frame();
    connection.send({ error: { code: Number(code), message: "no", presentationId } });
    expect(await presenting).toMatchObject({ kind: "error", code: edge.ErrorCode[Number(code)] });
    expect(gateway.connections).toHaveLength(1);
  });

  it("goes on with the next image when one did not decode, and ends when it was the last", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(2));
    const { presentationId = null } = await connection.frame();
    const error = { code: edge.ErrorCode.BAD_IMAGE, message: "not an image", presentationId };
    connection.send({ error });
    expect(await connection.frame()).toMatchObject({ sequence: 1, last: true, presentationId });
    connection.send({ error });
    expect(await presenting).toMatchObject({ kind: "error", code: "BAD_IMAGE" });
  });

  it("ends on a code that this agent does not know yet", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(1));
    const { presentationId = null } = await connection.frame();
    connection.send({ error: { code: 999 as edge.ErrorCode, message: "new", presentationId } });
    expect(await presenting).toMatchObject({ kind: "error", code: "UNKNOWN" });
  });

  it("is not moved by replies about other presentations", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(2));
    const frame = await connection.frame();
    const other = { presentationId: new Uint8Array(16) };
    connection.send({ guide: other });
    connection.send({ error: { ...other, code: edge.ErrorCode.PRESENTATION_CLOSED } });
    connection.decide(frame, { ...other, granted: false, outcome: edge.Outcome.NO_MATCH });
    connection.decide(frame);
    expect(decisionOf(await presenting)?.decision.outcome).toBe(edge.Outcome.MATCH);
    expect(connection.unreadFrames()).toBe(0);
  });

  it("ends NO_DECISION when the gateway lives but never answers", async () => {
    const { agent, connection } = await openLane({ welcome: { presentationDeadlineMs: 50 } });
    const presenting = agent.present(images(1));
    await connection.frame();
    expect(await presenting).toMatchObject({ kind: "error", code: "NO_DECISION" });
  });

  it("ends NO_FRAME when the reader shows nothing", async () => {
    const { agent } = await openLane();
    expect(await agent.present([])).toMatchObject({ kind: "error", code: "NO_FRAME" });
  });

  it("does not send what the gateway would cut the link for", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: { maxMessageBytes: 4096 } });
    expect(await agent.present(images(1))).toMatchObject({ kind: "error", code: "IMAGE_TOO_LARGE" });
    gateway.welcome = { maxImageSidePx: 63 };
    connection.socket.terminate();
    const second = await gateway.connection();
    await second.hello();
    expect(await agent.present(images(1))).toMatchObject({ kind: "error", code: "IMAGE_TOO_LARGE" });
    expect(second.unreadFrames()).toBe(0);
  });

  it("refuses a second palm while one is on the reader", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(1));
    await expect(agent.present(images(1))).rejects.toThrow("one palm at a time");
    connection.decide(await connection.frame());
    await presenting;
  });
});

describe("when the link drops in the middle of a presentation", () => {
  it("an entry starts again from its first frame, under the same id", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: { creditLimit: 2 } });
    const presenting = agent.present(images(3));
    const first = await connection.frame();
    connection.send({ guide: { presentationId: first.presentationId ?? null } });
    await connection.frame();
    connection.socket.terminate();
    // The counter of frames begins anew: credits of the old connection are gone, those of the new one are whole.
    const second = await gateway.connection();
    const again = await second.frame();
    expect(again).toMatchObject({ sequence: 0, image: first.image, presentationId: first.presentationId });
    second.decide(again);
    expect((await presenting).kind).toBe("decision");
  });

  it("a payment starts again under the same id and the same charge, so that it is taken once", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: { purpose: edge.Purpose.PAY } });
    const presenting = agent.present(images(2), { charge: CHARGE });
    const first = await connection.frame();
    expect(first.charge).toMatchObject(CHARGE);
    connection.socket.terminate();
    const second = await gateway.connection();
    const again = await second.frame();
    expect(again).toMatchObject({ sequence: 0, presentationId: first.presentationId });
    expect(again.charge).toMatchObject(CHARGE);
    second.decide(again, { reason: edge.Reason.PAYMENT_APPROVED });
    expect((await presenting).kind).toBe("decision");
  });

  it.each([
    ["a payment", { charge: CHARGE }],
    ["an entry", {}],
  ])("%s that was sent once outwaits BUSY: it never goes on under another id", async (_, options) => {
    const { agent, gateway, connection } = await openLane();
    const presenting = agent.present(images(1), options);
    const { presentationId = null } = await connection.frame();
    connection.socket.terminate();
    const second = await gateway.connection();
    await second.frame();
    second.send({ error: { code: edge.ErrorCode.BUSY, presentationId, retryAfterMs: 5 } });
    const third = await second.frame();
    expect(third.presentationId).toEqual(presentationId);
    second.decide(third);
    expect((await presenting).kind).toBe("decision");
  });

  it("a payment whose end stays open tells its id, and can be asked for again under it", async () => {
    const { agent, gateway, connection } = await openLane({ welcome: { purpose: edge.Purpose.PAY } });
    gateway.greets = false;
    const presenting = agent.present(images(1), { charge: CHARGE, deadlineMs: 200 });
    const { presentationId } = await connection.frame();
    connection.socket.terminate();
    const end = await presenting;
    expect(end.kind).toBe("lost");
    expect(Buffer.from(end.presentationId)).toEqual(Buffer.from(presentationId ?? []));
    (await gateway.connection()).sendWelcome();
    gateway.greets = true;
    const again = agent.present(images(1), { charge: CHARGE, presentationId: end.presentationId });
    const second = gateway.connections.at(-1);
    const frame = await second?.frame();
    expect(frame?.presentationId).toEqual(presentationId);
    if (frame) second?.decide(frame);
    await again;
  });

  it("starts again on a new link when the gateway has gone silent, without waiting for the heartbeats", async () => {
    const { agent, gateway, connection } = await openLane(
      { echoes: false, welcome: { presentationDeadlineMs: 50 } },
      { timings: { reconnect: QUICK, echoDeadlineMs: 60_000 } },
    );
    const presenting = agent.present(images(1));
    await connection.frame();
    const second = await gateway.connection();
    second.decide(await second.frame());
    expect((await presenting).kind).toBe("decision");
  });

  it("a Decision that came before the drop still counts", async () => {
    const { agent, connection } = await openLane();
    const presenting = agent.present(images(1));
    connection.decide(await connection.frame());
    connection.socket.terminate();
    expect((await presenting).kind).toBe("decision");
  });

  it("ends lost when no gateway comes back before the deadline, and when the agent is closed", async () => {
    const { agent, gateway, connection } = await openLane();
    const presenting = agent.present(images(1), { deadlineMs: 100 });
    await connection.frame();
    await gateway.stop();
    expect((await presenting).kind).toBe("lost");
    const closing = agent.present(images(1));
    await agent.close();
    expect((await closing).kind).toBe("lost");
  });
});
