import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ActResult, ScatterResult } from "../../../gateway/seams.js";
import { bus, decode, edge } from "../../../wire/codec.js";
import { DECISION_VALID_MS, PRESENTATION_DEADLINE_MS } from "../../../wire/limits.js";
import {
  ALICE,
  type Client,
  type Front,
  found,
  frameOf,
  newId,
  SIDE_PX,
  startFront,
} from "../lane/harness.js";

const { Outcome, Reason } = edge;
const charge = { amountMinor: 250, currency: "EUR", orderRef: "order-7" };

/** Something a test lets go on when it wants. */
function gate<T>() {
  let open = (_: T) => {};
  let entered = () => {};
  const waiting = new Promise<T>((resolve) => {
    open = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    entered = resolve;
  });
  return {
    wait: () => {
      entered();
      return waiting;
    },
    reached,
    open: (value: T) => open(value),
  };
}

let front: Front;
let client: Client;
beforeEach(async () => {
  front = await startFront({ maxPresentations: 2, maxEvents: 5 });
  client = await front.welcome("gate-1");
});
afterEach(() => {
  expect(front.presentations.active).toBe(0);
  front.close();
});

const decisions = async () =>
  (await front.recorded())
    .filter(({ subject }) => subject.startsWith("decisions."))
    .map(({ body }) => decode(bus.DecisionEvent, body));

describe("a presentation that ends in MATCH", () => {
  it("is answered with the first frame that gives it: granted, a token, a validity, times, the credits back", async () => {
    const id = newId();
    client.send({ frame: frameOf(id) });
    const decision = await client.next("decision");
    expect(decision).toMatchObject({
      outcome: Outcome.MATCH,
      granted: true,
      reason: Reason.WELCOME_MEMBER,
      displayKey: "decision.welcome",
      pairwiseId: "pairwise-north",
      creditLimit: 5,
    });
    expect(Buffer.from(decision.presentationId ?? [])).toEqual(id);
    expect(decision.passageToken).toHaveLength(16);
    const validForMs = (decision.validUntilUnixMs ?? 0) - Date.now();
    expect(validForMs).toBeLessThanOrEqual(DECISION_VALID_MS);
    expect(validForMs).toBeGreaterThan(DECISION_VALID_MS - 1000);
    expect(decision.stages).toMatchObject({ queueMs: 0.5, signMs: 1.5 });
    expect(decision.stages?.totalMs).toBeGreaterThan(0);
  });

  it("is recorded once, by the presentation's id, and shown without member or similarity", async () => {
    const id = newId();
    client.send({ frame: frameOf(id) });
    await client.next("decision");
    expect(await front.recorded()).toMatchObject([
      { subject: "decisions.north.gate-1", messageId: id.toString("hex") },
    ]);
    expect(await decisions()).toMatchObject([
      { outcome: Outcome.MATCH, granted: true, frames: 1, purpose: 1 },
    ]);
    expect(Buffer.from((await decisions())[0]?.memberId ?? []).toString("hex")).toBe(ALICE);
    const shown = JSON.stringify(front.liveFeed.recent());
    expect(shown).toContain('"pairwiseId":"pairwise-north"');
    expect(shown).not.toContain(ALICE);
    expect(shown).not.toContain("0.9");
  });

  it("may be refused by its act, with the reason and without a token", async () => {
    front.script.act = async () => ({ granted: false, reason: Reason.CONSENT_MISSING });
    client.send({ frame: frameOf(newId()) });
    const decision = await client.next("decision");
    expect(decision).toMatchObject({
      outcome: Outcome.MATCH,
      granted: false,
      reason: Reason.CONSENT_MISSING,
    });
    expect(decision.passageToken).toHaveLength(0);
  });

  it("gives the pixels to the signer as sent, and zeroes the signature when the search has ended", async () => {
    let pixels: Uint8Array | undefined;
    const signature = Float32Array.of(0.6, 0.8);
    const quality = { score: 90, reason: "OK" as const };
    front.script.sign = async (job) => {
      pixels = new Uint8Array(job.pixels);
      return { ok: true, signature, quality, queueMs: 0, signMs: 1 };
    };
    let searched: number[] = [];
    front.script.search = async (_, probe) => {
      searched = [...probe];
      return found([ALICE, 0.9]);
    };
    const image = Uint8Array.from({ length: SIDE_PX * SIDE_PX }, (_, at) => at % 251);
    client.send({ frame: frameOf(newId(), { image }) });
    await client.next("decision");
    expect(pixels).toEqual(image);
    expect(searched).toEqual([...Float32Array.of(0.6, 0.8)]);
    expect([...signature]).toEqual([0, 0]);
  });

  it("is NO_MATCH when the gateway does not know the member any more", async () => {
    front.script.members.clear();
    client.send({ frame: frameOf(newId(), { last: true }) });
    expect(await client.next("decision")).toMatchObject({ outcome: Outcome.NO_MATCH, granted: false });
  });
});

describe("a presentation that does not", () => {
  const nobody = async () => found();

  it("asks for further frames until they are used up, and only then says NO_MATCH", async () => {
    front.script.search = nobody;
    const id = newId();
    for (let sequence = 0; sequence < 2; sequence++) {
      client.send({ frame: frameOf(id, { sequence }) });
      expect(await client.next("guide")).toMatchObject({ displayKey: "guide.hold_still" });
      expect(client.credit).toBe(5 + sequence);
    }
    client.send({ frame: frameOf(id, { sequence: 2 }) });
    expect(await client.next("decision")).toMatchObject({
      outcome: Outcome.NO_MATCH,
      granted: false,
      reason: Reason.NOT_RECOGNISED,
      creditLimit: 7,
    });
  });

  it("says NO_MATCH at once after `last`", async () => {
    front.script.search = nobody;
    client.send({ frame: frameOf(newId(), { last: true }) });
    expect(await client.next("decision")).toMatchObject({ outcome: Outcome.NO_MATCH });
  });

  it("says NO_MATCH at the deadline when no further frame came", async () => {
    front.script.search = nobody;
    const fromMs = performance.now();
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({ outcome: Outcome.NO_MATCH });
    const tookMs = performance.now() - fromMs;
    expect(tookMs).toBeGreaterThan(PRESENTATION_DEADLINE_MS / 2);
    expect(tookMs).toBeLessThan(PRESENTATION_DEADLINE_MS + 200);
  });

  it("is UNDECIDED, not NO_MATCH, with a partition missing, whatever the other frames said", async () => {
    const answers: ScatterResult[] = [{ ...found(), complete: false, missing: [3] }, found(), found()];
    front.script.search = async () => answers.shift() ?? found();
    const id = newId();
    for (let sequence = 0; sequence < 3; sequence++) {
      client.send({ frame: frameOf(id, { sequence }) });
      if (sequence < 2) await client.next("guide");
    }
    expect(await client.next("decision")).toMatchObject({
      outcome: Outcome.UNDECIDED,
      reason: Reason.PARTITION_MISSING,
      displayKey: "decision.one_moment",
    });
  });

  it("is MATCH with the next frame when the partition is back", async () => {
    const answers = [{ ...found([ALICE, 0.9]), complete: false, missing: [3] }, found([ALICE, 0.9])];
    front.script.search = async () => answers.shift() ?? found();
    const id = newId();
    client.send({ frame: frameOf(id) });
    await client.next("guide");
    client.send({ frame: frameOf(id, { sequence: 1 }) });
    expect(await client.next("decision")).toMatchObject({ outcome: Outcome.MATCH, granted: true });
  });

  it("is UNDECIDED at the deadline while a frame is still at work, and the frame's credit comes back after", async () => {
    const signer = gate<Awaited<ReturnType<Front["script"]["sign"]>>>();
    front.script.sign = signer.wait;
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({
      outcome: Outcome.UNDECIDED,
      reason: Reason.DEADLINE_PASSED,
      creditLimit: 4,
    });
    signer.open({ ok: false, code: "POOL_CLOSED", detail: "" });
    expect(await client.next("credit")).toMatchObject({ creditLimit: 5 });
  });

  it("guides by what was wrong, and is LOW_QUALITY when no frame was good", async () => {
    const quality = { score: 10, reason: "TOO_DARK" as const };
    front.script.sign = async () => ({
      ok: true,
      signature: new Float32Array(),
      quality,
      queueMs: 0,
      signMs: 0,
    });
    const id = newId();
    client.send({ frame: frameOf(id) });
    expect(await client.next("guide")).toMatchObject({
      reason: Reason.TOO_DARK,
      displayKey: "guide.too_dark",
    });
    client.send({ frame: frameOf(id, { sequence: 1, last: true }) });
    expect(await client.next("decision")).toMatchObject({
      outcome: Outcome.LOW_QUALITY,
      reason: Reason.TOO_DARK,
    });
  });
});

describe("frames that are refused", () => {
  it("BAD_IMAGE costs the frame, not the presentation", async () => {
    const good = front.script.sign;
    front.script.sign = async () => ({ ok: false, code: "BAD_IMAGE", detail: "truncated" });
    const id = newId();
    client.send({ frame: frameOf(id) });
    expect(await client.next("error")).toMatchObject({
      code: edge.ErrorCode.BAD_IMAGE,
      fatal: false,
      creditLimit: 5,
    });
    front.script.sign = good;
    client.send({ frame: frameOf(id, { sequence: 1 }) });
    expect(await client.next("decision")).toMatchObject({ granted: true });
  });

  it("make no decision when there is no other frame", async () => {
    front.script.sign = async () => ({ ok: false, code: "BAD_IMAGE", detail: "truncated" });
    client.send({ frame: frameOf(newId(), { last: true }) });
    expect(await client.nextError()).toBe("BAD_IMAGE");
    await client.settled();
    expect(front.presentations.active).toBe(0);
    expect(await decisions()).toEqual([]);
  });

  it("end their presentation when the error says so: no decision follows, the id is spent", async () => {
    front.script.search = async () => found();
    const id = newId();
    client.send({ frame: frameOf(id, { sequence: 5 }) });
    await client.next("guide");
    client.send({ frame: frameOf(id, { sequence: 5 }) });
    expect(await client.nextError()).toBe("BAD_PRESENTATION");
    client.send({ frame: frameOf(id, { sequence: 6 }) });
    expect(await client.nextError()).toBe("PRESENTATION_CLOSED");
    expect(await decisions()).toEqual([]);
  });

  it("come too late: PRESENTATION_CLOSED, and the credit comes back", async () => {
    const id = newId();
    client.send({ frame: frameOf(id) });
    await client.next("decision");
    client.send({ frame: frameOf(id, { sequence: 1 }) });
    const error = await client.next("error");
    expect(error).toMatchObject({ code: edge.ErrorCode.PRESENTATION_CLOSED, creditLimit: 6 });
    expect(Buffer.from(error.presentationId ?? [])).toEqual(id);
  });

  it("say their id back only when it has the right size", async () => {
    client.send({ frame: frameOf(new Uint8Array(5000)) });
    const error = await client.next("error");
    expect(error).toMatchObject({ code: edge.ErrorCode.BAD_PRESENTATION });
    expect(error.presentationId).toHaveLength(0);
  });

  it("PAY: without a charge, or with another one than before", async () => {
    front.script.search = async () => found();
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId()) });
    expect(await till.nextError()).toBe("CHARGE_INVALID");
    const id = newId();
    till.send({ frame: frameOf(id, { charge }) });
    await till.next("guide");
    till.send({ frame: frameOf(id, { sequence: 1, charge: { ...charge, amountMinor: 999 } }) });
    expect(await till.nextError()).toBe("CHARGE_INVALID");
    expect(await decisions()).toEqual([]);
  });
});

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

  it("hands the charge to the act, and a deadline inside the presentation's", async () => {
    let asked: Parameters<Front["script"]["act"]>[1] | undefined;
    front.script.act = async (_, request) => {
      asked = request;
      return { granted: true, reason: Reason.PAYMENT_APPROVED };
    };
    const till = await front.welcome("till-1");
    till.send({ frame: frameOf(newId(), { charge }) });
    await till.next("decision");
    expect(asked).toMatchObject({ site: "north", deviceId: "till-1", charge });
    expect(asked?.deadlineAtMs).toBeLessThan(performance.now() + PRESENTATION_DEADLINE_MS);
  });
});

describe("limits", () => {
  it("refuses presentations beyond the limit at once, and takes them again when one has ended", async () => {
    const search = gate<ScatterResult>();
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
    const search = gate<ScatterResult>();
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

describe("a lane that goes away", () => {
  const gone = async (lane: Client) => {
    const before = front.lanes.count;
    lane.terminate();
    while (front.lanes.count === before) await new Promise((resolve) => setImmediate(resolve));
  };

  it("in the middle of a search leaves nothing behind and makes no decision", async () => {
    const search = gate<ScatterResult>();
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

  it("in the middle of a payment: recorded as not granted; asked again on a new link it is decided again", async () => {
    const act = gate<ActResult>();
    front.script.act = act.wait;
    const payment = { brand: "visa", last4: "4242", amountMinor: 250, currency: "EUR" };
    const approved = { granted: true, reason: Reason.PAYMENT_APPROVED, payment } as const;
    const till = await front.welcome("till-1");
    const id = newId();
    till.send({ frame: frameOf(id, { charge }) });
    await act.reached;
    await gone(till);
    const ended = front.presentations.stop();
    act.open(approved);
    await ended;
    expect(await decisions()).toMatchObject([{ granted: false, reason: Reason.PAYMENT_UNKNOWN }]);
  });

  it("and comes back with the same payment is answered again; on the same link it is not", async () => {
    const till = await front.welcome("till-1");
    const id = newId();
    till.send({ frame: frameOf(id, { charge }) });
    expect(await till.next("decision")).toMatchObject({ granted: true });
    till.send({ frame: frameOf(id, { charge }) });
    expect(await till.nextError()).toBe("PRESENTATION_CLOSED");
    const again = await front.welcome("till-1");
    again.send({ frame: frameOf(id, { charge }) });
    expect(await again.next("decision")).toMatchObject({ granted: true });
    const hex = id.toString("hex");
    expect((await front.recorded()).map(({ messageId }) => messageId)).toEqual([hex, `${hex}-2`]);
  });
});

describe("reports of passages", () => {
  it("are recorded once; a replayed, foreign or invented token is refused", async () => {
    const id = newId();
    client.send({ frame: frameOf(id) });
    const { passageToken } = await client.next("decision");
    const report = {
      presentationId: id,
      passageToken: passageToken ?? newId(),
      passage: edge.Passage.OPENED,
      atUnixMs: Date.now(),
    };
    const other = await front.welcome("gate-2");
    other.send({ gateReport: report });
    expect(await other.nextError()).toBe("TOKEN_INVALID");
    client.send({ gateReport: { ...report, passageToken: newId() } });
    expect(await client.nextError()).toBe("TOKEN_INVALID");
    client.send({ gateReport: report });
    await client.settled();
    client.send({ gateReport: report });
    expect(await client.nextError()).toBe("TOKEN_INVALID");
    const passages = (await front.recorded()).filter(({ subject }) => subject === "passages.north.gate-1");
    expect(passages.map(({ body }) => decode(bus.PassageEvent, body)?.passage)).toEqual([
      edge.Passage.OPENED,
    ]);
  });
});

describe("a bug behind the lane", () => {
  it("lets nobody in: INTERNAL, and the lane goes on", async () => {
    front.script.act = async () => {
      throw new Error("a bug");
    };
    client.send({ frame: frameOf(newId()) });
    expect(await client.nextError()).toBe("INTERNAL");
    front.script.act = async () => ({ granted: true, reason: Reason.WELCOME_MEMBER });
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({ granted: true });
    expect(await decisions()).toHaveLength(1);
  });
});
