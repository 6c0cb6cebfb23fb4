// What a worker should do, given what it knows: which slot to claim, which shards to open, which to let go. Pure.
//
// Invariants:
// - a slot whose holder is heard is nobody else's to claim; a silent holder's is, at once where nobody else serves its
//   shards, and after DEAD_AFTER_MS where a twin does: a pause copies nothing;
// - a worker has one slot at most, and keeps it while the fleet has such a slot;
// - shards are let go only when their new holders say that they serve them; a moved shard that others serve is read anew
//   by the thread whose it is, one that nobody else serves stays where it is until it is;
// - the same knowledge always gives the same plan: it is made anew after every change.
import type { bus } from "../wire/codec.js";
import type { Fleet } from "../wire/directory.js";
import { FLEET_HEARTBEAT_TTL_MS } from "../wire/limits.js";
import { SHARDS, ShardSet, slotOf, threadOf } from "../wire/shard.js";

/** A silent worker whose shards a twin serves is waited for this long. */
export const DEAD_AFTER_MS = 180_000;
/** And one whose shards nobody serves, this long: heartbeats come each second. */
export const SILENT_AFTER_MS = FLEET_HEARTBEAT_TTL_MS;

export interface Slot {
  row: number;
  slot: number;
}

export interface Claim extends Slot {
  workerId: string;
  /** Of the key, for the next compare-and-set. */
  revision: number;
}

/** What is known of other workers: their newest heartbeats. One that is not here is silent. */
export type Workers = readonly bus.IWorkerState[];

export interface ClaimKnowledge {
  self: string;
  fleet: Fleet;
  claims: readonly Claim[];
  workers: Workers;
  /** Since that worker was last heard, or since we listen. */
  silentMs(workerId: string): number;
}

/** TAKE: on top of that revision, 0 for a slot that nobody has ever claimed. */
export type ClaimStep =
  | { kind: "KEEP"; claim: Claim }
  | { kind: "TAKE"; slot: Slot; revision: number; from: string | undefined }
  | { kind: "RELEASE"; claim: Claim }
  | { kind: "SPARE" };

export function planClaim({ self, fleet, claims, workers, silentMs }: ClaimKnowledge): ClaimStep {
  const inFleet = ({ row, slot }: Slot) => row < fleet.rows && slot < fleet.slots;
  const [own, second] = claims.filter(({ workerId }) => workerId === self);
  const excess = own !== undefined && !inFleet(own) ? own : second;
  if (excess !== undefined) return { kind: "RELEASE", claim: excess };
  if (own !== undefined) return { kind: "KEEP", claim: own };

  const claimOf = new Map(claims.map((claim) => [slotKey(claim), claim]));
  const heard = new Set(workers.map(({ workerId }) => workerId ?? ""));
  const served = readyShards(workers.filter(({ workerId }) => workerId !== self));
  const isServed = (slot: number) => shardsOf(slot, fleet.slots).every((shard) => served.has(shard));
  const open = allSlots(fleet).filter((slot) => {
    const holder = claimOf.get(slotKey(slot))?.workerId;
    if (holder === undefined) return true;
    if (heard.has(holder)) return false;
    return silentMs(holder) >= (isServed(slot.slot) ? DEAD_AFTER_MS : SILENT_AFTER_MS);
  });
  // Where nobody serves first; then row by row.
  const urgency = ({ slot }: Slot) => (isServed(slot) ? 1 : 0);
  const claimants = ({ slot }: Slot) =>
    claims.filter((claim) => claim.slot === slot && heard.has(claim.workerId)).length;
  const [best] = open.sort(
    (a, b) => urgency(a) - urgency(b) || claimants(a) - claimants(b) || a.row - b.row || a.slot - b.slot,
  );
  if (best === undefined) return { kind: "SPARE" };
  const former = claimOf.get(slotKey(best));
  return { kind: "TAKE", slot: best, revision: former?.revision ?? 0, from: former?.workerId };
}

export interface HeldShard {
  shard: number;
  thread: number;
  /** resting: on the disk from an earlier life, not read in. */
  state: "resting" | "open" | "ready" | "closing";
}

export interface ShardOrder {
  shard: number;
  thread: number;
}

export interface ShardKnowledge {
  self: string;
  fleet: Fleet;
  /** Ours; none: we are a spare. */
  slot: Slot | undefined;
  claims: readonly Claim[];
  workers: Workers;
  threads: number;
  held: readonly HeldShard[];
}

export interface ShardPlan {
  open: ShardOrder[];
  close: ShardOrder[];
}

export function planShards({ self, fleet, slot, claims, workers, threads, held }: ShardKnowledge): ShardPlan {
  const plan: ShardPlan = { open: [], close: [] };
  const others = workers.filter(({ workerId }) => workerId !== self);
  const served = readyShards(others);
  const isOurs = (shard: number) => slot !== undefined && slotOf(shard, fleet.slots) === slot.slot;
  const wantedThread = (shard: number) => threadOf(shard, fleet.slots, threads);
  const heirs = heirsOf({ self, fleet, slot, claims, workers });

  for (const { shard, thread, state } of held) {
    if (state === "closing") continue;
    const order = { shard, thread };
    const isMoved = isOurs(shard) && thread !== wantedThread(shard);
    const mayGo = isOurs(shard) ? isMoved && (state === "resting" || served.has(shard)) : heirs(shard);
    if (mayGo) plan.close.push(order);
    else if (state === "resting") plan.open.push(order);
  }
  const heldShards = new Set(held.map(({ shard }) => shard));
  for (let shard = 0; shard < SHARDS; shard++) {
    if (isOurs(shard) && !heldShards.has(shard)) plan.open.push({ shard, thread: wantedThread(shard) });
  }
  return plan;
}

/** Whether all whose a shard is now serve it: in our row, or in every row where we have none. */
function heirsOf({
  self,
  fleet,
  slot,
  claims,
  workers,
}: Pick<ShardKnowledge, "self" | "fleet" | "slot" | "claims" | "workers">): (shard: number) => boolean {
  const readyOf = new Map(workers.map((state) => [state.workerId ?? "", readyShards([state])]));
  const rows = slot === undefined ? Array.from({ length: fleet.rows }, (_, row) => row) : [slot.row];
  const claimOf = new Map(claims.map((claim) => [slotKey(claim), claim.workerId]));
  return (shard) =>
    rows.every((row) => {
      const heir = claimOf.get(slotKey({ row, slot: slotOf(shard, fleet.slots) }));
      return heir !== undefined && heir !== self && readyOf.get(heir)?.has(shard) === true;
    });
}

export const slotKey = ({ row, slot }: Slot): string => `${row}.${slot}`;

/** All shards that any of these workers serves. */
function readyShards(workers: Workers): ShardSet {
  const all = new ShardSet();
  for (const { shardsReady } of workers) all.addAll(ShardSet.from(shardsReady) ?? new ShardSet());
  return all;
}

function shardsOf(slot: number, slots: number): number[] {
  const shards: number[] = [];
  for (let shard = slot; shard < SHARDS; shard += slots) shards.push(shard);
  return shards;
}

function allSlots({ rows, slots }: Fleet): Slot[] {
  return Array.from({ length: rows * slots }, (_, i) => ({ row: Math.floor(i / slots), slot: i % slots }));
}
