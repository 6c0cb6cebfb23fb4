import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SearchResult } from "../../../identify/index.js";
import type { Signature } from "../../../palm/index.js";
import { edge } from "../../../wire/codec.js";
import { DECISION_VALID_MS, PRESENTATION_DEADLINE_MS } from "../../../wire/limits.js";
import { pairwiseId } from "../../../wire/pairwise.js";
import { ofVector } from "../../matcher/support/vectors.js";
import { type Client, frameOf, newId, SIDE_PX } from "../support/client.js";
import { ALICE, decisionsOf, type Front, factsOf, found, newWorld, startFront } from "../support/front.js";
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
      pairwiseId: pairwiseId(factsOf(ALICE).pairwiseRoot, "north"),
      creditLimit: 5,
    });
    expect(Buffer.from(decision.presentationId ?? [])).toEqual(id);
    expect(decision.passageToken).toHaveLength(24);
    const validForMs = (decision.validUntilUnixMs ?? 0) - Date.now();
    expect(validForMs).toBeLessThanOrEqual(DECISION_VALID_MS);
    expect(validForMs).toBeGreaterThan(DECISION_VALID_MS - 1000);
    expect(decision.stages).toMatchObject({ queueMs: 0.5, signMs: 1.5 });
    expect(decision.stages?.totalMs).toBeGreaterThan(0);
  });

  it("is in the record before it is answered, once, and shown without member or similarity", async () => {
    const id = newId();
    const stored = gate<void>();
    world.log.beforeStored = stored.wait;
    client.send({ frame: frameOf(id) });
    await stored.reached;
    await client.settled();
    expect(client.take().some(({ decision }) => decision)).toBe(false);
    stored.open();
    await client.next("decision");
    expect(await decisions()).toMatchObject([
      {
        subject: `decisions.acme.north.gate-1.${id.toString("hex")}`,
        outcome: Outcome.MATCH,
        granted: true,
        frames: 1,
        purpose: 1,
        gatewayId: "gateway-1",
        organisation: "acme",
      },
    ]);
    const [decision] = await decisions();
    expect(Buffer.from(decision?.presentationId ?? [])).toEqual(id);
    expect(decision?.booksRef).toEqual(Buffer.from(factsOf(ALICE).booksRef));
    const shown = JSON.stringify(front.shown);
    expect(shown).toContain(`"pairwiseId":"${pairwiseId(factsOf(ALICE).pairwiseRoot, "north")}"`);
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

  it("gives the pixels to the signer as sent, and zeroes all parts of the signature when the search has ended", async () => {
    let pixels: Uint8Array | undefined;
    const signature = {
      vector: Float32Array.of(0.6, 0.8),
      lines: Uint32Array.of(5, 2 ** 31),
      codes: Uint32Array.of(9),
    };
    const before = structuredClone(signature);
    const quality = { score: 90, reason: "OK" as const };
    front.script.sign = async (job) => {
      pixels = new Uint8Array(job.pixels);
      return { ok: true, signature, quality, queueMs: 0, signMs: 1 };
    };
    let searched: Signature | undefined;
    front.script.search = async ({ probe }) => {
      searched = structuredClone(probe);
      return found([ALICE, 0.9]);
    };
    const image = Uint8Array.from({ length: SIDE_PX * SIDE_PX }, (_, at) => at % 251);
    client.send({ frame: frameOf(newId(), { image }) });
    await client.next("decision");
    expect(pixels).toEqual(image);
    expect(searched).toEqual(before);
    expect(signature).toEqual({
      vector: new Float32Array(2),
      lines: new Uint32Array(2),
      codes: new Uint32Array(1),
    });
  });

  it("is searched for in the lane's organisation and gallery, with time kept for the record", async () => {
    let asked: Parameters<Front["script"]["search"]>[0] | undefined;
    front.script.search = async (request) => {
      asked = request;
      return found([ALICE, 0.9]);
    };
    client.send({ frame: frameOf(newId()) });
    await client.next("decision");
    expect(asked).toMatchObject({ organisation: "acme", gallery: "g", modelId: "m" });
    expect(asked?.deadlineMs).toBeLessThanOrEqual(500);
  });

  it("acts on what the newest of its frames knows of the member", async () => {
    const without = factsOf(ALICE, { revision: 2, profile: { consents: [2] } });
    const answers = [
      found([ALICE, 0.4]),
      { ...found([ALICE, 0.9]), candidates: [{ member: ALICE, similarity: 0.9, facts: without }] },
    ];
    front.script.search = async () => answers.shift() ?? found();
    const id = newId();
    client.send({ frame: frameOf(id) });
    await client.next("guide");
    client.send({ frame: frameOf(id, { sequence: 1 }) });
    expect(await client.next("decision")).toMatchObject({ granted: false, reason: Reason.CONSENT_MISSING });
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

  it("is UNDECIDED, not NO_MATCH, with a shard missing, whatever the other frames said", async () => {
    const answers: SearchResult[] = [{ ...found(), complete: false, missing: 1 }, found(), found()];
    front.script.search = async () => answers.shift() ?? found();
    const id = newId();
    for (let sequence = 0; sequence < 3; sequence++) {
      client.send({ frame: frameOf(id, { sequence }) });
      if (sequence < 2) await client.next("guide");
    }
    expect(await client.next("decision")).toMatchObject({
      outcome: Outcome.UNDECIDED,
      reason: Reason.SHARD_MISSING,
      displayKey: "decision.one_moment",
    });
  });

  it("is MATCH with the next frame when the shard is back", async () => {
    const answers = [{ ...found([ALICE, 0.9]), complete: false, missing: 1 }, found([ALICE, 0.9])];
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

  it("zeroes what is signed after the deadline, and does not search it", async () => {
    const signer = gate<Awaited<ReturnType<Front["script"]["sign"]>>>();
    front.script.sign = signer.wait;
    front.script.search = async () => {
      throw new Error("nothing is to be searched");
    };
    client.send({ frame: frameOf(newId()) });
    expect(await client.next("decision")).toMatchObject({ reason: Reason.DEADLINE_PASSED });
    const signature = { vector: Float32Array.of(1, 0), lines: Uint32Array.of(7), codes: Uint32Array.of(8) };
    signer.open({ ok: true, signature, quality: { score: 90, reason: "OK" }, queueMs: 0, signMs: 1 });
    await client.next("credit");
    expect(signature).toEqual({
      vector: new Float32Array(2),
      lines: new Uint32Array(1),
      codes: new Uint32Array(1),
    });
  });

  it("guides by what was wrong, and is LOW_QUALITY when no frame was good", async () => {
    const quality = { score: 10, reason: "TOO_DARK" as const };
    front.script.sign = async () => ({
      ok: true,
      signature: ofVector(new Float32Array()),
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
