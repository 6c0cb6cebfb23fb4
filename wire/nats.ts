// The one way a Palmgate process or thread connects to NATS: it waits for the server, reconnects for ever and says so.
//
// Invariants:
// - tls:// is TLS or no connection: never silently plain;
// - nothing that is logged or thrown holds a password;
// - a nats-server that is too old is refused in one clear line.
import { setTimeout as pause } from "node:timers/promises";
import { type NatsConnection, NatsConnectionImpl, setTransportFactory } from "@nats-io/transport-node";
import { UsageError } from "./config.js";
import type { Log } from "./log.js";
import { type NatsAddress, parseNatsAddress } from "./nats-address.js";
import { quietTransport } from "./nats-transport.js";
import { isNewEnough, LEAST_NATS_VERSION } from "./nats-version.js";

export interface NatsOptions {
  /** e.g. nats://user:password@127.0.0.1:4222 ; several separated by commas */
  url: string;
  /** Shown in the server's connection list. */
  name: string;
  log: Log;
}

const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 2000;
/** Unanswered pings after which a link counts as lost: a half-open one is noticed within 6 s. */
const MAX_PINGS_OUT = 2;
const CONNECT_TIMEOUT_MS = 5000;
const WAITING_FIRST_SAID_MS = 1000;
const WAITING_SAID_AGAIN_MS = 30_000;

/** Connects (waiting for the server if need be) and logs every loss and return of the link. @throws UsageError */
export async function connectNats({ url, name, log }: NatsOptions): Promise<NatsConnection> {
  const address = parseNatsAddress(url);
  // What the library's connect() does, with our transport in place of its own.
  setTransportFactory(quietTransport);
  const startedAtMs = performance.now();
  let saidAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      const connection = await NatsConnectionImpl.connect(optionsOf(address, name));
      void logStatus(connection, log);
      return connection;
    } catch (error) {
      if (address.tls && isWithoutTls(error)) {
        throw new UsageError(
          `nats-server at ${address.servers.join(", ")} does not offer TLS, which tls:// asks for. ` +
            "Turn TLS on there, or write nats:// where the network is your own.",
        );
      }
      const now = performance.now();
      if (now - startedAtMs > WAITING_FIRST_SAID_MS && now - saidAtMs > WAITING_SAID_AGAIN_MS) {
        saidAtMs = now;
        log.warn({ error: String(error) }, `waiting for nats-server at ${address.servers.join(", ")}`);
      }
    }
    await pause(RECONNECT_WAIT_MS);
  }
}

function optionsOf({ servers, tls, user, password, token }: NatsAddress, name: string) {
  return {
    servers,
    ...(user === undefined ? {} : { user, pass: password ?? "" }),
    ...(token === undefined ? {} : { token }),
    ...(tls ? { tls: {} } : {}),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    timeout: CONNECT_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: MAX_PINGS_OUT,
    ignoreAuthErrorAbort: true,
    // A stack trace for every request, in case it fails, costs more than the request.
    noAsyncTraces: true,
  };
}

/** The library's words: it looks before it sends anything of ours. */
const isWithoutTls = (error: unknown): boolean =>
  error instanceof Error && error.message.includes("does not support 'tls'");

/** @throws UsageError when the server at the other end is too old for the record */
export function requireServer(nc: NatsConnection): void {
  const version = nc.info?.version ?? "unknown";
  if (isNewEnough(version)) return;
  throw new UsageError(
    `nats-server ${version} is too old: Palmgate needs ${LEAST_NATS_VERSION.join(".")} or later ` +
      "('node scripts/setup.mjs' gets one).",
  );
}

async function logStatus(connection: NatsConnection, log: Log): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "disconnect") log.warn("nats link lost; reconnecting");
    if (status.type === "reconnect") log.info("nats link is back");
    if (status.type === "error") log.error({ error: String(status.error) }, "nats error");
  }
}
