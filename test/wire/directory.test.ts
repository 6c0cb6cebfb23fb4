import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../wire/config.js";
import { type Directory, directoryKey, openDirectory } from "../../wire/directory.js";
import { openLossyLink } from "./support/lossy-link.js";
import { type BusRig, log, openBusRig } from "./support/rig.js";

const site = (name: string, organisation = "acme") => ({
  organisation,
  name,
  reportWithinMs: 60_000,
  unreported: "void" as const,
});
const key = (name: string) => directoryKey.site("acme", name);

describe("directory", () => {
  let rig: BusRig;
  beforeAll(async () => {
    rig = await openBusRig();
  });
  afterAll(() => rig.close());
  const open = async (nc = rig.nc): Promise<Directory> => {
    const directory = await openDirectory(nc, log);
    rig.defer(() => directory.close());
    return directory;
  };

  /** Every watch of the directory is deaf from here on, until it notices. */
  const endConsumers = async () => {
    const manager = await jetstreamManager(rig.nc);
    for await (const { name } of manager.consumers.list("KV_palmgate_directory")) {
      await manager.consumers.delete("KV_palmgate_directory", name);
    }
  };

  it("is empty and current in a bucket that nobody has written to", async () => {
    const directory = await open();
    expect(directory.current()).toBe(true);
    expect([directory.fleet(), directory.organisations(), directory.devices()]).toEqual([undefined, [], []]);
    expect(directory.policy("acme")).toMatchObject({ organisation: "acme", ENTRY: { targetFpir: 1e-3 } });
  });

  it("tells others what one writes, and the writer at once", async () => {
    const [one, two] = [await open(), await open(await rig.connect())];
    let told = 0;
    two.onChange(() => told++);
    expect(await one.create(key("door"), site("door"))).toEqual({ ok: true });
    expect(one.site("acme", "door")).toEqual(site("door"));
    await expect.poll(() => two.site("acme", "door")).toEqual(site("door"));
    await expect.poll(() => told).toBeGreaterThan(0);
    expect(await one.put(key("door"), { ...site("door"), unreported: "capture" })).toEqual({ ok: true });
    await expect.poll(() => two.site("acme", "door")?.unreported).toBe("capture");
    expect(await two.remove(key("door"))).toEqual({ ok: true });
    await expect.poll(() => one.site("acme", "door")).toBeUndefined();
    expect(await one.create(key("door"), site("door"))).toEqual({ ok: true });
    const late = await open(await rig.connect());
    expect(late.sites("acme")).toEqual([site("door")]);
    expect(late.sites("other")).toEqual([]);
  });

  it("tells one of two who write one key at once that it was too late", async () => {
    const [one, two] = [await open(), await open(await rig.connect())];
    await one.create(key("race"), site("race"));
    await expect.poll(() => two.site("acme", "race")).toBeDefined();
    const written = await Promise.all(
      [one, two].map((each) => each.put(key("race"), { ...site("race"), unreported: "capture" })),
    );
    expect(written.map(({ ok }) => ok).sort()).toEqual([false, true]);
    expect(written).toContainEqual({ ok: false, code: "CONFLICT" });
    expect(await one.create(key("race"), site("race"))).toEqual({ ok: false, code: "CONFLICT" });
    expect(await one.remove(key("never"))).toEqual({ ok: false, code: "CONFLICT" });
  });

  it("refuses to write what does not fit its key, and leaves out what others wrote so", async () => {
    const directory = await open();
    await expect(directory.create(key("a"), site("b"))).rejects.toThrow(/another thing than its key/);
    await expect(directory.create("nonsense", 1)).rejects.toThrow(/no such key/);
    await expect(directory.create(directoryKey.fleet, { layout: 2, rows: 9, slots: 1 })).rejects.toThrow(
      /rows/,
    );
    await directory.create(key("good"), site("good"));
    const kv = await new Kvm(rig.nc).open("palmgate_directory");
    await kv.put(key("good"), "not json");
    await kv.put(key("bad"), JSON.stringify({ ...site("bad"), more: 1 }));
    await directory.create(key("after"), site("after"));
    const other = await open(await rig.connect());
    expect(other.sites("acme").map(({ name }) => name)).not.toContain("bad");
    await expect.poll(() => directory.site("acme", "after")).toBeDefined();
    expect(directory.site("acme", "good")).toEqual(site("good"));
  });

  it("is told of all that changed while the link was away, and says that it was not current", async () => {
    const directory = await open(await rig.connect());
    await directory.create(key("stays"), site("stays"));
    await directory.create(key("goes"), site("goes"));
    await rig.server.kill();
    await expect.poll(() => directory.current(), { timeout: 10_000 }).toBe(false);
    expect(directory.site("acme", "stays")).toBeDefined();
    const write = directory.put(key("stays"), { ...site("stays"), unreported: "capture" });
    expect(await write).toEqual({ ok: false, code: "UNAVAILABLE" });
    await rig.server.restart();
    const other = await open(await rig.connect());
    // A server that has just started may need longer for a write than the writer waits.
    const done = { timeout: 15_000 };
    await expect
      .poll(
        async () => (await other.remove(key("goes"))).ok || other.site("acme", "goes") === undefined,
        done,
      )
      .toBe(true);
    await expect
      .poll(
        async () => (await other.create(key("comes"), site("comes"))).ok || other.site("acme", "comes"),
        done,
      )
      .toBeTruthy();
    await expect.poll(() => directory.current(), { timeout: 15_000 }).toBe(true);
    await expect.poll(() => directory.site("acme", "comes"), done).toBeDefined();
    expect(directory.site("acme", "goes")).toBeUndefined();
  });

  it("is told that what it wrote itself is gone, though its watch had not heard of it yet", async () => {
    const directory = await open(await rig.connect());
    const kv = await new Kvm(rig.nc).open("palmgate_directory");
    await endConsumers();
    expect(await directory.create(key("unheard-of"), site("unheard-of"))).toEqual({ ok: true });
    await kv.delete(key("unheard-of"));
    expect(directory.site("acme", "unheard-of")).toBeDefined();
    await expect.poll(() => directory.site("acme", "unheard-of"), { timeout: 15_000 }).toBeUndefined();
  });

  it("says that it is not current on a half-open link, long before that is noticed as lost", async () => {
    const link = await openLossyLink(rig.server.url);
    rig.defer(() => link.close());
    const directory = await open(await rig.connect(link.url));
    expect(directory.current()).toBe(true);
    link.swallowing = true;
    const other = await open();
    await other.create(key("unheard"), site("unheard"));
    await expect.poll(() => directory.current(), { timeout: 4000 }).toBe(false);
    expect(directory.site("acme", "unheard")).toBeUndefined();
    link.swallowing = false;
    await expect.poll(() => directory.current(), { timeout: 20_000 }).toBe(true);
    await expect.poll(() => directory.site("acme", "unheard")).toBeDefined();
  });

  it("notices that its consumer went astray, and begins anew", async () => {
    const directory = await open(await rig.connect());
    await directory.create(key("first"), site("first"));
    await endConsumers();
    const other = await open(await rig.connect());
    await other.create(key("later"), site("later"));
    await expect.poll(() => directory.site("acme", "later"), { timeout: 15_000 }).toBeDefined();
    await expect.poll(() => directory.current(), { timeout: 15_000 }).toBe(true);
  });

  it("of another layout is refused in one line", async () => {
    const kv = await new Kvm(rig.nc).open("palmgate_directory");
    await kv.put(directoryKey.fleet, JSON.stringify({ layout: 3, rows: 1, slots: 1 }));
    const opening = openDirectory(rig.nc, log);
    await expect(opening).rejects.toThrow(UsageError);
    await expect(opening).rejects.toThrow(
      /^this fleet's records have layout 3, and this Palmgate reads layout 2\./,
    );
    await kv.delete(directoryKey.fleet);
  });
});
