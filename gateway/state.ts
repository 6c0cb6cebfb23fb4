// What a running gateway says of itself: whether it is ready, a heartbeat a second, and the gauges. Read when asked, kept
// nowhere.
import type { NatsConnection } from "@nats-io/transport-node";
import type { Fleet } from "../identify/index.js";
import type { Directory } from "../wire/directory.js";
import { type GatewayState, openGatewayAnnouncer } from "../wire/gateways.js";
import { FLEET_HEARTBEAT_INTERVAL_MS } from "../wire/limits.js";
import type { Log } from "../wire/log.js";

export interface Readiness {
  directory: Pick<Directory, "current" | "galleries">;
  fleet: Pick<Fleet, "ready">;
  /** Whether NATS is reached now. */
  linkUp(): boolean;
  /** Of the signatures that are made here. */
  modelId: string;
}

/** What keeps the gateway from being ready, one line each. */
export function notReady({ directory, fleet, linkUp, modelId }: Readiness): string[] {
  const missing: string[] = [];
  if (!linkUp()) missing.push("nats-server is not reached");
  if (!directory.current()) missing.push("the directory is being caught up with");
  const { expected, served } = fleet.ready();
  if (expected === 0) missing.push("the directory has no fleet: bring one in with 'palmgate apply'");
  if (served < expected) missing.push(`${served} of ${expected} shards are served`);
  const galleries = directory.galleries();
  if (galleries.length > 0 && galleries.every((each) => each.modelId !== modelId)) {
    missing.push(`no gallery is of this gateway's model ${modelId}`);
  }
  return missing;
}

/** Says the state every second, and at the end that the gateway leaves. @returns ends it */
export function announce(nats: NatsConnection, state: () => GatewayState, log: Log): () => Promise<void> {
  const announcer = openGatewayAnnouncer(nats, log);
  const say = () => void announcer.say(state());
  say();
  const timer = setInterval(say, FLEET_HEARTBEAT_INTERVAL_MS);
  return async () => {
    clearInterval(timer);
    await announcer.leave(state().id);
  };
}
