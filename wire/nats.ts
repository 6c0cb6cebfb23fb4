// The one way a Palmgate process or thread connects to NATS: it reconnects for ever and says so.
import { type NatsConnection, NatsConnectionImpl, setTransportFactory } from "@nats-io/transport-node";
import type { Log } from "./log.js";
import { quietTransport } from "./nats-transport.js";

export interface NatsOptions {
  /** e.g. nats://user:password@127.0.0.1:4222 ; several separated by commas */
  url: string;
  /** Shown in the server's connection list. */
  name: string;
  log: Log;
}

const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 5000;

/** Connects (waiting for the server if need be) and logs every loss and return of the link. */
export async function connectNats({ url, name, log }: NatsOptions): Promise<NatsConnection> {
  const parsed = url.split(",").map((each) => new URL(each.trim()));
  const [first] = parsed;
  // What the library's connect() does, with our transport in place of its own.
  setTransportFactory(quietTransport);
  const connection = await NatsConnectionImpl.connect({
    servers: parsed.map((each) => each.host),
    ...(first?.username
      ? { user: decodeURIComponent(first.username), pass: decodeURIComponent(first.password) }
      : {}),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    waitOnFirstConnect: true,
    pingInterval: PING_INTERVAL_MS,
    ignoreAuthErrorAbort: true,
    // A stack trace for every request, in case it fails, costs more than the request.
    noAsyncTraces: true,
  });
  void logStatus(connection, log);
  return connection;
}

/** Whether the link of this connection is up, kept by listening to it from now on, when it is up. */
export function followLink(connection: NatsConnection): () => boolean {
  let up = true;
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") up = false;
      if (status.type === "reconnect") up = true;
    }
    up = false;
  })();
  return () => up;
}

async function logStatus(connection: NatsConnection, log: Log): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === "disconnect") log.warn("nats link lost; reconnecting");
    if (status.type === "reconnect") log.info("nats link is back");
    if (status.type === "error") log.error({ error: String(status.error) }, "nats error");
  }
}
