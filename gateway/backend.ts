// What stands behind the lanes: NATS, and over it the directory, the event log, the log's clock, the fleet and the search.
// The gateway keeps nothing of it: all of this is there again within a second, at any gateway.

import type { NatsConnection } from "@nats-io/transport-node";
import { type Fleet, openFleet, SearchClient } from "../identify/index.js";
import { type EventLog, openEventLog } from "../records/log.js";
import { type Directory, openDirectory } from "../wire/directory.js";
import type { Disposer } from "../wire/disposer.js";
import { type Keyring, openKeyring } from "../wire/keyring.js";
import { type LaneBook, openLaneBook } from "../wire/lane-book.js";
import { followLink } from "../wire/link.js";
import type { Log } from "../wire/log.js";
import { LogClock } from "../wire/log-clock.js";
import { connectNats } from "../wire/nats.js";

export interface Backend {
  nats: NatsConnection;
  /** Whether NATS is reached now. */
  linkUp(): boolean;
  directory: Directory;
  keyring: Keyring;
  clock: LogClock;
  eventLog: EventLog;
  fleet: Fleet;
  search: SearchClient;
  book: LaneBook;
}

export async function openBackend(
  { natsUrl, masterKey }: { natsUrl: string; masterKey: Uint8Array },
  disposer: Disposer,
  log: Log,
): Promise<Backend> {
  const nats = await connectNats({ url: natsUrl, name: "palmgate-gateway", log });
  disposer.defer(() => nats.close());
  const linkUp = followLink(nats);
  const directory = await openDirectory(nats, log);
  disposer.defer(() => directory.close());
  const keyring = openKeyring(masterKey, (organisation) => directory.organisation(organisation)?.keys ?? []);
  const clock = LogClock.follow(nats, keyring);
  disposer.defer(() => clock.stop());
  const [eventLog, fleet] = await Promise.all([openEventLog(nats), openFleet(nats, directory, log)]);
  disposer.defer(() => fleet.close());
  const search = new SearchClient(nats, fleet, keyring, clock);
  disposer.defer(() => search.close());
  const book = openLaneBook(nats, log);
  disposer.defer(() => book.close());
  return { nats, linkUp, directory, keyring, clock, eventLog, fleet, search, book };
}
