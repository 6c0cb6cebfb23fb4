// What a ledger does when it starts, and while its log does not answer, on a real nats-server.
import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { storeMember } from "../../records/index.js";
import { ofVector } from "../matcher/support/vectors.js";
import { scriptedWorker } from "./support/matcher.js";
import { authorised, lastStepOf, order, reported, scriptedProcessor } from "./support/payments.js";
import { GALLERY, MODEL, ORGANISATION, openRig, type Rig, until } from "./support/rig.js";
import { beginErase, endOf, newPalm } from "./support/sagas.js";

describe("a ledger", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
    await scriptedWorker(rig.nc, "m1");
  });
  afterAll(() => rig.close());

  const enrolledMember = async () => {
    const memberId = Uint8Array.from(randomBytes(16));
    const signature = ofVector(newPalm());
    const stored = await storeMember(rig.eventLog, rig.keyring, {
      ...{ organisation: ORGANISATION, gallery: GALLERY, memberId },
      templates: [{ signature, modelId: MODEL.modelId, position: 1 }],
      profile: {},
    });
    if (!stored.ok) throw new Error(stored.detail);
    return memberId;
  };

  it("reads nothing of stream MEMBERS but single members, at start and after", async () => {
    for (let count = 0; count < 20; count++) await enrolledMember();
    const manager = await jetstreamManager(rig.nc, { checkAPI: false });
    const consumers = async () => (await manager.streams.info("MEMBERS")).state.consumer_count;
    const seen: number[] = [];
    const ledger = await rig.openLedger();
    await until("it is ready", async () => {
      seen.push(await consumers());
      return ledger.notReady().length === 0 && ledger.leads();
    });
    const id = await beginErase(rig, await enrolledMember());
    await endOf(rig, "erase", id);
    seen.push(await consumers());
    expect(Math.max(...seen)).toBe(0);
    await ledger.close();
  });

  it("goes on by itself when its log was away for a while, with an erasure and a payment in the middle", async () => {
    const processor = scriptedProcessor();
    const ledger = await rig.openLedger({ processor });
    await until("it leads", () => ledger.leads() && ledger.notReady().length === 0);
    const memberId = await enrolledMember();
    const of = order();
    await authorised(rig.eventLog, of, { granted: true });
    await rig.server.kill();
    await until("it says that it does not lead", () => !ledger.leads(), 10_000);
    await rig.server.restart();
    await until("the log takes the passage", () =>
      reported(rig.eventLog, of, "OPENED").then(
        () => true,
        () => false,
      ),
    );
    const id = await beginErase(rig, memberId).catch(() => beginErase(rig, memberId));
    expect((await endOf(rig, "erase", id, 40_000)).step).toBe("DONE");
    await until("it is captured", async () =>
      ((await lastStepOf(rig.eventLog, of).catch(() => "")) ?? "").startsWith("CAPTURED"),
    );
    expect(processor.moves.filter((move) => move.startsWith("capture"))).toHaveLength(1);
    await ledger.close();
  }, 90_000);
});
