// One table of a view: keys are strings, in the order of their UTF-8 bytes; values are bytes.
//
// Invariants:
// - what comes out is a copy: it stays as it is when the table changes;
// - range() holds no LMDB read transaction while its caller thinks: it reads in pages, each from the table as it is then.
import type { Database } from "lmdb";

export interface RangeOptions {
  /** First key wanted, itself included; with `reverse` the walk goes down from here. */
  start?: string;
  /** Where the walk ends, itself excluded. */
  end?: string;
  limit?: number;
  reverse?: boolean;
}

export interface TableEntry {
  key: string;
  value: Uint8Array;
}

export interface ReadTable {
  get(key: string): Uint8Array | undefined;
  range(options?: RangeOptions): IterableIterator<TableEntry>;
  /** Number of entries. */
  count(): number;
}

export interface WriteTable extends ReadTable {
  /** @param key 1..1900 bytes of UTF-8 */
  put(key: string, value: Uint8Array): void;
  remove(key: string): void;
}

const PAGE_ENTRIES = 256;
const AFTER_EVERY_KEY = Buffer.alloc(1978, 0xff);

type Bytes = Database<Buffer, Buffer>;

const keyBytes = (key: string) => Buffer.from(key, "utf8");

export function tableOf(database: Bytes): WriteTable {
  return {
    get: (key) => database.getBinary(keyBytes(key)),
    range: (options = {}) => walk(database, options),
    count: () => (database.getStats() as { entryCount: number }).entryCount,
    put: (key, value) => {
      database.putSync(keyBytes(key), Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    },
    remove: (key) => {
      database.removeSync(keyBytes(key));
    },
  };
}

function* walk(database: Bytes, options: RangeOptions): IterableIterator<TableEntry> {
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  let after: Buffer | undefined;
  while (left > 0) {
    const page = readPage(database, options, after, Math.min(left, PAGE_ENTRIES));
    for (const { key, value } of page) yield { key: key.toString("utf8"), value };
    left -= page.length;
    after = page.at(-1)?.key;
    if (page.length < PAGE_ENTRIES) return;
  }
}

function readPage(
  database: Bytes,
  { start, end, reverse = false }: RangeOptions,
  after: Buffer | undefined,
  limit: number,
): { key: Buffer; value: Buffer }[] {
  const first = reverse ? AFTER_EVERY_KEY : Buffer.alloc(0);
  const last = reverse ? Buffer.alloc(0) : undefined;
  const stop = end === undefined ? last : keyBytes(end);
  const entries = database.getRange({
    start: after ?? (start === undefined ? first : keyBytes(start)),
    ...(stop === undefined ? {} : { end: stop }),
    reverse,
    limit: limit + 1,
  });
  const page: { key: Buffer; value: Buffer }[] = [];
  for (const { key, value } of entries) {
    if (after?.equals(key) || page.length === limit) continue;
    page.push({ key: Buffer.from(key), value: Buffer.from(value) });
  }
  return page;
}
