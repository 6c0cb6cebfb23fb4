// A real nats-server and connections to it for one test file; all is taken down with close().
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { Disposer } from "../../../wire/disposer.js";
import { type Log, openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";

process.env.PALMGATE_LOG ??= "fatal";

export const log: Log = openLog("wire-test");

export interface BusRig {
  server: LocalNats;
  nc: NatsConnection;
  /** One more connection, closed with the rig; through another address where one is given. */
  connect(url?: string): Promise<NatsConnection>;
  /** Ended with the rig. */
  defer(close: () => void | Promise<void>): void;
  close(): Promise<void>;
}

export async function openBusRig(): Promise<BusRig> {
  const disposer = new Disposer();
  const dir = mkdtempSync(join(tmpdir(), "palmgate-wire-"));
  disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
  const server = await startLocalNats(join(dir, "nats"));
  disposer.defer(() => server.stop());
  const connect = async (url = server.url) => {
    const nc = await connectNats({ url, name: "wire-test", log });
    disposer.defer(() => nc.close());
    return nc;
  };
  return {
    server,
    nc: await connect(),
    connect,
    defer: (close) => disposer.defer(close),
    close: () => disposer.close(),
  };
}
