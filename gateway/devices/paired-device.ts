// A device that paired itself with a pass, as the bucket keeps it. Pure.
import type { KeyObject } from "node:crypto";
import { bus, decode, edge, encode } from "../../wire/codec.js";
import { publicKeyFromBase64, rawPublicKey } from "../../wire/ed25519.js";
import { DEVICE_ID_PATTERN } from "../../wire/limits.js";
import { purposeOf } from "../passes/pass.js";
import type { Device } from "../sites.js";

export interface PairedDevice extends Device {
  pairedAtUnixMs: number;
}

export function encodePairedDevice({ id, publicKey, site, purpose, gallery, pairedAtUnixMs }: PairedDevice) {
  return encode(bus.PairedDevice, {
    deviceId: id,
    publicKey: rawPublicKey(publicKey),
    site,
    purpose: edge.Purpose[purpose],
    gallery,
    pairedUnixMs: pairedAtUnixMs,
  });
}

/** `undefined`: these bytes are no device of that id. */
export function decodePairedDevice(id: string, bytes: Uint8Array): PairedDevice | undefined {
  const message = decode(bus.PairedDevice, bytes);
  if (!message || message.deviceId !== id || !DEVICE_ID_PATTERN.test(id)) return undefined;
  const purpose = purposeOf(message.purpose);
  const publicKey = keyOf(message.publicKey);
  const { site, gallery, pairedUnixMs: pairedAtUnixMs } = message;
  return purpose && publicKey && { id, publicKey, site, purpose, gallery, pairedAtUnixMs };
}

const keyOf = (raw: Uint8Array): KeyObject | undefined =>
  publicKeyFromBase64(Buffer.from(raw).toString("base64"));
