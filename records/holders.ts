// Which workers may hold anything of which shards: what an erasure waits for. Not a hint: the record itself.
//
// Invariants:
// - a worker stands here before the first byte of a shard is read, and until the last one is gone; only it itself, or an
//   operator who says that it is gone for good (`forget`), takes it away;
// - holdersOf() answers from the bucket's leader, or throws: never from memory, never a part;
// - of two who change one worker's entry at once, none loses the other's shards.
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, isLostRace, openBucket, readBucket } from "../wire/bucket.js";
import { bus, decode, encode } from "../wire/codec.js";
import { ShardSet } from "../wire/shard.js";
import { BUCKETS } from "../wire/subjects.js";
import { LogUnavailableError } from "./event.js";

const SPEC: BucketSpec = { name: BUCKETS.holders, storage: "file" };
/** Writers that are faster than we are, in a row. */
const MAX_RACES = 32;

export interface Holders {
  /** From here on the worker may hold these shards too. Throws LogUnavailableError. */
  widen(workerId: string, shards: ShardSet): Promise<void>;
  /** Nothing of these shards is left with the worker. Throws LogUnavailableError. */
  narrow(workerId: string, shards: ShardSet): Promise<void>;
  /** Ids of all that may hold anything of the shard. Throws LogUnavailableError. */
  holdersOf(shard: number): Promise<string[]>;
  /** Every worker's shards. Throws LogUnavailableError. */
  all(): Promise<Map<string, ShardSet>>;
  /** The worker is gone for good, with all that it held. Throws LogUnavailableError. */
  forget(workerId: string): Promise<void>;
}

/** @param nowUnixMs the log's clock */
export function openHolders(nc: NatsConnection, nowUnixMs: () => number): Holders {
  const all = () => reading(() => readHolders(nc));
  return {
    widen: (workerId, shards) =>
      reading(() =>
        change(nc, workerId, nowUnixMs, (held) => {
          held.addAll(shards);
        }),
      ),
    narrow: (workerId, shards) =>
      reading(() =>
        change(nc, workerId, nowUnixMs, (held) => {
          for (const shard of shards) held.delete(shard);
        }),
      ),
    forget: (workerId) =>
      reading(() =>
        change(nc, workerId, nowUnixMs, (held) => {
          for (const shard of [...held]) held.delete(shard);
        }),
      ),
    all,
    holdersOf: async (shard) =>
      [...(await all())].flatMap(([workerId, held]) => (held.has(shard) ? [workerId] : [])).sort(),
  };
}

async function readHolders(nc: NatsConnection): Promise<Map<string, ShardSet>> {
  const holders = new Map<string, ShardSet>();
  for (const [workerId, value] of await readBucket(nc, SPEC))
    holders.set(workerId, shardsIn(workerId, value));
  return holders;
}

/** An entry that cannot be read may hold anything: it counts as all shards. */
function shardsIn(workerId: string, value: Uint8Array): ShardSet {
  const holder = decode(bus.Holder, value);
  return (holder?.workerId === workerId ? ShardSet.from(holder.shards) : undefined) ?? ShardSet.all();
}

async function change(
  nc: NatsConnection,
  workerId: string,
  nowUnixMs: () => number,
  alter: (held: ShardSet) => void,
): Promise<void> {
  const kv = await openBucket(nc, SPEC);
  for (let races = 0; races < MAX_RACES; races++) {
    try {
      return await changeOnce(kv, workerId, nowUnixMs, alter);
    } catch (error) {
      if (!isLostRace(error)) throw error;
    }
  }
  throw new Error(`the shards of worker ${workerId} keep changing`);
}

async function changeOnce(
  kv: KV,
  workerId: string,
  nowUnixMs: () => number,
  alter: (held: ShardSet) => void,
): Promise<void> {
  const found = await kv.get(workerId);
  const before = found?.operation === "PUT" ? shardsIn(workerId, found.value) : new ShardSet();
  const held = new ShardSet(before);
  alter(held);
  if (held.size === before.size && [...before].every((shard) => held.has(shard))) return;
  const previousSeq = found?.revision ?? 0;
  if (held.size === 0) await kv.delete(workerId, { previousSeq });
  else {
    const value = encode(bus.Holder, { workerId, shards: held.bytes(), sinceUnixMs: nowUnixMs() });
    await kv.put(workerId, value, { previousSeq });
  }
}

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new LogUnavailableError(`holders: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
