// GET /api/devices: every device that may connect. DELETE /api/devices/:id: revokes one that was paired.
import { rawPublicKey } from "../../wire/ed25519.js";
import { type Answer, done, refuse } from "../api/answer.js";
import type { ApiDeps } from "../api/api.js";
import { allDevices } from "./all-devices.js";

export function listDevices({ site, devices, status }: ApiDeps): Answer {
  const connected = new Set(status().lanes.flatMap((lane) => (lane.connected ? [lane.deviceId] : [])));
  return done({
    devices: allDevices(site(), devices).map((device) => ({
      deviceId: device.id,
      site: device.site,
      purpose: device.purpose,
      gallery: device.gallery,
      publicKey: rawPublicKey(device.publicKey).toString("base64"),
      pairedAtUnixMs: device.pairedAtUnixMs ?? null,
      connected: connected.has(device.id),
    })),
  });
}

/** Its link is closed by whoever holds it: every gateway follows the devices. */
export async function revokeDevice({ site, devices, log }: ApiDeps, deviceId: string): Promise<Answer> {
  if (site().devices.some(({ id }) => id === deviceId)) {
    return refuse("CONFLICT", "This device is in the site file: take it out there and send SIGHUP.");
  }
  const removed = await devices.remove(deviceId);
  if (!removed.ok) {
    return removed.code === "NOT_FOUND"
      ? refuse("NOT_FOUND", "No such device is paired.")
      : refuse(removed.code, "The store of paired devices did not answer.");
  }
  log.info({ device: deviceId }, "a paired lane was revoked");
  return done({ deviceId, revoked: true });
}
