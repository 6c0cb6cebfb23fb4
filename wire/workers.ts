// Workers: which matchers are alive, what each holds, and whether it is ready.
//
// Invariants:
// - a worker is alive while it is heard: it says its state every second, and is forgotten after 3 s of silence by the
//   watcher's own count, or at once when it says that it leaves;
// - silence counts only while our own link is up: a restart of nats-server makes nobody dead;
// - the bucket lives in the server's memory and is made again by the next writer.
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, followBucket, openBucket, readBucket } from "./bucket.js";
import { bus, decode, encode } from "./codec.js";
import { WORKER_HEARTBEAT_INTERVAL_MS, WORKER_HEARTBEAT_TTL_MS } from "./limits.js";
import type { Log } from "./log.js";
import { followLink } from "./nats.js";
import { BUCKETS } from "./subjects.js";

export const WORKERS_BUCKET: BucketSpec = {
  name: BUCKETS.matchers,
  storage: "memory",
  ttlMs: WORKER_HEARTBEAT_TTL_MS,
};
const TICK_MS = 250;
const SILENT_TICKS_LIMIT = WORKER_HEARTBEAT_TTL_MS / TICK_MS;
const SAY_TIMEOUT_MS = WORKER_HEARTBEAT_INTERVAL_MS;

interface Heard {
  state: bus.WorkerState;
  silentTicks: number;
}

/**
 * Follows all workers: `onChange` gets the states of all that are alive, once at start and whenever one of them says
 * something new, leaves or falls silent.
 */
export async function watchWorkers(
  nc: NatsConnection,
  onChange: (states: bus.WorkerState[]) => void,
  log?: Log,
): Promise<{ stop(): void }> {
  const heard = new Map<string, Heard>();
  const said = new Map<string, string>();
  const tell = () => onChange([...heard.values()].map(({ state }) => state));
  const forget = (workerId: string): boolean => {
    said.delete(workerId);
    return heard.delete(workerId);
  };
  const take = (workerId: string, value: Uint8Array | undefined): boolean => {
    if (value === undefined) return forget(workerId);
    const state = decode(bus.WorkerState, value);
    if (state === undefined || state.workerId !== workerId) {
      log?.error({ worker: workerId }, "no worker state in this value");
      return false;
    }
    heard.set(workerId, { state, silentTicks: 0 });
    const text = Buffer.from(value).toString("latin1");
    if (said.get(workerId) === text) return false;
    said.set(workerId, text);
    return true;
  };
  const unfollow = followBucket(nc, WORKERS_BUCKET.name, (key, value) => {
    if (take(key, value)) tell();
  });
  const linkUp = followLink(nc);
  const timer = setInterval(() => {
    if (!linkUp()) return;
    const silent = [...heard].filter(([, each]) => ++each.silentTicks > SILENT_TICKS_LIMIT);
    for (const [workerId] of silent) {
      forget(workerId);
      log?.warn({ worker: workerId }, "a matcher fell silent");
    }
    if (silent.length > 0) tell();
  }, TICK_MS);
  // What is missed here (JetStream still starting) is heard with the next heartbeats.
  const first = await readBucket(nc, WORKERS_BUCKET).catch((error: unknown) => {
    log?.warn({ error: String(error) }, "workers cannot be read yet; waiting for their heartbeats");
    return new Map<string, Uint8Array>();
  });
  for (const [key, value] of first) if (!heard.has(key)) take(key, value);
  tell();
  return {
    stop: () => {
      clearInterval(timer);
      unfollow();
    },
  };
}

/** One worker's voice. */
export interface Announcer {
  /** Says the state now. A failure is answered with false, and said again by the caller's next heartbeat. */
  say(state: bus.IWorkerState): Promise<boolean>;
  /** Says that the worker leaves; others take over at once. */
  leave(workerId: string): Promise<boolean>;
}

/** Opens a worker's voice. Each call makes the bucket again when the server lost it. */
export function openAnnouncer(nc: NatsConnection, log: Log): Announcer {
  let kv: KV | undefined;
  const attempt = async (what: string, act: (kv: KV) => Promise<unknown>): Promise<boolean> => {
    try {
      kv ??= await openBucket(nc, WORKERS_BUCKET);
      await act(kv);
      return true;
    } catch (error) {
      kv = undefined;
      log.warn({ error: String(error) }, `${what} was not heard`);
      return false;
    }
  };
  return {
    say: (state) =>
      attempt("heartbeat", (bucket) =>
        bucket.put(state.workerId ?? "", encode(bus.WorkerState, state), { timeout: SAY_TIMEOUT_MS }),
      ),
    leave: (workerId) => attempt("farewell", (bucket) => bucket.delete(workerId)),
  };
}
