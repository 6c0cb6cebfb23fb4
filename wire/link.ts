// Tells whoever asks when a NATS connection loses its link and when it has one again. One watcher for a connection,
// however many ask: a connection's own status stream cannot be let go of before the connection ends.
import type { NatsConnection } from "@nats-io/transport-node";

export interface LinkListener {
  lost(): void;
  back(): void;
}

interface Watched {
  listeners: Set<LinkListener>;
  up: boolean;
}

const watchedOf = new WeakMap<NatsConnection, Watched>();

/** @returns the function that ends it */
export function watchLink(nc: NatsConnection, listener: LinkListener): () => void {
  const { listeners } = watched(nc);
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether the link of this connection is up, kept by listening to it from now on, when it is up. */
export function followLink(nc: NatsConnection): () => boolean {
  const link = watched(nc);
  return () => link.up && !nc.isClosed();
}

function watched(nc: NatsConnection): Watched {
  const known = watchedOf.get(nc);
  if (known !== undefined) return known;
  const made: Watched = { listeners: new Set(), up: true };
  watchedOf.set(nc, made);
  void watch(nc, made);
  return made;
}

async function watch(nc: NatsConnection, link: Watched): Promise<void> {
  for await (const status of nc.status()) {
    if (status.type === "disconnect") {
      link.up = false;
      for (const listener of link.listeners) listener.lost();
    }
    if (status.type === "reconnect") {
      link.up = true;
      for (const listener of link.listeners) listener.back();
    }
  }
  link.up = false;
}
