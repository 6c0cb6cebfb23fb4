// All lanes that were welcomed here, one per device, and what the fleet's lane book says of those devices.
//
// Invariants:
// - a device has one link, the newest, at whichever gateway: an older one hears DUPLICATE_DEVICE;
// - a device whose entry in the directory is gone or changed has none until it greets again;
// - the book holds every lane of this gateway, refreshed every LANE_REFRESH_MS, and loses it when its link is gone.
import { randomBytes } from "node:crypto";
import type { Device, Directory } from "../../wire/directory.js";
import { isNewerLink, LANE_REFRESH_MS, type LaneBook, type LaneEntry } from "../../wire/lane-book.js";
import type { Log } from "../../wire/log.js";
import type { Purposes } from "../purposes/index.js";
import type { Entrance } from "./connection.js";
import { Lane, type LaneParts } from "./lane.js";
import type { Link } from "./link.js";

/** Lanes are said anew in so many portions, so that a thousand of them are no burst. */
const PORTIONS = 20;
const LINK_ID_BYTES = 8;

export interface LanesParts extends Omit<LaneParts, "charges"> {
  directory: Pick<Directory, "device" | "onChange">;
  book: Pick<LaneBook, "get" | "put" | "remove" | "onEntry">;
  purposes: Purposes;
  /** Engine behind the sockets. */
  transport: string;
  gatewayId: string;
  /** The log's clock. */
  nowUnixMs(): number;
  log: Log;
}

interface Welcomed {
  lane: Lane;
  entry: LaneEntry;
}

export class Lanes implements Entrance {
  readonly transport: string;
  readonly #parts: LanesParts;
  readonly #byDevice = new Map<string, Welcomed>();
  readonly #timer: NodeJS.Timeout;
  readonly #unfollow: (() => void)[];
  #portion = 0;

  constructor(parts: LanesParts) {
    this.#parts = parts;
    this.transport = parts.transport;
    this.#timer = setInterval(() => this.#refresh(), LANE_REFRESH_MS / PORTIONS);
    this.#unfollow = [
      parts.directory.onChange(() => this.recheck()),
      parts.book.onEntry((entry) => this.#onEntry(entry)),
    ];
  }

  get count(): number {
    return this.#byDevice.size;
  }

  creditsOutstanding(): number {
    let sum = 0;
    for (const { lane } of this.#byDevice.values()) sum += lane.creditsOutstanding;
    return sum;
  }

  deviceOf(deviceId: string): Device | undefined {
    return this.#parts.directory.device(deviceId);
  }

  enter(device: Device, link: Link, agentVersion: string): Lane {
    const { purposes, book, gatewayId, nowUnixMs, log, ...parts } = this.#parts;
    const lane = new Lane(device, link, { ...parts, charges: purposes[device.purpose].charges });
    const { id: deviceId, organisation, site, purpose } = device;
    // Later than what the book knows, also when another gateway's clock is ahead of ours.
    const sinceUnixMs = Math.max(nowUnixMs(), (book.get(deviceId)?.sinceUnixMs ?? 0) + 1);
    const linkId = randomBytes(LINK_ID_BYTES).toString("hex");
    const entry = { deviceId, gateway: gatewayId, link: linkId, organisation, site, purpose, sinceUnixMs };
    const older = this.#byDevice.get(deviceId);
    this.#byDevice.set(deviceId, { lane, entry });
    older?.lane.dismiss("DUPLICATE_DEVICE");
    void book.put(entry);
    log.info({ device: deviceId, organisation, agentVersion }, "lane welcomed");
    return lane;
  }

  leave(lane: Lane): void {
    const welcomed = this.#byDevice.get(lane.device.id);
    if (welcomed?.lane !== lane) return;
    this.#byDevice.delete(lane.device.id);
    void this.#parts.book.remove(lane.device.id, welcomed.entry.link);
  }

  /** The directory has changed: links that it no longer vouches for are closed. */
  recheck(): void {
    for (const { lane } of [...this.#byDevice.values()]) {
      const device = this.deviceOf(lane.device.id);
      if (device === undefined || device.publicKey !== lane.device.publicKey) lane.dismiss("UNAUTHENTICATED");
      else if (!sameDuty(device, lane.device)) lane.dismiss("SHUTTING_DOWN"); // it comes back to its new duty
    }
  }

  /** Says goodbye to the lanes that wait for nothing, or to all. */
  dismiss(which: "idle" | "all"): void {
    for (const { lane } of [...this.#byDevice.values()]) {
      if (which === "all" || !lane.presenting) lane.dismiss("SHUTTING_DOWN");
    }
  }

  close(): void {
    clearInterval(this.#timer);
    for (const end of this.#unfollow) end();
  }

  #onEntry(entry: LaneEntry): void {
    const own = this.#byDevice.get(entry.deviceId);
    if (own !== undefined && isNewerLink(entry, own.entry)) own.lane.dismiss("DUPLICATE_DEVICE");
  }

  #refresh(): void {
    this.#portion = (this.#portion + 1) % PORTIONS;
    let place = 0;
    for (const { entry } of this.#byDevice.values()) {
      if (place++ % PORTIONS === this.#portion) void this.#parts.book.put(entry);
    }
  }
}

const sameDuty = (a: Device, b: Device) =>
  a.organisation === b.organisation &&
  a.site === b.site &&
  a.purpose === b.purpose &&
  a.gallery === b.gallery;
