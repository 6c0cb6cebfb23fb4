// A local view of a part of the log, in LMDB. What it means is its owner's: `apply` hands each event to the owner and
// keeps what the owner writes together with the sequence reached, in one transaction.
//
// Invariants:
// - an event at or below the sequence reached is skipped: applying twice changes nothing;
// - a batch is applied whole, with its sequence, or not at all: a restart goes on where the disk stopped;
// - apply() resolves after the bytes are flushed to the disk (LMDB commits with fsync; no overlapping sync);
// - a full disk or quota is an answer, not an exception, and leaves the view readable and as it was;
// - what a read returns is the caller's own copy.
//
// lmdb-js grows its map by itself (it never says MDB_MAP_FULL), so the quota is kept here, on the size of the file.
// Its asynchronous transactions neither roll back a callback that throws nor say why a commit failed: hence the
// synchronous ones, at the price of blocking the thread for one commit of a bounded batch: a thread that has other
// things to do lets another one own the view, and reads it with openViewReader().
import { type Database, open, type RootDatabase } from "lmdb";
import type { LogEvent } from "./event.js";
import { type ReadTable, tableOf, type WriteTable } from "./view-table.js";

export type ViewTable = ReadTable;

export interface ViewTables {
  /** The table of that name, to be changed by the event being applied. Sees what was written before. */
  table(name: string): WriteTable;
}

export type ViewApplied = { ok: true } | { ok: false; code: "STORE_FULL"; detail: string };

export interface View {
  /** Sequence of the last event of `source` that is applied and flushed, 0 at first. */
  sequence(source: string): number;
  /** Applies the events of one source, in their order. `applyOne` must be synchronous; what it throws undoes the batch. */
  apply(
    source: string,
    events: readonly LogEvent[],
    applyOne: (event: LogEvent, tables: ViewTables) => void,
  ): Promise<ViewApplied>;
  /**
   * Changes tables in one transaction, flushed on return. `change` must be synchronous; what it throws undoes it.
   * @param dataBytes about how many bytes it adds: asked of the quota, which never refuses what adds none
   */
  write(dataBytes: number, change: (tables: ViewTables) => void): ViewApplied;
  /** The table of that name as it is now. */
  table(name: string): ViewTable;
  close(): Promise<void>;
}

export interface ViewOptions {
  /** A directory of this view's own; made if it is not there. */
  path: string;
  /** Quota of the data file; without it, the disk is the limit. */
  mapSizeBytes?: number;
}

const MAX_TABLES = 32;
/** The tables, and the sequences. */
export const MAX_DATABASES = MAX_TABLES + 1;
/** Holds the sequences; its name cannot be a table's. */
export const SEQUENCES = "\u0000sequences";
export const BYTES_IN_BYTES_OUT = { encoding: "binary", keyEncoding: "binary" } as const;
/** Pages that any transaction rewrites on its way to the root, besides those of the data. */
const PATH_PAGES = 16;
const PAGE_OVERHEAD_BYTES = 64;
/** EIO (LMDB's word for a write cut short by a full disk), EFBIG, ENOSPC, EDQUOT, MDB_MAP_FULL. */
const NO_ROOM = new Set<unknown>([5, 27, 28, 122, -30792]);

/** Opens or makes a view. Throws when the path cannot be opened. */
export function openView(options: ViewOptions): View {
  return new LmdbView(options);
}

type Bytes = Database<Buffer, Buffer>;

class LmdbView implements View {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #maxBytes: number;
  readonly #sequences: Bytes;
  readonly #databases = new Map<string, Bytes>();

  constructor({ path, mapSizeBytes }: ViewOptions) {
    this.#maxBytes = mapSizeBytes ?? Number.POSITIVE_INFINITY;
    this.#root = open({
      path,
      noSubdir: false,
      ...BYTES_IN_BYTES_OUT,
      maxDbs: MAX_DATABASES,
      overlappingSync: false,
      noMemInit: false,
    });
    this.#sequences = this.#openDatabase(SEQUENCES);
  }

  sequence(source: string): number {
    return sequenceIn(this.#sequences, source);
  }

  async apply(
    source: string,
    events: readonly LogEvent[],
    applyOne: (event: LogEvent, tables: ViewTables) => void,
  ): Promise<ViewApplied> {
    const fresh = this.#fresh(source, events);
    const last = fresh.at(-1);
    if (last === undefined) return { ok: true };
    const dataBytes = fresh.reduce((sum, { body }) => sum + body.length + PAGE_OVERHEAD_BYTES, 0);
    return this.write(dataBytes, (tables) => {
      for (const event of fresh) applyOne(event, tables);
      const sequence = Buffer.alloc(8);
      sequence.writeBigUInt64BE(BigInt(last.sequence));
      this.#sequences.putSync(Buffer.from(source, "utf8"), sequence);
    });
  }

  write(dataBytes: number, change: (tables: ViewTables) => void): ViewApplied {
    if (!this.#hasRoom(dataBytes)) {
      return {
        ok: false,
        code: "STORE_FULL",
        detail: `the view's quota of ${this.#maxBytes} bytes is used up`,
      };
    }
    const openBefore = new Set(this.#databases.keys());
    try {
      // Without flags: abortable, and both committed and flushed on return.
      this.#root.transactionSync(() => change({ table: (name) => tableOf(this.#database(name)) }));
      return { ok: true };
    } catch (error) {
      // A table first opened in a transaction that was undone is not there.
      for (const name of this.#databases.keys()) if (!openBefore.has(name)) this.#databases.delete(name);
      if (error instanceof Error && "code" in error && NO_ROOM.has(error.code)) {
        return { ok: false, code: "STORE_FULL", detail: error.message };
      }
      throw error;
    }
  }

  table(name: string): ViewTable {
    return tableOf(this.#database(name));
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  /** The events not applied yet. Throws when they are out of order: that is a bug, and applying them would lose one. */
  #fresh(source: string, events: readonly LogEvent[]): LogEvent[] {
    let reached = this.sequence(source);
    const fresh = events.filter((event) => event.sequence > reached);
    for (const { sequence } of fresh) {
      if (sequence <= reached)
        throw new Error(`events of ${source} are out of order at sequence ${sequence}`);
      reached = sequence;
    }
    return fresh;
  }

  #hasRoom(dataBytes: number): boolean {
    if (this.#maxBytes === Number.POSITIVE_INFINITY || dataBytes === 0) return true;
    const { pageSize, lastPageNumber } = this.#root.getStats() as {
      pageSize: number;
      lastPageNumber: number;
    };
    const wantedPages = Math.ceil(dataBytes / pageSize) + PATH_PAGES;
    return (lastPageNumber + 1 + wantedPages) * pageSize <= this.#maxBytes;
  }

  #database(name: string): Bytes {
    if (name === SEQUENCES) throw new Error("this name is the view's own");
    const known = this.#databases.get(name);
    if (known) return known;
    if (this.#databases.size === MAX_TABLES) throw new Error(`a view has at most ${MAX_TABLES} tables`);
    const opened = this.#openDatabase(name);
    this.#databases.set(name, opened);
    return opened;
  }

  #openDatabase(name: string): Bytes {
    return this.#root.openDB<Buffer, Buffer>({ name, ...BYTES_IN_BYTES_OUT });
  }
}

/** The sequence reached, as the view's own table of sequences has it. */
export function sequenceIn(sequences: Bytes, source: string): number {
  const stored = sequences.getBinary(Buffer.from(source, "utf8"));
  return stored === undefined ? 0 : Number(stored.readBigUInt64BE());
}
