// A real nats-server, a connection and an event log for one test file; everything is taken down with close().
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type EventLog, openEventLog } from "../../../records/index.js";
import { type Log, openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";

process.env.PALMGATE_LOG ??= "fatal";

export const log: Log = openLog("records-test");

export interface Rig {
  dir: string;
  server: LocalNats;
  nc: NatsConnection;
  eventLog: EventLog;
  /** One more connection, closed with the rig. */
  connect(): Promise<NatsConnection>;
  close(): Promise<void>;
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), "palmgate-records-"));
}

export async function openRig(start = startLocalNats): Promise<Rig> {
  const dir = tempDir();
  const server = await start(join(dir, "nats"));
  const connections: NatsConnection[] = [];
  const connect = async () => {
    const nc = await connectNats({ url: server.url, name: "records-test", log });
    connections.push(nc);
    return nc;
  };
  const nc = await connect();
  return {
    dir,
    server,
    nc,
    eventLog: await openEventLog(nc),
    connect,
    async close() {
      for (const each of connections) await each.close();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
