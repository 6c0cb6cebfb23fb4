// Which shard a member lives in: the same on every machine, for ever. And sets of shards, as they travel.

/** For the whole fleet, whatever the galleries: nobody has to choose, and nothing is ever dealt out anew. */
export const SHARDS = 256;
const SET_BYTES = SHARDS / 8;

/** Ids are uniformly random, so their first byte spreads evenly. @param memberId 16 bytes */
export const shardOf = (memberId: Uint8Array): number => memberId[0] ?? 0;

/** The slot that serves a shard, in every row. @param slots of a row, 1..256 */
export const slotOf = (shard: number, slots: number): number => shard % slots;

/** The thread of a worker that has a shard: the worker's shards are dealt over its threads in turn. */
export const threadOf = (shard: number, slots: number, threads: number): number =>
  Math.floor(shard / slots) % threads;

/** A set of shards as 32 bytes: shard 0 is the lowest bit of the first byte. */
export class ShardSet {
  readonly #bits: Uint8Array;

  constructor(shards: Iterable<number> = []) {
    this.#bits = new Uint8Array(SET_BYTES);
    for (const shard of shards) this.add(shard);
  }

  /** @param bytes 32 of them; empty or of another length: `undefined` */
  static from(bytes: Uint8Array | null | undefined): ShardSet | undefined {
    if (bytes?.length !== SET_BYTES) return undefined;
    const set = new ShardSet();
    set.#bits.set(bytes);
    return set;
  }

  static all(): ShardSet {
    const set = new ShardSet();
    set.#bits.fill(0xff);
    return set;
  }

  add(shard: number): void {
    const at = shard >> 3;
    this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (shard & 7));
  }

  delete(shard: number): void {
    const at = shard >> 3;
    this.#bits[at] = (this.#bits[at] ?? 0) & ~(1 << (shard & 7));
  }

  has(shard: number): boolean {
    return ((this.#bits[shard >> 3] ?? 0) & (1 << (shard & 7))) !== 0;
  }

  /** Adds all of another set. */
  addAll(other: ShardSet): void {
    for (let at = 0; at < SET_BYTES; at++) this.#bits[at] = (this.#bits[at] ?? 0) | (other.#bits[at] ?? 0);
  }

  /** Takes all of another set out. */
  deleteAll(other: ShardSet): void {
    for (let at = 0; at < SET_BYTES; at++) this.#bits[at] = (this.#bits[at] ?? 0) & ~(other.#bits[at] ?? 0);
  }

  /** Those that are in both, as a set of their own. */
  and(other: ShardSet): ShardSet {
    const both = new ShardSet();
    for (let at = 0; at < SET_BYTES; at++) both.#bits[at] = (this.#bits[at] ?? 0) & (other.#bits[at] ?? 0);
    return both;
  }

  hasAll(other: ShardSet): boolean {
    for (let at = 0; at < SET_BYTES; at++) {
      if (((other.#bits[at] ?? 0) & ~(this.#bits[at] ?? 0)) !== 0) return false;
    }
    return true;
  }

  get isEmpty(): boolean {
    return this.#bits.every((byte) => byte === 0);
  }

  copy(): ShardSet {
    const copy = new ShardSet();
    copy.#bits.set(this.#bits);
    return copy;
  }

  get size(): number {
    let count = 0;
    for (let byte of this.#bits) for (; byte !== 0; byte &= byte - 1) count++;
    return count;
  }

  *[Symbol.iterator](): IterableIterator<number> {
    for (let shard = 0; shard < SHARDS; shard++) if (this.has(shard)) yield shard;
  }

  /** A copy of its own. */
  bytes(): Uint8Array {
    return this.#bits.slice();
  }
}
