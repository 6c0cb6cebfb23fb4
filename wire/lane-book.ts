// Which lane is linked to which gateway now, as the whole fleet knows it: of two links of one device the newest counts.
//
// Invariants:
// - an entry is a hint that lives LANE_TTL_MS after its gateway was last heard: whoever dies is forgotten by that;
// - a gateway takes away its own entry only, never that of a newer link.
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { type BucketSpec, isLostRace, openBucket, watchBucket } from "./bucket.js";
import { parseJson } from "./json.js";
import type { Log } from "./log.js";
import { BUCKETS } from "./subjects.js";

export const LANE_REFRESH_MS = 5000;
const LANE_TTL_MS = 15_000;
const WRITE_TIMEOUT_MS = 2000;
const SPEC: BucketSpec = { name: BUCKETS.lanes, storage: "memory", ttlMs: LANE_TTL_MS };
/** Entries whose gateway died are looked for so often; the server tells nobody that they have expired. */
const SWEEP_INTERVAL_MS = 1000;

const laneEntry = z.object({
  deviceId: z.string(),
  /** Id of the gateway. */
  gateway: z.string(),
  /** Of the link, random: tells two links at one gateway apart. */
  link: z.string(),
  organisation: z.string(),
  site: z.string(),
  purpose: z.enum(["ENTRY", "PAY"]),
  /** Log's clock, when the link was welcomed. */
  sinceUnixMs: z.number(),
});

export type LaneEntry = z.output<typeof laneEntry>;

export interface LaneBook {
  get(deviceId: string): LaneEntry | undefined;
  list(organisation?: string): LaneEntry[];
  /** Says that the lane is linked here: when it is welcomed, and every LANE_REFRESH_MS. Never rejects. */
  put(entry: LaneEntry): Promise<boolean>;
  /** Takes away what stands there of this link. Never rejects. */
  remove(deviceId: string, link: string): Promise<boolean>;
  /** Called with every entry that is written, also one's own. @returns ends it */
  onEntry(listener: (entry: LaneEntry) => void): () => void;
  close(): Promise<void>;
}

/** Whether `other` is a newer link of the same device than `own`: then `own` has to go. */
export const isNewerLink = (other: LaneEntry, own: LaneEntry): boolean =>
  other.link !== own.link &&
  (other.sinceUnixMs > own.sinceUnixMs || (other.sinceUnixMs === own.sinceUnixMs && other.link > own.link));

interface Known {
  entry: LaneEntry;
  heardAtMs: number;
}

export function openLaneBook(nc: NatsConnection, log: Log): LaneBook {
  return new FollowedLanes(nc, log);
}

class FollowedLanes implements LaneBook {
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #lanes = new Map<string, Known>();
  readonly #listeners = new Set<(entry: LaneEntry) => void>();
  readonly #watch: ReturnType<typeof watchBucket>;
  readonly #timer: NodeJS.Timeout;
  #kv: KV | undefined;

  constructor(nc: NatsConnection, log: Log) {
    this.#nc = nc;
    this.#log = log;
    this.#watch = watchBucket(nc, SPEC, {
      log,
      onEntry: ({ key, value, revision }) => {
        // What a server forgot that has restarted is said again by its gateway, or swept away.
        if (value !== undefined || revision > 0) this.#take(key, value);
      },
    });
    this.#timer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
  }

  get(deviceId: string): LaneEntry | undefined {
    return this.#lanes.get(deviceId)?.entry;
  }

  list(organisation?: string): LaneEntry[] {
    return [...this.#lanes.values()].flatMap(({ entry }) =>
      organisation === undefined || entry.organisation === organisation ? [entry] : [],
    );
  }

  put(entry: LaneEntry): Promise<boolean> {
    return this.#write("a lane's entry", (kv) =>
      kv.put(entry.deviceId, JSON.stringify(entry), { timeout: WRITE_TIMEOUT_MS }),
    );
  }

  remove(deviceId: string, link: string): Promise<boolean> {
    return this.#write("a lane's farewell", async (kv) => {
      const found = await kv.get(deviceId);
      if (found?.operation !== "PUT" || readLane(deviceId, found.value)?.link !== link) return;
      await kv.delete(deviceId, { previousSeq: found.revision }).catch((error: unknown) => {
        if (!isLostRace(error)) throw error; // a newer link has written meanwhile
      });
    });
  }

  onEntry(listener: (entry: LaneEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#listeners.clear();
    await this.#watch.stop();
  }

  #take(deviceId: string, value: Uint8Array | undefined): void {
    if (value === undefined) {
      this.#lanes.delete(deviceId);
      return;
    }
    const entry = readLane(deviceId, value);
    if (entry === undefined) {
      this.#log.error({ device: deviceId }, "no lane in this value");
      return;
    }
    this.#lanes.set(deviceId, { entry, heardAtMs: performance.now() });
    for (const listener of this.#listeners) listener(entry);
  }

  #sweep(): void {
    if (!this.#watch.current()) return;
    for (const [deviceId, { heardAtMs }] of this.#lanes) {
      if (performance.now() - heardAtMs > LANE_TTL_MS) this.#lanes.delete(deviceId);
    }
  }

  async #write(what: string, act: (kv: KV) => Promise<unknown>): Promise<boolean> {
    try {
      this.#kv ??= await openBucket(this.#nc, SPEC);
      await act(this.#kv);
      return true;
    } catch (error) {
      this.#kv = undefined;
      this.#log.warn({ error: String(error) }, `${what} was not written`);
      return false;
    }
  }
}

function readLane(deviceId: string, value: Uint8Array): LaneEntry | undefined {
  const parsed = laneEntry.safeParse(parseJson(value));
  return parsed.success && parsed.data.deviceId === deviceId ? parsed.data : undefined;
}
