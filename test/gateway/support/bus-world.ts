// What gateways share over a real bus: the event log, the lane book and the directory, each gateway with a connection of
// its own; and two gates in the directory.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { openEventLog } from "../../../records/index.js";
import { type Device, directoryKey } from "../../../wire/directory.js";
import { Disposer } from "../../../wire/disposer.js";
import { publicKeyToBase64 } from "../../../wire/ed25519.js";
import { openLaneBook } from "../../../wire/lane-book.js";
import { connectNats } from "../../../wire/nats.js";
import { GALLERY, ORGANISATION, type Rig } from "../../identify/support/rig.js";
import type { World } from "./front.js";

/** Writes the devices into the directory. @returns their keys */
export async function addDevices({ directory }: Rig): Promise<Map<string, KeyObject>> {
  const keys = new Map<string, KeyObject>();
  const organisation = ORGANISATION;
  await directory.create(directoryKey.gallery(organisation, GALLERY), {
    organisation,
    name: GALLERY,
    modelId: "m",
    dimension: 2,
    lineMaps: false,
  });
  await directory.create(directoryKey.site(organisation, "north"), { organisation, name: "north" });
  for (const [id, purpose] of [
    ["gate-1", "ENTRY"],
    ["gate-2", "ENTRY"],
    ["till-1", "PAY"],
  ] as const) {
    const { privateKey } = generateKeyPairSync("ed25519");
    keys.set(id, privateKey);
    const publicKey = publicKeyToBase64(privateKey);
    const device: Device = { organisation, id, publicKey, site: "north", purpose, gallery: GALLERY };
    await directory.create(directoryKey.device(id), device);
  }
  return keys;
}

/** One gateway's side of the bus. */
export async function busWorld(rig: Rig, keys: Map<string, KeyObject>) {
  const disposer = new Disposer();
  const nats = await connectNats({ url: rig.server.url, name: "gateway", log: rig.log });
  disposer.defer(() => nats.close());
  const book = openLaneBook(nats, rig.log);
  disposer.defer(() => book.close());
  const world: World = {
    log: await openEventLog(nats),
    book,
    devices: new Map(rig.directory.devices().map((device) => [device.id, device])),
    keys,
    masterKey: rig.masterKey,
    nowUnixMs: () => Date.now(),
    directoryChanged: () => {},
    onDirectoryChange: () => () => {},
  };
  return { world, nats, close: () => disposer.close() };
}
