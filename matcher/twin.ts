// Two processes under one worker's name: receipts of erasure would count one holder where there are two, and shards would
// be served by whoever is heard last. A copied data folder (a cloned card, a restored backup) makes such twins.
//
// Invariants:
// - a worker that starts while its name is spoken for by a living process never says a word itself;
// - of twins that start at the same moment, exactly one goes on: both see the same two starts, and the later gives way;
// - what a process said before it died is not a twin: alive is who is heard again.
import type { NatsConnection } from "@nats-io/transport-node";
import { watchBucket } from "../wire/bucket.js";
import { bus, decode } from "../wire/codec.js";
import { UsageError } from "../wire/config.js";
import { heartbeatBucket } from "../wire/heartbeat.js";
import { FLEET_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import type { Log } from "../wire/log.js";
import { BUCKETS } from "../wire/subjects.js";
import { WORKER_ID_FILE } from "./worker-id.js";

/** A living process has been heard again by then. Less than the time after which a silent one is forgotten. */
const SILENCE_MS = 2.5 * FLEET_HEARTBEAT_INTERVAL_MS;

/** One start of a worker. */
export interface WorkerStart {
  workerId: string;
  /** Random, of this start alone. */
  instance: string;
  startedUnixMs: number;
}

/** Does `other` keep the name, and we give way? Both sides come to the same answer. */
export function goesFirst(other: WorkerStart, self: WorkerStart): boolean {
  if (other.startedUnixMs !== self.startedUnixMs) return other.startedUnixMs < self.startedUnixMs;
  return other.instance < self.instance;
}

/**
 * Resolves when nobody alive has this worker's name. Waits only where somebody had it a moment ago.
 * @throws UsageError when somebody has
 */
export async function expectNoTwin(nc: NatsConnection, self: WorkerStart, log: Log): Promise<void> {
  let saidBefore = false;
  let heard = () => {};
  let left = () => {};
  const watch = followOther(nc, self, log, {
    onHeard: () => {
      saidBefore = true;
      heard();
    },
    onLeft: () => {
      saidBefore = false;
      left();
    },
  });
  try {
    await watch.caughtUp();
    if (!saidBefore) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, SILENCE_MS);
      const settle = (end: () => void) => () => {
        clearTimeout(timer);
        end();
      };
      heard = settle(() => reject(twinError(self)));
      left = settle(resolve);
    });
  } finally {
    await watch.stop();
  }
}

/** Calls `onTwin` when somebody with this worker's name is heard to whom we must give way. */
export function watchForTwin(
  nc: NatsConnection,
  self: WorkerStart,
  log: Log,
  onTwin: (error: UsageError) => void,
): { stop(): Promise<void> } {
  return followOther(nc, self, log, {
    onHeard: (other) => {
      if (goesFirst(other, self)) return onTwin(twinError(self));
      log.error({ twin: other.instance }, "another process has this worker's name; it must give way");
    },
    onLeft: () => {},
  });
}

function followOther(
  nc: NatsConnection,
  self: WorkerStart,
  log: Log,
  { onHeard, onLeft }: { onHeard: (other: WorkerStart) => void; onLeft: () => void },
) {
  return watchBucket(nc, heartbeatBucket(BUCKETS.matchers), {
    log,
    onEntry: ({ key, value }) => {
      if (key !== self.workerId) return;
      if (value === undefined) return onLeft();
      const other = decode(bus.WorkerState, value);
      if (other !== undefined && other.instance !== self.instance) onHeard(other);
    },
  });
}

const twinError = ({ workerId }: WorkerStart) =>
  new UsageError(
    `another matcher that is alive is called '${workerId}' too. Give this one a --worker-id of its own; or, where its ` +
      `data folder is a copy, remove ${WORKER_ID_FILE} from it.`,
  );
