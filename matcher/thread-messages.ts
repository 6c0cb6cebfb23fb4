// What the main thread and a search thread say to each other.
import type { Gallery, Organisation } from "../wire/directory.js";
import type { Engine } from "./index/engines.js";
import type { Identity } from "./serving.js";
import type { Counts } from "./tally.js";

/** Given to a thread at its start. */
export interface ThreadSettings {
  identity: Identity;
  natsUrl: string;
  masterKey: Uint8Array;
  /** Of the worker; the thread makes a folder of its own in it. */
  dataDir: string;
  engine: Engine;
  /** Of the worker, this one included. */
  threads: number;
  mapSizeBytes: number | undefined;
}

export type ToThread =
  /** What the directory says now. The first one comes before any other order. */
  | { type: "directory"; organisations: Organisation[]; galleries: Gallery[] }
  /** Whose searches it answers from now on; none: a spare's. */
  | { type: "row"; row: number | undefined }
  | { type: "open"; shards: number[] }
  | { type: "close"; shards: number[] }
  | { type: "stop" };

/** How things stand now, and everything since the last report. */
export interface ThreadReport extends Counts {
  /** Caught up and current, as a set. */
  ready: Uint8Array;
  templates: number;
  members: number;
  /** Least of all ready shards; 0 where there are none. */
  appliedSequence: number;
  lag: number;
  storeFull: boolean;
  /** Of the newest beat that all shards have applied; infinite before it; 0 where no shard is open. */
  beatAgeMs: number;
}

export type FromThread =
  /** The store is open; nothing is read in yet. @param held shards of which the disk holds anything */
  | { type: "started"; held: number[] }
  | { type: "report"; report: ThreadReport }
  | { type: "closed"; shards: number[] };
