// Heartbeats: who is alive, by what each says of itself every second in a bucket in nats-server's memory. Hints only.
//
// Invariants:
// - one is alive while it is heard, and is forgotten after FLEET_HEARTBEAT_TTL_MS of silence by the watcher's own
//   count, or at once when it says that it leaves;
// - silence counts only while our own watch is current: a restart of nats-server makes nobody dead;
// - the bucket is made again by the next writer.
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { type BucketSpec, openBucket, watchBucket } from "./bucket.js";
import { FLEET_HEARTBEAT_INTERVAL_MS, FLEET_HEARTBEAT_TTL_MS } from "./limits.js";
import type { Log } from "./log.js";

const TICK_MS = 250;
const SILENT_TICKS_LIMIT = FLEET_HEARTBEAT_TTL_MS / TICK_MS;
const SAY_TIMEOUT_MS = FLEET_HEARTBEAT_INTERVAL_MS;

/** The bucket that the heartbeats of one kind stand in. */
export const heartbeatBucket = (bucket: string): BucketSpec => ({
  name: bucket,
  storage: "memory",
  ttlMs: FLEET_HEARTBEAT_TTL_MS,
});

export interface HeartbeatWatch<T> {
  /** All that are alive, by key. */
  alive(): ReadonlyMap<string, T>;
  /** Whether what is told is what others say now. */
  current(): boolean;
  stop(): Promise<void>;
}

export interface HeartbeatWatchOptions<T> {
  bucket: string;
  /** What one says, or `undefined` when the value is not that. */
  read(key: string, value: Uint8Array): T | undefined;
  /** Once when all have been heard, and whenever one of them says something new, leaves or falls silent. */
  onChange(alive: ReadonlyMap<string, T>): void;
  /** In a log line about it, e.g. "matcher". */
  what: string;
  log: Log;
}

interface Heard<T> {
  state: T;
  text: string;
  silentTicks: number;
}

export function watchHeartbeats<T>(nc: NatsConnection, options: HeartbeatWatchOptions<T>): HeartbeatWatch<T> {
  const { bucket, read, onChange, what, log } = options;
  const heard = new Map<string, Heard<T>>();
  const alive = () => new Map([...heard].map(([key, { state }]) => [key, state]));
  const tell = () => onChange(alive());
  const watch = watchBucket(nc, heartbeatBucket(bucket), {
    log,
    onEntry: ({ key, value, revision }) => {
      if (value === undefined) {
        // Forgotten by a server that has restarted: who lives says so again, who does not is silent from here on.
        if (revision === 0) return;
        if (heard.delete(key) && watch.current()) tell();
        return;
      }
      const state = read(key, value);
      if (state === undefined) return log.error({ key, bucket }, `no ${what}'s state in this value`);
      const text = Buffer.from(value).toString("latin1");
      const isNew = heard.get(key)?.text !== text;
      heard.set(key, { state, text, silentTicks: 0 });
      if (isNew && watch.current()) tell();
    },
    onCaughtUp: () => {
      for (const each of heard.values()) each.silentTicks = 0;
      queueMicrotask(tell);
    },
  });
  const timer = setInterval(() => {
    if (!watch.current()) return;
    const silent = [...heard].filter(([, each]) => ++each.silentTicks > SILENT_TICKS_LIMIT);
    for (const [key] of silent) {
      heard.delete(key);
      log.warn({ [what]: key }, `a ${what} fell silent`);
    }
    if (silent.length > 0) tell();
  }, TICK_MS);
  return {
    alive,
    current: () => watch.current(),
    stop: async () => {
      clearInterval(timer);
      await watch.stop();
    },
  };
}

/** One process's voice. */
export interface Announcer {
  /** Says the state now. A failure is answered with false, and said again by the caller's next heartbeat. */
  say(key: string, state: Uint8Array): Promise<boolean>;
  /** Says that it leaves; others take over at once. */
  leave(key: string): Promise<boolean>;
}

/** Opens a voice. Each call makes the bucket again when the server lost it. */
export function openAnnouncer(nc: NatsConnection, bucket: string, log: Log): Announcer {
  let kv: KV | undefined;
  const attempt = async (what: string, act: (kv: KV) => Promise<unknown>): Promise<boolean> => {
    try {
      kv ??= await openBucket(nc, heartbeatBucket(bucket));
      await act(kv);
      return true;
    } catch (error) {
      kv = undefined;
      log.warn({ error: String(error) }, `${what} was not heard`);
      return false;
    }
  };
  return {
    say: (key, state) =>
      attempt("heartbeat", (opened) => opened.put(key, state, { timeout: SAY_TIMEOUT_MS })),
    leave: (key) => attempt("farewell", (opened) => opened.delete(key)),
  };
}
