// A real nats-server with a small fleet in its directory, and ledgers on it: as many as a test wants, each with a
// connection of its own. What a ledger needs of matchers and processors is scripted by the test.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Ledger, type LedgerOptions, openLedger } from "../../../ledger/ledger.js";
import {
  destroyMember,
  type EventLog,
  LogUnavailableError,
  openEventLog,
  openHolders,
  openSagas,
  type PaymentProcessor,
  type Sagas,
  type StreamOptions,
} from "../../../records/index.js";
import { type Directory, directoryKey, openDirectory } from "../../../wire/directory.js";
import { Disposer } from "../../../wire/disposer.js";
import { type Keyring, newOrganisationKey, openKeyring } from "../../../wire/keyring.js";
import { LAYOUT } from "../../../wire/limits.js";
import { type Log, openLog } from "../../../wire/log.js";
import { LogClock } from "../../../wire/log-clock.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";
import type { MemberPlace } from "../../../wire/subjects.js";
import { makeDevicePublicKey } from "./device-key.js";

process.env.PALMGATE_LOG ??= "fatal";

export const log: Log = openLog("ledger-test");

export const ORGANISATION = "acme";
export const OTHER_ORGANISATION = "other";
export const GALLERY = "members";
export const MODEL = { modelId: "model-1", dimension: 16, lineMaps: false };
export const TILL = "till-1";
export const GATE = "gate-1";
/** Its money is let go when no passage is reported within REPORT_WITHIN_MS. */
export const SITE = "shop";
/** Its money is taken then. */
export const CAPTURING_SITE = "stadium";
export const REPORT_WITHIN_MS = 1500;
const DAY_MS = 24 * 60 * 60 * 1000;
const AGES = { decisionsMs: 90 * DAY_MS, paymentsMs: 400 * DAY_MS };

export interface Rig {
  server: LocalNats;
  nc: NatsConnection;
  eventLog: EventLog;
  directory: Directory;
  keyring: Keyring;
  clock: LogClock;
  sagas: Sagas;
  masterKey: Uint8Array;
  /** A fresh folder. */
  folder(): string;
  connect(): Promise<NatsConnection>;
  openLedger(options?: TestLedgerOptions): Promise<TestLedger>;
  /** A worker is gone for good, as an operator says. */
  forget(workerId: string): Promise<void>;
  /** The part of an erasure that needs the log alone. */
  destroy(place: MemberPlace): Promise<void>;
  close(): Promise<void>;
}

export interface TestLedger extends Ledger {
  dataDir: string;
}

export interface TestLedgerOptions extends Partial<LedgerOptions> {
  processor?: PaymentProcessor;
  /** What its log does beyond a log; `rest` lets go what hangs in it, so that the ledger can be closed. */
  life?: { wrap(eventLog: EventLog): EventLog; rest(): void };
}

export async function openRig(streams: StreamOptions = {}): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-ledger-"));
  const all = new Disposer();
  all.defer(() => rmSync(dir, { recursive: true, force: true }));
  const server = await startLocalNats(join(dir, "nats"));
  all.defer(() => server.stop());
  const connect = async () => {
    const nc = await connectNats({ url: server.url, name: "ledger-test", log });
    all.defer(() => nc.close());
    return nc;
  };
  const nc = await connect();
  const eventLog = await openEventLog(nc, streams);
  const directory = await openDirectory(nc, log);
  all.defer(() => directory.close());
  const masterKey = new Uint8Array(32).fill(7);
  await fillDirectory(directory, masterKey);
  const keyringOf = (of: Directory) => openKeyring(masterKey, (name) => of.organisation(name)?.keys ?? []);
  const keyring = keyringOf(directory);
  const clock = LogClock.follow(nc, keyring);
  all.defer(() => clock.stop());
  let folders = 0;
  const folder = () => join(dir, `ledger-${++folders}`);
  const rig: Rig = {
    ...{ server, nc, eventLog, directory, keyring, clock, masterKey, folder, connect },
    sagas: openSagas(nc, eventLog, { nowUnixMs: () => clock.nowUnixMs(), log }),
    openLedger: (options = {}) => openTestLedger(rig, all, options),
    forget: (workerId) => openHolders(nc, () => clock.nowUnixMs()).forget(workerId),
    destroy: async (place) => {
      const destroyed = await destroyMember(eventLog, place, "test");
      if (!destroyed.ok) throw new Error(destroyed.detail);
    },
    close: () => all.close(),
  };
  return rig;
}

async function openTestLedger(rig: Rig, all: Disposer, options: TestLedgerOptions): Promise<TestLedger> {
  const { life, processor, ...more } = options;
  const nc = await rig.connect();
  const own = new Disposer();
  const plain = await openEventLog(nc);
  const eventLog = life?.wrap(plain) ?? plain;
  const clock = LogClock.follow(nc, rig.keyring);
  own.defer(() => clock.stop());
  const nowUnixMs = () => clock.nowUnixMs();
  const dataDir = options.dataDir ?? rig.folder();
  const ledger = await openLedger({
    ...{ nc, eventLog, clock, log, dataDir },
    directory: rig.directory,
    keyring: rig.keyring,
    sagas: openSagas(nc, eventLog, { nowUnixMs, log }),
    holders: openHolders(nc, nowUnixMs),
    ledgerId: `ledger-${Math.random().toString(36).slice(2, 8)}`,
    instance: "0",
    ages: AGES,
    processors: processor ? [processor] : [],
    identify: {
      search: async () => ({ complete: true, templates: 0, candidates: [] }),
      similarityFor: () => 0.9,
      modelId: MODEL.modelId,
    },
    silentMs: () => 0,
    isAnotherReady: () => false,
    ...more,
  });
  own.defer(() => ledger.close());
  await nc.flush();
  all.defer(() => own.close());
  if (life !== undefined) own.defer(() => life.rest());
  return {
    metrics: ledger.metrics,
    notReady: () => ledger.notReady(),
    state: () => ledger.state(),
    leads: () => ledger.leads(),
    close: () => own.close(),
    dataDir,
  };
}

async function fillDirectory(directory: Directory, masterKey: Uint8Array): Promise<void> {
  const create = async (key: string, value: unknown) => {
    const written = await directory.create(key, value);
    if (!written.ok) throw new Error(`${key} was not written: ${written.code}`);
  };
  await create(directoryKey.fleet, { layout: LAYOUT, rows: 1, slots: 1 });
  for (const name of [ORGANISATION, OTHER_ORGANISATION]) {
    await create(directoryKey.organisation(name), { name, keys: [newOrganisationKey(masterKey, name)] });
    await create(directoryKey.gallery(name, GALLERY), { organisation: name, name: GALLERY, ...MODEL });
  }
  const rules = [
    [SITE, "void"],
    [CAPTURING_SITE, "capture"],
  ] as const;
  for (const [name, unreported] of rules) {
    const site = { organisation: ORGANISATION, name, reportWithinMs: REPORT_WITHIN_MS, unreported };
    await create(directoryKey.site(ORGANISATION, name), site);
  }
  for (const [id, purpose] of [
    [TILL, "PAY"],
    [GATE, "ENTRY"],
  ] as const) {
    const place = { organisation: ORGANISATION, site: SITE, gallery: GALLERY };
    await create(directoryKey.device(id), { ...place, id, purpose, publicKey: makeDevicePublicKey() });
  }
}

const POLL_MS = 20;

/** Waits for what becomes true by itself. @throws when it has not within `withinMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 15_000,
): Promise<void> {
  const endsAtMs = performance.now() + withinMs;
  const isSo = async () => {
    try {
      return await holds();
    } catch (error) {
      // A server that is busy or starting says nothing of the matter.
      if (error instanceof LogUnavailableError) return false;
      throw error;
    }
  };
  while (!(await isSo())) {
    if (performance.now() > endsAtMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
