// A real nats-server, a connection, an event log and a keyring for one test file; all is taken down with close().
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type EventLog, openEventLog, type StreamOptions } from "../../../records/index.js";
import { Disposer } from "../../../wire/disposer.js";
import { type Keyring, newOrganisationKey, openKeyring } from "../../../wire/keyring.js";
import { type Log, openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";

process.env.PALMGATE_LOG ??= "fatal";

export const log: Log = openLog("records-test");
export const ORGANISATION = "acme";

export interface Rig {
  dir: string;
  server: LocalNats;
  nc: NatsConnection;
  eventLog: EventLog;
  /** Knows the organisations "acme" and "other". */
  keyring: Keyring;
  /** One more connection, closed with the rig. */
  connect(): Promise<NatsConnection>;
  close(): Promise<void>;
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), "palmgate-records-"));
}

/** A keyring of a fresh master key that knows these organisations. */
export function newKeyring(
  organisations: readonly string[] = [ORGANISATION, "other"],
  masterKey: Uint8Array = randomBytes(32),
): Keyring {
  const keys = new Map(organisations.map((name) => [name, [newOrganisationKey(masterKey, name)]]));
  return openKeyring(masterKey, (name) => keys.get(name) ?? []);
}

export interface RigOptions {
  start?: (storeDir: string) => Promise<LocalNats>;
  streams?: StreamOptions;
}

export async function openRig({ start = startLocalNats, streams = {} }: RigOptions = {}): Promise<Rig> {
  const dir = tempDir();
  const disposer = new Disposer();
  disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
  const server = await start(join(dir, "nats"));
  disposer.defer(() => server.stop());
  const connect = async () => {
    const nc = await connectNats({ url: server.url, name: "records-test", log });
    disposer.defer(() => nc.close());
    return nc;
  };
  const nc = await connect();
  return {
    dir,
    server,
    nc,
    eventLog: await openEventLog(nc, streams),
    keyring: newKeyring(),
    connect,
    close: () => disposer.close(),
  };
}
