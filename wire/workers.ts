// Matchers as others hear of them: who is alive, which slot each has and which shards it serves. Hints only.
import type { NatsConnection } from "@nats-io/transport-node";
import { bus, decode, encode } from "./codec.js";
import { type Announcer, type HeartbeatWatch, openAnnouncer, watchHeartbeats } from "./heartbeat.js";
import type { Log } from "./log.js";
import { BUCKETS } from "./subjects.js";

/** `onChange` gets the states of all that are alive: once when all have been heard, and after every change. */
export function watchWorkers(
  nc: NatsConnection,
  onChange: (states: bus.WorkerState[]) => void,
  log: Log,
): HeartbeatWatch<bus.WorkerState> {
  return watchHeartbeats(nc, {
    bucket: BUCKETS.matchers,
    what: "matcher",
    log,
    read: (workerId, value) => {
      const state = decode(bus.WorkerState, value);
      return state?.workerId === workerId ? state : undefined;
    },
    onChange: (alive) => onChange([...alive.values()]),
  });
}

/** A worker's voice. */
export interface WorkerAnnouncer {
  say(state: bus.IWorkerState): Promise<boolean>;
  leave(workerId: string): Promise<boolean>;
}

export function openWorkerAnnouncer(nc: NatsConnection, log: Log): WorkerAnnouncer {
  const announcer: Announcer = openAnnouncer(nc, BUCKETS.matchers, log);
  return {
    say: (state) => announcer.say(state.workerId ?? "", encode(bus.WorkerState, state)),
    leave: (workerId) => announcer.leave(workerId),
  };
}
