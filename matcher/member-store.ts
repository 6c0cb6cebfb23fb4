// The members of a thread's shards on its disk, in LMDB: a row each, a tombstone for each erased one, and how far every
// shard has read the log.
//
// Invariants:
// - a row holds ciphertext only; nothing in this store opens it;
// - rows and the sequences that they stand for are written in one transaction, flushed on return: a restart goes on where
//   the disk stopped;
// - events may come again, in their order: one that a row or tombstone has seen changes nothing;
// - of an erased member the tombstone keeps the id and where it was; an event that comes after it changes nothing;
// - a shard that is wiped leaves no row, no tombstone and no sequence; one whose wiping was cut short has no sequence
//   left that stands for rows which are gone;
// - a quota refuses what adds, never what only erases.
import { openView, type TableEntry, type View, type ViewApplied, type ViewTables } from "../records/index.js";
import { bus, decode, encode } from "../wire/codec.js";
import { SHARDS, type ShardSet } from "../wire/shard.js";
import type { Change } from "./member-changes.js";
import type { Slices } from "./slices.js";

/** Member id in hex -> three numbers of 8 bytes (see HEAD_BYTES), then a bus.MemberEvent with the sealed `enrolled`. */
const ROWS = "members";
/** Member id in hex -> a bus.MemberEvent that says where the erased member was. */
const TOMBSTONES = "erased";
/** One entry: for each shard 8 bytes: 0 where it is not held, else the sequence that it has reached, plus 1. */
const POSITIONS = "positions";
const POSITIONS_KEY = "positions";
const POSITION_BYTES = 8;
/** Revision, sequence of the enrolment, and when the log stored that: big-endian. */
const HEAD_BYTES = 24;
/** A row's key, and what LMDB adds to each. */
const ENTRY_OVERHEAD_BYTES = 64;
const WIPED_AT_ONCE = 64;

export interface MemberRow {
  organisation: string;
  gallery: string;
  /** Sequence of the member's last event in MEMBERS. */
  revision: number;
  enrolledSequence: number;
  enrolledUnixMs: number;
  templates: readonly bus.ITemplate[];
  profile: bus.ISealed | null | undefined;
}

export interface Tombstone {
  organisation: string;
  gallery: string;
}

export interface MemberStoreOptions {
  /** A directory of this store's own; made if it is not there. */
  path: string;
  mapSizeBytes: number | undefined;
}

export class MemberStore {
  readonly #view: View;

  /** Throws when the path cannot be opened. */
  constructor({ path, mapSizeBytes }: MemberStoreOptions) {
    this.#view = openView({ path, ...(mapSizeBytes === undefined ? {} : { mapSizeBytes }) });
  }

  /** Shards held, with the sequence that each has reached: 0 for nothing yet. */
  positions(): Map<number, number> {
    return positionsIn(this.#view.table(POSITIONS).get(POSITIONS_KEY));
  }

  row(member: string): MemberRow | undefined {
    return readRow(this.#view.table(ROWS).get(member));
  }

  tombstone(member: string): Tombstone | undefined {
    const value = this.#view.table(TOMBSTONES).get(member);
    return value && decode(bus.MemberEvent, value);
  }

  /** Members of a shard; more may be added while the caller thinks. */
  *rows(shard: number): IterableIterator<{ member: string; row: MemberRow }> {
    for (const { key, value } of this.#entries(ROWS, shard)) {
      const row = readRow(value);
      if (row !== undefined) yield { member: key, row };
    }
  }

  /** Takes shards as held, before anything of them is read; those that are held already stay as they are. */
  hold(shards: Iterable<number>): ViewApplied {
    const positions = this.positions();
    const fresh = [...shards].filter((shard) => !positions.has(shard));
    if (fresh.length === 0) return { ok: true };
    for (const shard of fresh) positions.set(shard, 0);
    return this.#view.write(SHARDS * POSITION_BYTES, (tables) => putPositions(tables, positions));
  }

  /** Brings changes in, with the sequence that these shards have reached by them. */
  apply(changes: readonly Change[], shards: ShardSet, sequence: number): ViewApplied {
    // What erases adds nothing to speak of, and must never be refused by a quota.
    const adding = changes.filter(({ kind }) => kind !== "erased");
    const dataBytes = adding.reduce((sum, { bytes }) => sum + bytes + ENTRY_OVERHEAD_BYTES, 0);
    return this.#view.write(dataBytes, (tables) => {
      for (const change of changes) writeChange(tables, change);
      const positions = positionsIn(tables.table(POSITIONS).get(POSITIONS_KEY));
      for (const shard of shards) positions.set(shard, sequence);
      putPositions(tables, positions);
    });
  }

  /** Removes all of a shard, and last that it is held. Cut short, the shard has reached nothing and is read anew. */
  async wipe(shard: number, slices: Slices): Promise<ViewApplied> {
    const begun = this.#setPosition(shard, 0);
    if (!begun.ok) return begun;
    for (const table of [ROWS, TOMBSTONES]) {
      for (;;) {
        const keys = [...this.#entries(table, shard, WIPED_AT_ONCE)].map(({ key }) => key);
        if (keys.length === 0) break;
        const removed = this.#view.write(0, (tables) => {
          for (const key of keys) tables.table(table).remove(key);
        });
        if (!removed.ok) return removed;
        await slices.breathe();
      }
    }
    return this.#setPosition(shard, undefined);
  }

  /** @param sequence `undefined`: the shard is not held any more */
  #setPosition(shard: number, sequence: number | undefined): ViewApplied {
    const positions = this.positions();
    if (sequence === undefined) positions.delete(shard);
    else positions.set(shard, sequence);
    return this.#view.write(0, (tables) => putPositions(tables, positions));
  }

  close(): Promise<void> {
    return this.#view.close();
  }

  /** Ids begin with their shard, in hex: a shard is a range of keys. */
  #entries(table: string, shard: number, limit?: number): IterableIterator<TableEntry> {
    const start = shardPrefix(shard);
    const end = shard + 1 < SHARDS ? { end: shardPrefix(shard + 1) } : {};
    return this.#view.table(table).range({ start, ...end, ...(limit === undefined ? {} : { limit }) });
  }
}

const shardPrefix = (shard: number) => shard.toString(16).padStart(2, "0");

function writeChange(tables: ViewTables, change: Change): void {
  const rows = tables.table(ROWS);
  const tombstones = tables.table(TOMBSTONES);
  const { member, sequence, memberId, organisation, gallery } = change;
  if (tombstones.get(member) !== undefined) return;
  if (change.kind === "erased") {
    rows.remove(member);
    tombstones.put(member, encode(bus.MemberEvent, { memberId, organisation, gallery }));
    return;
  }
  const row = readRow(rows.get(member));
  if (row !== undefined && row.revision >= sequence) return;
  if (change.kind === "enrolled") {
    const { templates, profile, atUnixMs } = change;
    const enrolled = { enrolledSequence: sequence, enrolledUnixMs: atUnixMs };
    const fresh = { organisation, gallery, revision: sequence, ...enrolled, templates, profile };
    rows.put(member, encodeRow(memberId, fresh));
  } else if (row !== undefined) {
    rows.put(member, encodeRow(memberId, { ...row, revision: sequence, profile: change.profile }));
  }
}

function encodeRow(memberId: Uint8Array, row: MemberRow): Uint8Array {
  const { organisation, gallery, revision, enrolledSequence, enrolledUnixMs, profile } = row;
  const enrolled = { templates: [...row.templates], profile: profile ?? null };
  const body = encode(bus.MemberEvent, { memberId, organisation, gallery, enrolled });
  const value = Buffer.alloc(HEAD_BYTES + body.length);
  for (const [i, number] of [revision, enrolledSequence, enrolledUnixMs].entries()) {
    value.writeBigUInt64BE(BigInt(number), 8 * i);
  }
  value.set(body, HEAD_BYTES);
  return value;
}

function readRow(value: Uint8Array | undefined): MemberRow | undefined {
  if (value === undefined || value.length < HEAD_BYTES) return undefined;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  const event = decode(bus.MemberEvent, bytes.subarray(HEAD_BYTES));
  if (event === undefined) return undefined;
  const [revision = 0, enrolledSequence = 0, enrolledUnixMs = 0] = [0, 8, 16].map((at) =>
    Number(bytes.readBigUInt64BE(at)),
  );
  const { organisation, gallery, enrolled } = event;
  const templates = enrolled?.templates ?? [];
  const when = { revision, enrolledSequence, enrolledUnixMs };
  return { organisation, gallery, ...when, templates, profile: enrolled?.profile };
}

function positionsIn(value: Uint8Array | undefined): Map<number, number> {
  const positions = new Map<number, number>();
  if (value === undefined) return positions;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  for (let shard = 0; (shard + 1) * POSITION_BYTES <= bytes.length; shard++) {
    const stored = Number(bytes.readBigUInt64BE(shard * POSITION_BYTES));
    if (stored > 0) positions.set(shard, stored - 1);
  }
  return positions;
}

function putPositions(tables: ViewTables, positions: ReadonlyMap<number, number>): void {
  const bytes = Buffer.alloc(SHARDS * POSITION_BYTES);
  for (const [shard, sequence] of positions)
    bytes.writeBigUInt64BE(BigInt(sequence + 1), shard * POSITION_BYTES);
  tables.table(POSITIONS).put(POSITIONS_KEY, bytes);
}
