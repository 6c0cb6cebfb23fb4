// The site file as the running gateway knows it: read at start, reread on a signal.
//
// Invariants: a file with a mistake never takes effect; devices and policy may change while running, galleries not
// (their partitions are being watched and searched).
import { UsageError } from "../wire/config.js";
import type { Log } from "../wire/log.js";
import { type Device, readSiteFile, type SiteFile } from "./sites.js";

export class SiteBook {
  readonly #path: string;
  readonly #log: Log;
  #site: SiteFile;
  #devices: ReadonlyMap<string, Device>;

  /** @throws UsageError naming every mistake of the file */
  constructor(path: string, log: Log) {
    const read = readSiteFile(path);
    if (!read.ok) throw new UsageError(`site file ${path}:\n  ${read.problems.join("\n  ")}`);
    this.#path = path;
    this.#log = log;
    this.#site = read.site;
    this.#devices = byId(read.site);
  }

  get site(): SiteFile {
    return this.#site;
  }

  deviceOf = (deviceId: string): Device | undefined => this.#devices.get(deviceId);

  /** @returns whether the file took effect */
  reread(): boolean {
    const read = readSiteFile(this.#path);
    const problems = read.ok ? this.#unchangeable(read.site) : read.problems;
    if (!read.ok || problems.length > 0) {
      this.#log.error({ problems }, "the site file was not taken; the old one stays");
      return false;
    }
    this.#site = read.site;
    this.#devices = byId(read.site);
    this.#log.info({ devices: this.#devices.size }, "the site file was read again");
    return true;
  }

  #unchangeable(next: SiteFile): string[] {
    return JSON.stringify(next.galleries) === JSON.stringify(this.#site.galleries)
      ? []
      : ["galleries: restart the gateway to change them"];
  }
}

const byId = (site: SiteFile) => new Map(site.devices.map((device) => [device.id, device]));
