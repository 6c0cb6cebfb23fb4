// A view as another thread of its owner's process reads it, without ever waiting for a commit.
//
// Invariants:
// - one owner writes; it has opened the view and each table named here before, in this same process, and keeps them:
//   LMDB allows one environment for a file in a process, lmdb-js shares it, and the first to open it says whether it
//   can be written;
// - a reader writes nothing, not even an empty table;
// - reads of one turn of the event loop may all see one moment; after refresh() they see every commit made before it.
import { type Database, open, type RootDatabase } from "lmdb";
import { BYTES_IN_BYTES_OUT, MAX_DATABASES, SEQUENCES, sequenceIn } from "./view.js";
import { type ReadTable, tableOf } from "./view-table.js";

export interface ViewReader {
  /** Sequence of the last event of `source` that is applied and flushed, 0 at first. */
  sequence(source: string): number;
  /** Throws for a table that was not named when the reader was opened. */
  table(name: string): ReadTable;
  /** Lets go of the moment that reads see. */
  refresh(): void;
  close(): Promise<void>;
}

export interface ViewReaderOptions {
  /** The directory that openView() has. */
  path: string;
  tables: readonly string[];
}

/** Opens a view that is open for writing in another thread of this process. Throws when it or a table is not there. */
export function openViewReader({ path, tables }: ViewReaderOptions): ViewReader {
  const root: RootDatabase<Buffer, Buffer> = open({
    path,
    ...BYTES_IN_BYTES_OUT,
    readOnly: true,
    noSubdir: false,
    maxDbs: MAX_DATABASES,
    overlappingSync: false,
  });
  const openDatabase = (name: string) => {
    // lmdb-js gives undefined for a database that is not there, whatever its types say.
    const database: Database<Buffer, Buffer> | undefined = root.openDB({ name, ...BYTES_IN_BYTES_OUT });
    if (database === undefined) throw new Error(`the view ${path} has no table '${name}'`);
    return database;
  };
  const sequences = openDatabase(SEQUENCES);
  const opened = new Map(tables.map((name): [string, ReadTable] => [name, tableOf(openDatabase(name))]));
  return {
    sequence: (source) => sequenceIn(sequences, source),
    table: (name) => {
      const table = opened.get(name);
      if (table === undefined) throw new Error(`table '${name}' was not named when this reader was opened`);
      return table;
    },
    refresh: () => root.resetReadTxn(),
    close: () => root.close(),
  };
}
