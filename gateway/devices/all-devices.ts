// Who may connect: the devices of the site file, and those that paired themselves. The site file comes first.
import type { Device, SiteFile } from "../sites.js";
import type { PairedDevices } from "./paired-devices.js";

/** Of one that paired itself, when. */
export type KnownDevice = Device & { pairedAtUnixMs?: number };

export function allDevices(site: SiteFile, paired: Pick<PairedDevices, "list">): KnownDevice[] {
  const inFile = new Set(site.devices.map(({ id }) => id));
  return [...site.devices, ...paired.list().filter(({ id }) => !inFile.has(id))];
}
