// Two gateways on one bus: a real nats-server, each with a connection of its own, searching scripted workers.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SearchClient } from "../../identify/index.js";
import { bus, decode, edge } from "../../wire/codec.js";
import { STREAMS } from "../../wire/subjects.js";
import { GALLERY, ORGANISATION, openRig, type Rig } from "../identify/support/rig.js";
import type { ScriptedWorker } from "../identify/support/scripted-worker.js";
import { addDevices, busWorld } from "./support/bus-world.js";
import { type Client, frameOf, newId } from "./support/client.js";
import { ALICE, type Front, factsOf, startFront } from "./support/front.js";

const { Outcome, Passage, Reason } = edge;
const ALICE_IN_SIGHT = {
  hex: ALICE,
  organisation: ORGANISATION,
  gallery: GALLERY,
  vector: Float32Array.of(1, 0),
};

interface Gateway {
  front: Front;
  close(): Promise<void>;
}

let rig: Rig;
let keys: Awaited<ReturnType<typeof addDevices>>;
let worker: ScriptedWorker;
let one: Gateway;
let two: Gateway;
beforeAll(async () => {
  rig = await openRig({ rows: 2, slots: 1 });
  keys = await addDevices(rig);
});
beforeEach(async () => {
  worker = await rig.worker({ id: "w0", row: 0, slot: 0, slots: 1 }, [
    { ...ALICE_IN_SIGHT, facts: factsOf(ALICE) },
  ]);
  one = await startGateway("gateway-1");
  two = await startGateway("gateway-2");
});
afterEach(async () => {
  await one.close();
  await two.close();
  await rig.noWorkers();
});
afterAll(() => rig.close());

async function startGateway(gatewayId: string): Promise<Gateway> {
  const { world, nats, close } = await busWorld(rig, keys);
  const search = new SearchClient(nats, rig.fleet, rig.keyring, { nowUnixMs: () => Date.now() });
  const front = await startFront({ world, gatewayId });
  front.script.search = (request) => search.search(request);
  return {
    front,
    close: async () => {
      await front.close();
      search.close();
      await close();
    },
  };
}

const present = async (client: Client, id: Uint8Array = newId()) => {
  client.send({ frame: frameOf(id, { last: true }) });
  return client.next("decision");
};

describe("two gateways", () => {
  it("grant one presentation once, answer it the same, and take its passage at either", async () => {
    const id = newId();
    const first = await present(await one.front.welcome("gate-1"), id);
    const link = await two.front.welcome("gate-1");
    const second = await present(link, id);
    expect([first.granted, second.granted]).toEqual([true, true]);
    expect(second.passageToken).toEqual(first.passageToken);
    const passageToken = first.passageToken ?? new Uint8Array();
    link.send({ gateReport: { presentationId: id, passageToken, passage: Passage.OPENED } });
    expect(Buffer.from((await link.next("passageAck")).presentationId ?? [])).toEqual(id);
    const again = await one.front.welcome("gate-1");
    again.send({ gateReport: { presentationId: id, passageToken, passage: Passage.OPENED } });
    await again.next("passageAck");
    again.send({ frame: frameOf(id) });
    expect(await again.nextError()).toBe("PRESENTATION_CLOSED");
    const last = await one.front.world.log.last(
      STREAMS.decisions,
      `passages.acme.north.gate-1.${id.toString("hex")}`,
    );
    const passage = decode(bus.PassageEvent, last?.body ?? new Uint8Array());
    expect(passage?.booksRef).toEqual(Buffer.from(factsOf(ALICE).booksRef));
  });

  it("keep one link of a device, the newest", async () => {
    const older = await one.front.welcome("gate-2");
    const newer = await two.front.welcome("gate-2");
    expect(await older.nextError()).toBe("DUPLICATE_DEVICE");
    expect(await older.closed()).toBe(1008);
    expect(await present(newer)).toMatchObject({ granted: true });
    const newest = await one.front.welcome("gate-2");
    expect(await newer.nextError()).toBe("DUPLICATE_DEVICE");
    expect(await present(newest)).toMatchObject({ granted: true });
  });

  it("know nobody for NO_MATCH while their worker is not current, or lies, or is gone", async () => {
    const client = await one.front.welcome("gate-1");
    expect(await present(client)).toMatchObject({ granted: true });
    const undecided = { outcome: Outcome.UNDECIDED, granted: false, reason: Reason.SHARD_MISSING };
    worker.script.search = ({ reply }) => ({ ...reply, status: bus.SearchStatus.NOT_CURRENT });
    expect(await present(client)).toMatchObject(undecided);
    worker.script.search = ({ reply }) => reply;
    worker.script.compare = ({ reply }) => ({
      ...reply,
      candidates: [{ memberId: new Uint8Array(16), similarity: 1e30 }],
    });
    expect(await present(client)).toMatchObject(undecided);
    worker.script.compare = ({ reply }) => ({
      ...reply,
      profile: { nonce: new Uint8Array(12), ciphertext: new Uint8Array(64) },
    });
    expect(await present(client)).toMatchObject(undecided);
    worker.script.compare = ({ reply }) => reply;
    expect(await present(client)).toMatchObject({ granted: true });
    await rig.noWorkers();
    expect(await present(client)).toMatchObject(undecided);
  });

  it("ask the twin for whoever hangs, and go on granting", async () => {
    await rig.worker({ id: "w1", row: 1, slot: 0, slots: 1 }, [{ ...ALICE_IN_SIGHT, facts: factsOf(ALICE) }]);
    worker.script.search = () => undefined;
    const client = await one.front.welcome("gate-1");
    for (let n = 0; n < 10; n++) expect(await present(client)).toMatchObject({ granted: true });
  });

  it("find nobody of another organisation for their lanes", async () => {
    worker.people = [{ ...ALICE_IN_SIGHT, organisation: "other", facts: factsOf(ALICE) }];
    expect(await present(await one.front.welcome("gate-1"))).toMatchObject({ outcome: Outcome.NO_MATCH });
  });
});

describe("nats-server goes away", () => {
  it("UNDECIDED and no grant while it is gone; granted again when it is back, and nothing is doubled", async () => {
    const client = await one.front.welcome("gate-1");
    const id = newId();
    expect(await present(client)).toMatchObject({ granted: true });
    await rig.server.kill();
    expect(await present(client, id)).toMatchObject({ granted: false, outcome: Outcome.UNDECIDED });
    await rig.server.restart();
    await expect
      .poll(async () => (await present(client)).granted, { timeout: 15_000, interval: 100 })
      .toBe(true);
    await one.front.recorder.flush();
    const last = await one.front.world.log.last(
      STREAMS.decisions,
      `decisions.acme.north.gate-1.${id.toString("hex")}`,
    );
    expect(decode(bus.DecisionEvent, last?.body ?? new Uint8Array())).toMatchObject({ granted: false });
  });
});
