// Who has which slot: KV palmgate_slots, claimed by compare-and-set.
//
// Invariants:
// - of several that claim one slot at a time, one gets it;
// - a claim outlives its worker's life: it is the worker's until another one takes it, or it releases it itself.
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, isLostRace, openBucket, watchBucket } from "../wire/bucket.js";
import { bus, decode, encode } from "../wire/codec.js";
import type { Log } from "../wire/log.js";
import { BUCKETS } from "../wire/subjects.js";
import { type Claim, type Slot, slotKey } from "./plan.js";

const SPEC: BucketSpec = { name: BUCKETS.slots, storage: "file" };
const KEY = /^(\d{1,3})\.(\d{1,3})$/;

export interface Claimant {
  workerId: string;
  instance: string;
  /** Log's clock. */
  claimedUnixMs: number;
}

export interface Slots {
  claims(): Claim[];
  /** What is told here is all that was written until a moment ago. */
  current(): boolean;
  /** @param revision of the claim that is taken over; 0 where there is none. False: somebody was faster, or no answer */
  take(slot: Slot, revision: number, claimant: Claimant): Promise<boolean>;
  release(claim: Claim): Promise<boolean>;
  close(): Promise<void>;
}

/** Resolves when it has caught up. */
export async function openSlots(nc: NatsConnection, onChange: () => void, log: Log): Promise<Slots> {
  const claims = new Map<string, Claim>();
  const watch = watchBucket(nc, SPEC, {
    onEntry: ({ key, value, revision }) => {
      const claim = value && readClaim(key, value, revision);
      if (value !== undefined && claim === undefined) log.error({ slot: key }, "no claim in this value");
      if (claim === undefined) claims.delete(key);
      else claims.set(key, claim);
      onChange();
    },
    log,
  });
  await watch.caughtUp();
  const attempt = async (what: string, act: () => Promise<unknown>): Promise<boolean> => {
    try {
      await act();
      return true;
    } catch (error) {
      if (!isLostRace(error)) log.warn({ error: String(error) }, `${what} failed`);
      return false;
    }
  };
  return {
    claims: () => [...claims.values()],
    current: () => watch.current(),
    take: (slot, revision, claimant) =>
      attempt("claiming a slot", async () => {
        const kv = await openBucket(nc, SPEC);
        const [key, value] = [slotKey(slot), encode(bus.SlotClaim, claimant)];
        await (revision === 0 ? kv.create(key, value) : kv.update(key, value, revision));
      }),
    release: (claim) =>
      attempt("releasing a slot", async () => {
        const kv = await openBucket(nc, SPEC);
        await kv.delete(slotKey(claim), { previousSeq: claim.revision });
      }),
    close: () => watch.stop(),
  };
}

function readClaim(key: string, value: Uint8Array, revision: number): Claim | undefined {
  const [, row, slot] = KEY.exec(key) ?? [];
  const message = decode(bus.SlotClaim, value);
  if (row === undefined || slot === undefined || message === undefined || message.workerId === "")
    return undefined;
  return { row: Number(row), slot: Number(slot), workerId: message.workerId, revision };
}
