// Small shared tables in NATS key-value buckets (galleries, workers): open, read whole, follow.
//
// Invariants:
// - following is a plain subscription on the bucket's subjects, so it survives reconnects by itself and needs no
//   consumer on the server; what it may miss, the reader's own rereading or the writers' heartbeats heal;
// - a bucket that is gone (memory buckets go with the server) is made again by whoever opens it.
import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";

export interface BucketSpec {
  name: string;
  storage: "file" | "memory";
  /** Keys vanish this long after their last write. Never, when left out. */
  ttlMs?: number;
}

const RETRY_WAIT_MS = 250;
/** What the server answers to a write on top of a revision that is no longer the last one. */
const WRONG_LAST_SEQUENCE = 10_071;

/** Makes the bucket, or opens it when it is there. Rejects when JetStream does not answer. */
export async function openBucket(nc: NatsConnection, { name, storage, ttlMs }: BucketSpec): Promise<KV> {
  return await new Kvm(nc).create(name, { storage, ...(ttlMs === undefined ? {} : { ttl: ttlMs }) });
}

/** All keys with their values as the server holds them now. Rejects when the bucket cannot be read. */
export async function readBucket(nc: NatsConnection, spec: BucketSpec): Promise<Map<string, Uint8Array>> {
  const kv = await openBucket(nc, spec);
  const manager = await jetstreamManager(nc, { checkAPI: false });
  const prefix = subjectPrefix(spec.name);
  const { state } = await manager.streams.info(`KV_${spec.name}`, { subjects_filter: `${prefix}>` });
  const values = new Map<string, Uint8Array>();
  for (const subject of Object.keys(state.subjects ?? {})) {
    const key = subject.slice(prefix.length);
    const entry = await kv.get(key);
    if (entry?.operation === "PUT") values.set(key, entry.value);
  }
  return values;
}

/** Whether a write failed because somebody else wrote the key first. */
export const isLostRace = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === WRONG_LAST_SEQUENCE;

/** Calls `onEntry` for every write; `undefined` means the key was deleted. @returns the function that ends it */
export function followBucket(
  nc: NatsConnection,
  name: string,
  onEntry: (key: string, value: Uint8Array | undefined) => void,
): () => void {
  const prefix = subjectPrefix(name);
  const subscription = nc.subscribe(`${prefix}>`, {
    callback: (error, message) => {
      if (error) return; // the connection itself reports it (wire/nats.ts)
      const deleted = (message.headers?.get("KV-Operation") ?? "") !== "";
      onEntry(message.subject.slice(prefix.length), deleted ? undefined : message.data);
    },
  });
  return () => {
    if (!subscription.isClosed()) subscription.unsubscribe();
  };
}

/** Repeats `attempt` while it rejects, until `deadlineMs` have passed; then rejects with the last error. */
export async function retried<T>(deadlineMs: number, attempt: () => Promise<T>): Promise<T> {
  const deadlineAt = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() + RETRY_WAIT_MS > deadlineAt) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_WAIT_MS));
    }
  }
}

const subjectPrefix = (name: string) => `$KV.${name}.`;
