// The shards of one search: which are still open, who was asked for which, and who is being waited for.
//
// Invariants:
// - no worker is proposed twice for a shard, nor one that is silent;
// - who is late is told once.
import { ShardSet } from "../wire/shard.js";
import type { Fleet, Server } from "./fleet.js";
import type { Silence } from "./silence.js";

/** A thread that owes an answer. */
interface Waiting {
  server: Server;
  shards: ShardSet;
  sinceMs: number;
  late: boolean;
}

export class Coverage {
  /** Nobody has answered for them yet. */
  readonly open = ShardSet.all();
  readonly #fleet: Pick<Fleet, "servers">;
  readonly #silence: Silence;
  /** By ask, worker and thread. */
  readonly #waiting = new Map<string, Waiting>();
  /** What each worker was asked for. */
  readonly #asked = new Map<string, ShardSet>();

  constructor(fleet: Pick<Fleet, "servers">, silence: Silence) {
    this.#fleet = fleet;
    this.#silence = silence;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  isSilent({ id }: Server): boolean {
    return this.#silence.silent(id, performance.now());
  }

  /** This worker was asked for these shards. @param ask names the message */
  expect(ask: string, server: Server, shards: ShardSet): void {
    const asked = this.#asked.get(server.id) ?? new ShardSet();
    asked.addAll(shards);
    this.#asked.set(server.id, asked);
    const sinceMs = performance.now();
    for (const [thread, own] of server.threads.entries()) {
      const those = own.and(shards);
      if (those.isEmpty) continue;
      this.#waiting.set(keyOf(ask, server.id, thread), { server, shards: those, sinceMs, late: false });
    }
  }

  /** A thread has answered. @returns what it was asked for */
  answered(ask: string, workerId: string, thread: number): ShardSet {
    const key = keyOf(ask, workerId, thread);
    const { shards = new ShardSet() } = this.#waiting.get(key) ?? {};
    this.#waiting.delete(key);
    return shards;
  }

  /** Nobody heard this ask. @returns what was asked for by it */
  gone(ask: string): ShardSet {
    const gone = new ShardSet();
    for (const [key, { shards }] of this.#waiting) {
      if (!key.startsWith(`${ask}/`)) continue;
      gone.addAll(shards);
      this.#waiting.delete(key);
    }
    return gone;
  }

  /** @returns what was asked before that time and has not been answered, and was not told before */
  late(sinceMs: number): ShardSet {
    const late = new ShardSet();
    for (const waiting of this.#waiting.values()) {
      if (waiting.late || waiting.sinceMs > sinceMs) continue;
      waiting.late = true;
      this.#silence.missed(waiting.server.id, performance.now());
      late.addAll(waiting.shards);
    }
    return late;
  }

  /** Who else can be asked for those of these shards that are open. */
  elsewhere(shards: ShardSet): Map<Server, ShardSet> {
    const wanted = new Map<Server, ShardSet>();
    if (shards.isEmpty) return wanted;
    for (const shard of shards.and(this.open)) {
      const server = this.#anotherFor(shard);
      if (server === undefined) continue;
      const those = wanted.get(server) ?? new ShardSet();
      those.add(shard);
      wanted.set(server, those);
    }
    return wanted;
  }

  /** Whether every one of these shards can be asked of somebody else. */
  hasOthersFor(shards: ShardSet): boolean {
    return [...shards].every((shard) => this.#anotherFor(shard) !== undefined);
  }

  #anotherFor(shard: number): Server | undefined {
    return this.#fleet
      .servers(shard)
      .find((server) => !this.#asked.get(server.id)?.has(shard) && !this.isSilent(server));
  }
}

const keyOf = (ask: string, workerId: string, thread: number) => `${ask}/${workerId}/${thread}`;
