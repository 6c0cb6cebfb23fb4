// Gateways as others hear of them: where each listens, how much it has to do, and what keeps it from being ready.
import type { NatsConnection } from "@nats-io/transport-node";
import { z } from "zod";
import { type HeartbeatWatch, openAnnouncer, watchHeartbeats } from "./heartbeat.js";
import { parseJson } from "./json.js";
import type { Log } from "./log.js";
import { BUCKETS } from "./subjects.js";

const gatewayState = z.object({
  id: z.string().min(1),
  /** Of this life of the process. */
  instance: z.string(),
  /** Where lanes reach it from the desk's machine. */
  host: z.string(),
  port: z.int().min(0).max(65_535),
  tls: z.boolean(),
  /** Linked now. */
  lanes: z.int().nonnegative(),
  /** Under way now. */
  presentations: z.int().nonnegative(),
  /** Engine behind the sockets. */
  transport: z.string(),
  /** Empty when ready; else what is missing, one line each. */
  notReady: z.array(z.string()),
});

export type GatewayState = z.output<typeof gatewayState>;

/** `onChange` gets all that are alive: once when all have been heard, and after every change. */
export function watchGateways(
  nc: NatsConnection,
  onChange: (gateways: GatewayState[]) => void,
  log: Log,
): HeartbeatWatch<GatewayState> {
  return watchHeartbeats(nc, {
    bucket: BUCKETS.gateways,
    what: "gateway",
    log,
    read: (id, value) => {
      const parsed = gatewayState.safeParse(parseJson(value));
      return parsed.success && parsed.data.id === id ? parsed.data : undefined;
    },
    onChange: (alive) => onChange([...alive.values()]),
  });
}

/** A gateway's voice. */
export interface GatewayAnnouncer {
  say(state: GatewayState): Promise<boolean>;
  leave(gatewayId: string): Promise<boolean>;
}

export function openGatewayAnnouncer(nc: NatsConnection, log: Log): GatewayAnnouncer {
  const announcer = openAnnouncer(nc, BUCKETS.gateways, log);
  return {
    say: (state) => announcer.say(state.id, Buffer.from(JSON.stringify(state))),
    leave: (gatewayId) => announcer.leave(gatewayId),
  };
}
