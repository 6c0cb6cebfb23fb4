// Tells whoever asks when a NATS connection loses its link and when it has one again. One watcher for a connection,
// however many ask: a connection's own status stream cannot be let go of before the connection ends.
import type { NatsConnection } from "@nats-io/transport-node";

export interface LinkListener {
  lost(): void;
  back(): void;
}

const listenersOf = new WeakMap<NatsConnection, Set<LinkListener>>();

/** @returns the function that ends it */
export function watchLink(nc: NatsConnection, listener: LinkListener): () => void {
  let listeners = listenersOf.get(nc);
  if (listeners === undefined) {
    listeners = new Set();
    listenersOf.set(nc, listeners);
    void watch(nc, listeners);
  }
  const own = listeners.add(listener);
  return () => own.delete(listener);
}

async function watch(nc: NatsConnection, listeners: Set<LinkListener>): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === "disconnect") for (const listener of listeners) listener.lost();
    if (status.type === "reconnect") for (const listener of listeners) listener.back();
  }
}
