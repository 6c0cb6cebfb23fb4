// Paired devices on a real nats-server: every gateway knows them, and forgets those that are revoked.
import { randomBytes } from "node:crypto";
import { Kvm } from "@nats-io/kv";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { allDevices } from "../../gateway/devices/all-devices.js";
import {
  decodePairedDevice,
  encodePairedDevice,
  type PairedDevice,
} from "../../gateway/devices/paired-device.js";
import { openPairedDevices, type PairedDevices } from "../../gateway/devices/paired-devices.js";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import { connectNats } from "../../wire/nats.js";
import { BUCKETS } from "../../wire/subjects.js";
import { eventually, GALLERY, openServices, type Services } from "./members.support.js";

const RECHECK_INTERVAL_MS = 100;

let services: Services;
const opened: { close(): Promise<void> }[] = [];
let count = 0;

beforeAll(async () => {
  services = await openServices();
});
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});
afterAll(() => services.close());

function newDevice(changed: Partial<PairedDevice> = {}): PairedDevice {
  const publicKey = publicKeyFromBase64(randomBytes(32).toString("base64"));
  if (!publicKey) throw new Error("no key");
  const id = `lane-${++count}`;
  return { id, publicKey, site: "north", purpose: "ENTRY", gallery: GALLERY, pairedAtUnixMs: 1, ...changed };
}

/** A gateway's own, over a connection of its own. */
async function gateway(): Promise<PairedDevices> {
  const nats = await connectNats({ url: services.nats.url, name: "test-gateway", log: services.deps.log });
  const { log, site } = services.deps;
  const devices = await openPairedDevices({ nats, log, site, recheckIntervalMs: RECHECK_INTERVAL_MS });
  opened.push(devices, nats);
  return devices;
}

const known = (devices: PairedDevices, id: string) => () => devices.get(id) !== undefined;
const isTrue = (value: boolean) => value;
const isFalse = (value: boolean) => !value;

describe("a paired device", () => {
  it("reads back from its bytes as it was, and from no other's", () => {
    const device = newDevice({ purpose: "PAY" });
    const bytes = encodePairedDevice(device);
    const read = decodePairedDevice(device.id, bytes);
    expect(read).toMatchObject({ ...device, publicKey: expect.anything() });
    expect(read?.publicKey.equals(device.publicKey)).toBe(true);
    expect(decodePairedDevice("lane-other", bytes)).toBeUndefined();
    expect(decodePairedDevice(device.id, Uint8Array.of(255))).toBeUndefined();
  });

  it("is known to every gateway, also to one that starts later, and told to whoever listens", async () => {
    const [here, there] = [await gateway(), await gateway()];
    let told = 0;
    there.onChange(() => {
      told++;
    });
    const device = newDevice();
    expect(await here.add(device)).toEqual({ ok: true });
    expect(here.get(device.id)).toBeDefined();
    await eventually(known(there, device.id), isTrue);
    expect(told).toBe(1);
    expect((await gateway()).get(device.id)).toMatchObject({ id: device.id, site: "north" });
  });

  it("is nobody anywhere once it is revoked, also after a restart", async () => {
    const [here, there] = [await gateway(), await gateway()];
    const device = newDevice();
    await here.add(device);
    await eventually(known(there, device.id), isTrue);
    expect(await there.remove(device.id)).toEqual({ ok: true });
    expect(there.get(device.id)).toBeUndefined();
    await eventually(known(here, device.id), isFalse);
    expect((await gateway()).get(device.id)).toBeUndefined();
    expect(await here.remove(device.id)).toEqual({ ok: false, code: "NOT_FOUND" });
  });

  it("is found revoked by a gateway that did not hear of it", async () => {
    const here = await gateway();
    const device = newDevice();
    await here.add(device);
    // Removed from below, without the word that a revocation says to everybody.
    const kv = await new Kvm(services.connection).open(BUCKETS.devices);
    const entry = await kv.get(device.id);
    const { jetstreamManager } = await import("@nats-io/jetstream");
    const manager = await jetstreamManager(services.connection);
    await manager.streams.deleteMessage(`KV_${BUCKETS.devices}`, entry?.revision ?? 0);
    await eventually(known(here, device.id), isFalse);
  });

  it("is not taken beyond the bound", async () => {
    const before = await gateway();
    await before.add(newDevice());
    const { log, site } = services.deps;
    const full = await openPairedDevices({ nats: services.connection, log, site, maxDevices: 1 });
    opened.push(full);
    const device = newDevice();
    expect(await full.add(device)).toEqual({ ok: false, code: "LIMIT_REACHED" });
    expect(full.get(device.id)).toBeUndefined();
  });

  it("is not taken beyond the bound when many come at once", async () => {
    const { log, site } = services.deps;
    const maxDevices = (await gateway()).list().length + 1;
    const almostFull = await openPairedDevices({ nats: services.connection, log, site, maxDevices });
    opened.push(almostFull);
    const added = await Promise.all([1, 2, 3].map(() => almostFull.add(newDevice())));
    expect(added.filter(({ ok }) => ok)).toHaveLength(1);
    expect(added.filter((each) => !each.ok && each.code === "LIMIT_REACHED")).toHaveLength(2);
  });

  it("is nobody where the site file has not its site or gallery", async () => {
    const here = await gateway();
    const lost = [newDevice({ site: "elsewhere" }), newDevice({ gallery: "elsewhere" })];
    for (const device of lost) await here.add(device);
    expect(lost.map(({ id }) => here.get(id))).toEqual([undefined, undefined]);
    expect(here.list().map(({ id }) => id)).not.toContain(lost[0]?.id);
  });

  it("gives way to a device of the site file that has its id", async () => {
    const here = await gateway();
    const device = newDevice({ purpose: "PAY" });
    await here.add(device);
    const { pairedAtUnixMs: _, ...inFile } = { ...device, purpose: "ENTRY" as const };
    const site = { ...services.deps.site(), devices: [inFile] };
    const found = allDevices(site, here).filter(({ id }) => id === device.id);
    expect(found).toEqual([inFile]);
  });

  it("is not read from a value that is none", async () => {
    const here = await gateway();
    const kv = await new Kvm(services.connection).open(BUCKETS.devices);
    await kv.put("lane-broken", Uint8Array.of(255, 255));
    const device = newDevice();
    await here.add(device);
    expect(here.get("lane-broken")).toBeUndefined();
    expect((await gateway()).get(device.id)).toBeDefined();
  });
});
