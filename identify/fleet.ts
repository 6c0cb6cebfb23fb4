// Who serves what: the fleet by rows and slots, as the workers' heartbeats tell it. A hint: it says whom to ask, never
// who somebody is. What an answer says of itself is what counts.
//
// Invariants:
// - a worker serves what it says it is ready for and its slot allows, each thread its own shards;
// - beyond its slot it serves what it has not let go yet and nobody else in its row serves (while slots are dealt out anew),
//   a worker without a slot what no row serves;
// - workers that say nothing of their threads' shards and have no slot, or one of another shape of the fleet, and workers
//   that have fallen silent, serve nothing.
import type { NatsConnection } from "@nats-io/transport-node";
import type { bus } from "../wire/codec.js";
import type { Directory } from "../wire/directory.js";
import type { Log } from "../wire/log.js";
import { SHARDS, ShardSet, slotOf, threadOf } from "../wire/shard.js";
import { watchWorkers } from "../wire/workers.js";

/** More threads than any worker has. */
const MAX_THREADS = 256;

/** A worker that answers for shards. */
export interface Server {
  id: string;
  /** Of its process: handles are of this life alone. */
  instance: string;
  /** `undefined`: a spare, that still has what those whose it is do not serve yet. */
  row: number | undefined;
  /** Shards that it answers for now. */
  ready: ShardSet;
  /** Shards of each thread, ready or not. */
  threads: readonly ShardSet[];
}

export interface Row {
  row: number;
  servers: readonly Server[];
  /** What all of them together answer for. */
  ready: ShardSet;
}

export interface Readiness {
  /** All shards there are; 0 while the directory knows no fleet. */
  expected: number;
  /** Shards that somebody answers for. */
  served: number;
  /** Copies of shards that the rows should have and nobody answers for. */
  missingReplicas: number;
}

export interface Fleet {
  /** Every row of the fleet, also those without a worker. */
  rows(): readonly Row[];
  /** Ready for this shard: one of each row, and two in the moment in which a slot goes from one to the other. */
  servers(shard: number): readonly Server[];
  server(workerId: string): Server | undefined;
  ready(): Readiness;
  /** What each worker said last. */
  workers(): readonly bus.WorkerState[];
  /** After every change. @returns ends it */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}

/** Follows the workers' heartbeats. Resolves when those that are known now have been read. */
export async function openFleet(
  nc: NatsConnection,
  directory: Pick<Directory, "fleet" | "onChange">,
  log: Log,
): Promise<Fleet> {
  const listeners = new Set<() => void>();
  let states: readonly bus.WorkerState[] = [];
  let view = viewOf(directory.fleet(), states);
  const renew = () => {
    view = viewOf(directory.fleet(), states);
    for (const listener of listeners) listener();
  };
  const unfollow = directory.onChange(renew);
  const watch = await new Promise<ReturnType<typeof watchWorkers>>((resolve) => {
    const opened = watchWorkers(
      nc,
      (said) => {
        states = said;
        renew();
        resolve(opened);
      },
      log,
    );
  });
  return {
    rows: () => view.rows,
    servers: (shard) => view.byShard[shard] ?? [],
    server: (workerId) => view.byId.get(workerId),
    ready: () => view.readiness,
    workers: () => states,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      unfollow();
      await watch.stop();
    },
  };
}

export interface FleetView {
  rows: readonly Row[];
  byShard: readonly (readonly Server[])[];
  byId: ReadonlyMap<string, Server>;
  readiness: Readiness;
}

/** Pure. @param shape `undefined`: the directory knows no fleet yet, and nobody serves anything */
export function viewOf(
  shape: { rows: number; slots: number } | undefined,
  states: readonly bus.WorkerState[],
): FleetView {
  if (shape === undefined) {
    return {
      rows: [],
      byShard: [],
      byId: new Map(),
      readiness: { expected: 0, served: 0, missingReplicas: 0 },
    };
  }
  const workers = states.flatMap((state) => workerOf(state, shape) ?? []);
  const rows = Array.from({ length: shape.rows }, (_, row): Row => {
    const own = workers.filter((worker) => worker.server.row === row);
    const ready = new ShardSet();
    for (const { server } of own) ready.addAll(server.ready);
    for (const worker of own) takeOver(worker, ready);
    return { row, servers: own.map(({ server }) => server), ready };
  });
  const served = new ShardSet();
  for (const { ready } of rows) served.addAll(ready);
  for (const worker of workers) if (worker.server.row === undefined) takeOver(worker, served);
  const servers = workers.map(({ server }) => server);
  const byShard = Array.from({ length: SHARDS }, (_, shard) =>
    servers.filter(({ ready }) => ready.has(shard)),
  );
  return {
    rows,
    byShard,
    byId: new Map(servers.map((server) => [server.id, server])),
    readiness: {
      expected: SHARDS,
      served: byShard.filter((those) => those.length > 0).length,
      missingReplicas: rows.reduce((sum, { ready }) => sum + SHARDS - ready.size, 0),
    },
  };
}

interface Worker {
  server: Server;
  /** Ready, and not of its slot. */
  beyond: ShardSet;
  /** What it says that its threads have. */
  has: readonly ShardSet[];
}

/** Gives a worker those shards beyond its slot that nobody serves. */
function takeOver({ server, beyond, has }: Worker, served: ShardSet): void {
  const more = beyond.copy();
  more.deleteAll(served);
  server.ready.addAll(more);
  served.addAll(more);
  for (const [thread, own] of server.threads.entries()) {
    const those = has[thread]?.and(more);
    if (those !== undefined) own.addAll(those);
  }
}

function workerOf(state: bus.WorkerState, shape: { rows: number; slots: number }): Worker | undefined {
  const { workerId: id, instance, row, slot, threads, shardsReady, threadShards } = state;
  if (threads < 1 || threads > MAX_THREADS) return undefined;
  const hasSlot = state.hasSlot && row < shape.rows && slot < shape.slots;
  const has = threadShards.flatMap((bytes) => ShardSet.from(bytes) ?? []);
  const isTold = has.length === threads;
  if (!hasSlot && !isTold) return undefined;
  const said = ShardSet.from(shardsReady) ?? new ShardSet();
  const ofSlot = new ShardSet();
  const ofThreads = Array.from({ length: threads }, () => new ShardSet());
  for (let shard = 0; shard < SHARDS; shard++) {
    if (!hasSlot || slotOf(shard, shape.slots) !== slot) continue;
    ofSlot.add(shard);
    if (!isTold) ofThreads[threadOf(shard, shape.slots, threads)]?.add(shard);
  }
  for (const [thread, own] of isTold ? has.entries() : []) ofThreads[thread]?.addAll(own.and(ofSlot));
  const beyond = said.copy();
  beyond.deleteAll(ofSlot);
  const server: Server = {
    ...{ id, instance, row: hasSlot ? row : undefined, ready: ofSlot.and(said), threads: ofThreads },
  };
  return { server, beyond: isTold ? beyond : new ShardSet(), has };
}
