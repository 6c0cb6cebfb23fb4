// The whole gateway, as a process of its own with the real model, over a real bus; only the matcher is scripted. Put
// together rightly: what its parts promise is in their own tests.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Child, startChild } from "../../cli/stack/child.js";
import { renderSample, synthesiseIdentity } from "../../palm/index.js";
import { type EventLog, openEventLog, readSandbox } from "../../records/index.js";
import { bus, decode, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/hex.js";
import { type LiveDecision, readLive } from "../../wire/live.js";
import { liveSubject, paymentSubject, STREAMS } from "../../wire/subjects.js";
import { GALLERY, ORGANISATION, openRig, type Rig } from "../identify/support/rig.js";
import type { ScriptedWorker } from "../identify/support/scripted-worker.js";
import { addDevices } from "./support/bus-world.js";
import { Client, frameOf, helloOf, newId } from "./support/client.js";
import { ALICE, factsOf } from "./support/front.js";

const { Outcome, Passage, Reason } = edge;
const charge = { amountMinor: 250, currency: "EUR", orderRef: "order-7" };
const ALIKE = 0.99;

let rig: Rig;
let dir: string;
let keys: Awaited<ReturnType<typeof addDevices>>;
let worker: ScriptedWorker;
let gateway: Child;
let eventLog: EventLog;
const shown: LiveDecision[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-whole-"));
  rig = await openRig({ rows: 1, slots: 1 });
  keys = await addDevices(rig);
  eventLog = await openEventLog(rig.nats);
  rig.nats.subscribe(liveSubject(ORGANISATION), {
    callback: (_, message) => {
      const decision = readLive(message.string());
      if (decision !== undefined) shown.push(decision);
    },
  });
  worker = await rig.worker({ id: "w0", row: 0, slot: 0, slots: 1 }, [
    {
      hex: ALICE,
      organisation: ORGANISATION,
      gallery: GALLERY,
      vector: Float32Array.of(1, 0),
      facts: factsOf(ALICE),
    },
  ]);
  worker.script.compare = ({ reply }) => ({
    ...reply,
    candidates: (reply.candidates ?? []).map((each) => ({ ...each, similarity: ALIKE })),
  });
  gateway = await startChild({
    name: "gateway",
    args: ["gateway", "--gateway-id", "g1", "--host", "127.0.0.1", "--port", "0", "--ops-port", "0"].concat(
      "--signer-threads",
      "1",
    ),
    env: { PALMGATE_NATS_URL: rig.server.url, PALMGATE_MASTER_KEY: toHex(rig.masterKey) },
    logFile: join(dir, "gateway.log"),
  });
}, 120_000);
afterAll(async () => {
  await gateway?.stop();
  await rig?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function welcome(deviceId: string): Promise<Client> {
  const client = await Client.connect(Number(gateway.ready.port));
  const { nonce } = await client.next("challenge");
  const key = keys.get(deviceId);
  if (key === undefined) throw new Error(`no ${deviceId}`);
  client.send({ hello: helloOf(deviceId, nonce ?? new Uint8Array(), key) });
  await client.next("welcome");
  return client;
}

const palm = synthesiseIdentity(7);
const frame = (id: Uint8Array, sequence: number, more: Partial<edge.IFrame> = {}) => {
  const { width, height, pixels } = renderSample(palm, { seed: 1000 + sequence });
  const image = Uint8Array.from(pixels);
  return { frame: frameOf(id, { sequence, widthPx: width, heightPx: height, image, ...more }) };
};

/** Presents until it is decided: a machine that is busy with other tests may take more than a second for a frame. */
async function decided(client: Client, more: Partial<edge.IFrame> = {}) {
  for (;;) {
    const id = newId();
    for (let sequence = 0; sequence < 3; sequence++) client.send(frame(id, sequence, more));
    const decision = await client.next("decision");
    if (decision.outcome !== Outcome.UNDECIDED) return { id, decision };
  }
}

describe("a whole gateway", { timeout: 60_000 }, () => {
  it("lets a member in: in the record, shown live, passed once", async () => {
    const client = await welcome("gate-1");
    const { id, decision } = await decided(client);
    expect(decision).toMatchObject({ outcome: Outcome.MATCH, granted: true, reason: Reason.WELCOME_MEMBER });
    const subject = `decisions.${ORGANISATION}.north.gate-1.${toHex(id)}`;
    const recorded = await eventLog.last(STREAMS.decisions, subject);
    expect(decode(bus.DecisionEvent, recorded?.body ?? new Uint8Array())).toMatchObject({
      granted: true,
      gatewayId: "g1",
    });
    await expect
      .poll(() => shown.at(-1))
      .toMatchObject({ organisation: ORGANISATION, gateway: "g1", granted: true });
    const passageToken = decision.passageToken ?? new Uint8Array();
    client.send({ gateReport: { presentationId: id, passageToken, passage: Passage.OPENED } });
    await client.next("passageAck");
  });

  it("holds money and takes none, however long the issuer thinks", async () => {
    const instrument = { processor: "sandbox", token: "tok_slow", brand: "visa", last4: "4242" };
    const [alice] = worker.people;
    if (alice === undefined) throw new Error("no alice");
    alice.facts = factsOf(ALICE, { profile: { consents: [2], instrument } });
    const till = await welcome("till-1");
    const { id, decision } = await decided(till, { charge });
    expect(decision).toMatchObject({ granted: true, reason: Reason.PAYMENT_APPROVED });
    const steps = await eventLog.all(STREAMS.payments, paymentSubject(ORGANISATION, toHex(id)));
    expect(steps.map(({ body }) => decode(bus.PaymentEvent, body)?.step)).toEqual([
      bus.PaymentStep.REQUESTED,
      bus.PaymentStep.AUTHORISED,
    ]);
    const row = (await readSandbox(rig.nats)).find(({ key }) => key === `${ORGANISATION}.${toHex(id)}`);
    expect(row).toMatchObject({ holds: 1, takes: 0 });
  });
});
