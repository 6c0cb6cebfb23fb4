// One bus for the tests of a file: a real nats-server, a directory with a fleet, and the parts that a gateway opens over
// it. Two connections: what serves must not depend on what asks.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Fleet, openFleet } from "../../../identify/index.js";
import { type Directory, directoryKey, LAYOUT, openDirectory } from "../../../wire/directory.js";
import { Disposer } from "../../../wire/disposer.js";
import { type Keyring, newOrganisationKey, openKeyring } from "../../../wire/keyring.js";
import { openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";
import { type Person, type ScriptedWorker, startWorker, type WorkerSpec } from "./scripted-worker.js";

process.env.PALMGATE_LOG ??= "fatal";

export const ORGANISATION = "acme";
export const GALLERY = "g";

export interface Rig {
  server: LocalNats;
  /** Of whoever asks. */
  nats: NatsConnection;
  masterKey: Uint8Array;
  keyring: Keyring;
  directory: Directory;
  fleet: Fleet;
  log: ReturnType<typeof openLog>;
  /** Starts one and resolves when the fleet knows it. */
  worker(spec: WorkerSpec, people?: Person[]): Promise<ScriptedWorker>;
  /** Takes all workers away, and resolves when the fleet knows it. */
  noWorkers(): Promise<void>;
  /** Resolves when the fleet is as wanted. */
  until(wanted: (fleet: Fleet) => boolean): Promise<void>;
  close(): Promise<void>;
}

export async function openRig({ rows, slots }: { rows: number; slots: number }): Promise<Rig> {
  const disposer = new Disposer();
  const dir = mkdtempSync(join(tmpdir(), "palmgate-identify-"));
  disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
  const server = await startLocalNats(dir);
  disposer.defer(() => server.stop());
  const log = openLog("test");
  const connect = async (name: string) => {
    const connection = await connectNats({ url: server.url, name, log });
    disposer.defer(() => connection.close());
    return connection;
  };
  const [nats, serving] = [await connect("asks"), await connect("serves")];
  const directory = await openDirectory(nats, log);
  disposer.defer(() => directory.close());
  const masterKey = new Uint8Array(randomBytes(32));
  await directory.create(directoryKey.fleet, { layout: LAYOUT, rows, slots });
  await directory.create(directoryKey.organisation(ORGANISATION), {
    name: ORGANISATION,
    keys: [newOrganisationKey(masterKey, ORGANISATION)],
  });
  const keyring = openKeyring(masterKey, (name) => directory.organisation(name)?.keys ?? []);
  const fleet = await openFleet(nats, directory, log);
  disposer.defer(() => fleet.close());
  const workers: ScriptedWorker[] = [];
  const until: Rig["until"] = (wanted) =>
    new Promise((resolve) => {
      const look = () => {
        if (!wanted(fleet)) return;
        end();
        resolve();
      };
      const end = fleet.onChange(look);
      look();
    });
  disposer.defer(() => {
    for (const each of workers) each.vanish();
  });
  return {
    server,
    nats,
    masterKey,
    keyring,
    directory,
    fleet,
    log,
    until,
    worker: async (spec, people) => {
      const worker = await startWorker(serving, keyring, spec, people);
      workers.push(worker);
      await until(() => fleet.server(spec.id) !== undefined);
      return worker;
    },
    noWorkers: async () => {
      for (const each of workers.splice(0)) {
        each.vanish();
        each.script.state = (state) => ({ ...state, hasSlot: false });
        await each.say();
      }
      await until(() => fleet.rows().every(({ servers }) => servers.length === 0));
    },
    close: () => disposer.close(),
  };
}
