import { Kvm } from "@nats-io/kv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LogUnavailableError, openHolders } from "../../records/index.js";
import { ShardSet } from "../../wire/shard.js";
import { openRig, type Rig } from "./support/rig.js";

const NOW = 1_700_000_000_000;

describe("holders", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await openRig();
  });
  afterAll(() => rig.close());
  const open = async () => openHolders(await rig.connect(), () => NOW);

  it("names whoever may hold anything of a shard, until nothing is left there", async () => {
    const holders = await open();
    expect(await holders.holdersOf(3)).toEqual([]);
    await holders.widen("w1", new ShardSet([1, 3]));
    await holders.widen("w2", new ShardSet([3]));
    await holders.widen("w1", new ShardSet([4]));
    expect(await holders.holdersOf(3)).toEqual(["w1", "w2"]);
    expect(await holders.holdersOf(4)).toEqual(["w1"]);
    expect(await holders.holdersOf(5)).toEqual([]);
    await holders.narrow("w1", new ShardSet([3, 77]));
    expect(await holders.holdersOf(3)).toEqual(["w2"]);
    await holders.narrow("w2", ShardSet.all());
    expect(await holders.holdersOf(3)).toEqual([]);
    const all = await holders.all();
    expect([...all.keys()]).toEqual(["w1"]);
    expect([...(all.get("w1") ?? [])]).toEqual([1, 4]);
  });

  it("goes on naming a worker that is silent for ever, until an operator says that it is gone for good", async () => {
    const holders = await open();
    await holders.widen("gone", new ShardSet([9]));
    await rig.server.kill();
    await rig.server.restart();
    await expect.poll(() => holders.holdersOf(9).catch(() => "away"), { timeout: 15_000 }).toEqual(["gone"]);
    await holders.forget("gone");
    expect(await holders.holdersOf(9)).toEqual([]);
    await holders.forget("gone");
  });

  it("loses nobody's shards when one entry is changed from several places at once", async () => {
    const many = await Promise.all(Array.from({ length: 4 }, open));
    await Promise.all(
      many.flatMap((holders, at) =>
        [0, 1, 2].map((step) => holders.widen("shared", new ShardSet([100 + 10 * at + step]))),
      ),
    );
    const held = (await many[0]?.all())?.get("shared");
    expect(held?.size).toBe(12);
    await Promise.all(many.map((holders, at) => holders.narrow("shared", new ShardSet([100 + 10 * at]))));
    expect((await many[0]?.all())?.get("shared")?.size).toBe(8);
  });

  it("writes nothing when nothing changes", async () => {
    const holders = await open();
    await holders.widen("still", new ShardSet([20]));
    const kv = await new Kvm(rig.nc).open("palmgate_holders");
    const revision = (await kv.get("still"))?.revision;
    await holders.widen("still", new ShardSet([20]));
    await holders.narrow("still", new ShardSet([21]));
    await holders.narrow("never-there", ShardSet.all());
    expect((await kv.get("still"))?.revision).toBe(revision);
    expect(await kv.get("never-there")).toBeNull();
  });

  it("takes an entry that cannot be read for a holder of everything", async () => {
    const kv = await new Kvm(rig.nc).open("palmgate_holders");
    await kv.put("odd", new Uint8Array([255]));
    const holders = await open();
    expect(await holders.holdersOf(200)).toEqual(["odd"]);
    await holders.forget("odd");
    expect(await holders.holdersOf(200)).toEqual([]);
  });

  it("never answers without the bucket's leader", async () => {
    const nc = await rig.connect();
    const holders = openHolders(nc, () => NOW);
    await nc.close();
    await expect(holders.holdersOf(1)).rejects.toThrow(LogUnavailableError);
    await expect(holders.widen("w1", new ShardSet([1]))).rejects.toThrow(LogUnavailableError);
  });
});
