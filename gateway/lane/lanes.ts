// All lanes that were welcomed, one per device.
//
// Invariants: a device has one link, the newest; a device whose entry in the site file is gone or changed has none
// until it greets again.
import type { Device } from "../sites.js";
import type { Lane } from "./lane.js";

export class Lanes {
  readonly #byDevice = new Map<string, Lane>();

  get count(): number {
    return this.#byDevice.size;
  }

  creditsOutstanding(): number {
    let sum = 0;
    for (const lane of this.#byDevice.values()) sum += lane.creditsOutstanding;
    return sum;
  }

  connected(deviceId: string): boolean {
    return this.#byDevice.has(deviceId);
  }

  enter(lane: Lane): void {
    const older = this.#byDevice.get(lane.device.id);
    this.#byDevice.set(lane.device.id, lane);
    older?.dismiss("DUPLICATE_DEVICE");
  }

  leave(lane: Lane): void {
    if (this.#byDevice.get(lane.device.id) === lane) this.#byDevice.delete(lane.device.id);
  }

  /** The registry has changed: links that it no longer vouches for are closed. */
  recheck(deviceOf: (deviceId: string) => Device | undefined): void {
    for (const lane of [...this.#byDevice.values()]) {
      const device = deviceOf(lane.device.id);
      if (device === undefined || !device.publicKey.equals(lane.device.publicKey))
        lane.dismiss("UNAUTHENTICATED");
      else if (!sameDuty(device, lane.device)) lane.dismiss("SHUTTING_DOWN"); // it comes back to its new duty
    }
  }

  /** Says goodbye to the lanes that wait for nothing, or to all. */
  dismiss(which: "idle" | "all"): void {
    for (const lane of [...this.#byDevice.values()]) {
      if (which === "all" || !lane.presenting) lane.dismiss("SHUTTING_DOWN");
    }
  }
}

const sameDuty = (a: Device, b: Device) =>
  a.site === b.site && a.purpose === b.purpose && a.gallery === b.gallery;
