// What the main thread and a partition thread say to each other.
import type { DataKeyRefusal } from "../records/index.js";
import type { Gallery } from "../wire/galleries.js";
import type { Engine } from "./index/engines.js";
import type { SkipReason } from "./member-changes.js";
import type { PartitionRef } from "./plan.js";
import type { SearchStatusName } from "./search-request.js";

/** Given to a thread at its start. */
export interface ThreadSettings {
  name: string;
  natsUrl: string;
  masterKey: Uint8Array;
  workerId: string;
  dataDir: string;
  engine: Engine;
  mapSizeBytes: number | undefined;
}

export type ToThread =
  | { type: "open"; gallery: Gallery; partition: number }
  | { type: "close"; ref: PartitionRef }
  | { type: "stop" };

export interface PartitionReport extends PartitionRef {
  /** Caught up and subscribed. */
  ready: boolean;
  templates: number;
  members: number;
  appliedSequence: number;
  lag: number;
  storeFull: boolean;
}

/** Everything since the last report, and how things stand now. */
export interface ThreadReport {
  partitions: PartitionReport[];
  searches: Record<SearchStatusName, number>;
  /** How long each of them took. */
  searchMs: Float32Array;
  eventsApplied: number;
  skipped: Record<SkipReason, number>;
  refusedKeys: Record<DataKeyRefusal, number>;
}

export type FromThread = { type: "report"; report: ThreadReport } | { type: "closed"; ref: PartitionRef };
