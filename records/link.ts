// Tells whoever asks when a NATS connection loses its link. One watcher for a connection, however many ask: a
// connection's own status stream cannot be let go of before the connection ends.
import type { NatsConnection } from "@nats-io/transport-node";

const listenersOf = new WeakMap<NatsConnection, Set<() => void>>();

/** Calls `listener` at every loss of the link. @returns the function that ends it */
export function onLinkLost(nc: NatsConnection, listener: () => void): () => void {
  let listeners = listenersOf.get(nc);
  if (listeners === undefined) {
    listeners = new Set();
    listenersOf.set(nc, listeners);
    void watch(nc, listeners);
  }
  const own = listeners.add(listener);
  return () => own.delete(listener);
}

async function watch(nc: NatsConnection, listeners: Set<() => void>): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === "disconnect") for (const listener of listeners) listener();
  }
}
