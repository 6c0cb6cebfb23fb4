// The devices that paired themselves, as every gateway knows them: one NATS bucket, followed.
//
// Invariants:
// - a device is known here when the bucket has it, at the latest RECHECK_INTERVAL_MS after, and gone here when it is
//   revoked, likewise; here and where the change was made it is at once;
// - a device whose site or gallery the site file does not have (any more) is nobody;
// - at most MAX_PAIRED_DEVICES; gateways that add at the same moment may go past it by what is under way.
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, followBucket, openBucket, readBucket, retried } from "../../wire/bucket.js";
import type { Log } from "../../wire/log.js";
import { BUCKETS } from "../../wire/subjects.js";
import type { Closable } from "../seams.js";
import type { SiteFile } from "../sites.js";
import { decodePairedDevice, encodePairedDevice, type PairedDevice } from "./paired-device.js";

export const MAX_PAIRED_DEVICES = 1000;
const OPEN_DEADLINE_MS = 10_000;
/** What was said while our link was down is found by reading again. */
const RECHECK_INTERVAL_MS = 15_000;
const SPEC: BucketSpec = { name: BUCKETS.devices, storage: "file" };

export type Added = { ok: true } | { ok: false; code: "LIMIT_REACHED" | "LOG_UNAVAILABLE" };
export type Removed = { ok: true } | { ok: false; code: "NOT_FOUND" | "LOG_UNAVAILABLE" };

export interface PairedDevices extends Closable {
  get(deviceId: string): PairedDevice | undefined;
  /** By id. */
  list(): PairedDevice[];
  add(device: PairedDevice): Promise<Added>;
  /** Revokes it: from here on it is nobody. */
  remove(deviceId: string): Promise<Removed>;
  /** Called when devices came or went. @returns the function that ends it */
  onChange(listener: () => void): () => void;
}

export interface PairedDevicesOptions {
  nats: NatsConnection;
  site(): SiteFile;
  log: Log;
  /** Default: RECHECK_INTERVAL_MS. */
  recheckIntervalMs?: number;
  /** Default: MAX_PAIRED_DEVICES. */
  maxDevices?: number;
}

/** Reads all devices, waiting up to 10 s for JetStream, and follows them. */
export async function openPairedDevices(options: PairedDevicesOptions): Promise<PairedDevices> {
  const devices = new FollowedDevices(options);
  try {
    await devices.open();
  } catch (error) {
    await devices.close();
    throw error;
  }
  return devices;
}

class FollowedDevices implements PairedDevices {
  readonly #options: PairedDevicesOptions;
  readonly #devices = new Map<string, PairedDevice>();
  readonly #listeners = new Set<() => void>();
  /** Devices on their way into the bucket. */
  #adding = 0;
  /** Told by the bucket while it is being read: newer than what the reading finds. */
  #heardMeanwhile: Set<string> | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #unfollow: () => void;

  constructor(options: PairedDevicesOptions) {
    this.#options = options;
    this.#unfollow = followBucket(options.nats, SPEC.name, (id, value) => {
      this.#heardMeanwhile?.add(id);
      if (this.#take(id, value)) this.#tell();
    });
  }

  async open(): Promise<void> {
    const { nats, log, recheckIntervalMs = RECHECK_INTERVAL_MS } = this.#options;
    await retried(OPEN_DEADLINE_MS, () => this.#reread());
    this.#timer = setInterval(() => {
      if (nats.isClosed() || this.#heardMeanwhile) return;
      this.#reread().catch((error: unknown) =>
        log.warn({ error: String(error) }, "paired devices cannot be read now; trying again"),
      );
    }, recheckIntervalMs);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unfollow();
    this.#listeners.clear();
  }

  get = (deviceId: string): PairedDevice | undefined => {
    const device = this.#devices.get(deviceId);
    return device && this.#hasPlace(device) ? device : undefined;
  };

  list(): PairedDevice[] {
    return [...this.#devices.values()]
      .filter((device) => this.#hasPlace(device))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async add(device: PairedDevice): Promise<Added> {
    const { maxDevices = MAX_PAIRED_DEVICES } = this.#options;
    if (this.#devices.size + this.#adding >= maxDevices) return { ok: false, code: "LIMIT_REACHED" };
    const bytes = encodePairedDevice(device);
    this.#adding += 1;
    const stored = await this.#asked((bucket) => bucket.create(device.id, bytes));
    this.#adding -= 1;
    if (!stored) return { ok: false, code: "LOG_UNAVAILABLE" };
    this.#heardMeanwhile?.add(device.id);
    if (this.#take(device.id, bytes)) this.#tell();
    return { ok: true };
  }

  async remove(deviceId: string): Promise<Removed> {
    if (!this.#devices.has(deviceId)) return { ok: false, code: "NOT_FOUND" };
    if (!(await this.#asked((bucket) => bucket.delete(deviceId)))) {
      return { ok: false, code: "LOG_UNAVAILABLE" };
    }
    this.#heardMeanwhile?.add(deviceId);
    if (this.#take(deviceId, undefined)) this.#tell();
    return { ok: true };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #reread(): Promise<void> {
    const heard = new Set<string>();
    this.#heardMeanwhile = heard;
    try {
      const values = await readBucket(this.#options.nats, SPEC);
      let changed = false;
      for (const id of new Set([...values.keys(), ...this.#devices.keys()])) {
        if (!heard.has(id)) changed = this.#take(id, values.get(id)) || changed;
      }
      if (changed) this.#tell();
    } finally {
      this.#heardMeanwhile = undefined;
    }
  }

  /** @returns whether something changed */
  #take(id: string, value: Uint8Array | undefined): boolean {
    const device = value && decodePairedDevice(id, value);
    if (value && !device) this.#options.log.error({ device: id }, "no paired device in this value");
    const before = this.#devices.get(id);
    if (!device) return this.#devices.delete(id);
    this.#devices.set(id, device);
    return before === undefined || !same(before, device);
  }

  #hasPlace({ site: siteName, gallery }: PairedDevice): boolean {
    const { sites, galleries } = this.#options.site();
    return sites.some(({ name }) => name === siteName) && galleries.some(({ name }) => name === gallery);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  async #asked(ask: (bucket: Awaited<ReturnType<typeof openBucket>>) => Promise<unknown>): Promise<boolean> {
    const { nats, log } = this.#options;
    try {
      await ask(await openBucket(nats, SPEC));
      return true;
    } catch (error) {
      log.warn({ error: String(error) }, "the bucket of paired devices did not answer");
      return false;
    }
  }
}

const same = (a: PairedDevice, b: PairedDevice): boolean =>
  a.publicKey.equals(b.publicKey) && a.site === b.site && a.purpose === b.purpose && a.gallery === b.gallery;
