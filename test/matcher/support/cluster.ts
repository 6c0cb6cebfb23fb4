// A real nats-server with real matchers beside it, a ledger's beats, and a client that enrols, erases, searches and reads
// as the other rooms do.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Child, startChild } from "../../../cli/stack/child.js";
import type { MatcherConfig } from "../../../matcher/config.js";
import {
  type AppliedAnswer,
  askApplied,
  destroyMember,
  type EventLog,
  type Holders,
  openEventLog,
  openHolders,
  storeMember,
} from "../../../records/index.js";
import { type BucketSpec, openBucket, readBucket } from "../../../wire/bucket.js";
import { bus, decode } from "../../../wire/codec.js";
import { type Directory, directoryKey, LAYOUT, openDirectory } from "../../../wire/directory.js";
import { Disposer } from "../../../wire/disposer.js";
import { toHex } from "../../../wire/hex.js";
import { type Keyring, newOrganisationKey, openKeyring } from "../../../wire/keyring.js";
import { openLog } from "../../../wire/log.js";
import { LogClock } from "../../../wire/log-clock.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";
import { newSealKey } from "../../../wire/seal.js";
import { SHARDS, ShardSet, shardOf } from "../../../wire/shard.js";
import { BUCKETS } from "../../../wire/subjects.js";
import { watchWorkers } from "../../../wire/workers.js";
import { type Beats, startBeats } from "./beats.js";
import { Searcher } from "./searcher.js";
import { ofVector } from "./vectors.js";
import { type Watched, watched } from "./watched.js";

export const DIMENSION = 64;
export const MODEL = "test-64-v1";
export const ORGANISATION = "org";
export const GALLERY = "members";
const SLOTS: BucketSpec = { name: BUCKETS.slots, storage: "file" };
const APPLIED_WAIT_MS = 5000;
const CONSENT_TO_ENTRY = 1;

export interface Person {
  hex: string;
  id: Uint8Array;
  organisation: string;
  gallery: string;
  shard: number;
  signature: Float32Array;
  /** Of Enrolled. */
  sequence: number;
}

export interface ClusterOptions {
  rows?: number;
  slots?: number;
}

export interface Cluster {
  nats: LocalNats;
  nc: NatsConnection;
  eventLog: EventLog;
  directory: Directory;
  keyring: Keyring;
  clock: LogClock;
  masterKey: Uint8Array;
  dir: string;
  beats: Beats;
  workers: Watched<bus.WorkerState[]>;
  holders: Holders;
  searcher: Searcher;
  dataDir(workerId: string): string;
  config(workerId: string, fields?: Partial<MatcherConfig>): MatcherConfig;
  /** Starts `palmgate matcher` as a process of its own. */
  startProcess(workerId: string, args?: string[]): Promise<Child>;
  setFleet(rows: number, slots: number): Promise<void>;
  addOrganisation(name: string): Promise<void>;
  addGallery(organisation: string, name: string, modelId?: string): Promise<void>;
  /** Resolves when every row serves every shard. */
  allServed(): Promise<bus.WorkerState[]>;
  /** Resolves when nobody is heard of but these. */
  onlyAlive(...workerIds: string[]): Promise<bus.WorkerState[]>;
  /** Who has which slot, by slot ("row.slot"). */
  claims(): Promise<Map<string, string>>;
  /** As an operator does who knows that their workers are gone for good. */
  releaseSlots(): Promise<void>;
  /** Resolves when the log's clock has gone on by so much: by beats, not by a guess. */
  passed(ms: number): Promise<void>;
  /** Stores a member, and does not ask who has applied it. */
  store(
    signature: Float32Array,
    fields?: Partial<Omit<Person, "signature">> & { modelId?: string },
  ): Promise<Person>;
  /** Stores a member, and waits until every worker that serves it has applied it. */
  enrol(signature: Float32Array, fields?: Parameters<Cluster["store"]>[1]): Promise<Person>;
  /** Which of these workers have applied the sequence. */
  applied(
    workers: string[],
    person: Person,
    fields?: { waitMs?: number; erased?: boolean },
  ): Promise<AppliedAnswer>;
  /** Destroys the member, and asks all holders of record whether nothing is left. */
  erase(person: Person, waitMs?: number): Promise<AppliedAnswer>;
  close(): Promise<void>;
}

const log = openLog("test");

export async function startCluster({ rows = 1, slots = 1 }: ClusterOptions = {}): Promise<Cluster> {
  const disposer = new Disposer();
  const dir = mkdtempSync(join(tmpdir(), "palmgate-matcher-"));
  disposer.defer(() => rmSync(dir, { recursive: true, force: true }));
  const nats = await startLocalNats(join(dir, "nats"));
  disposer.defer(() => nats.stop());
  const nc = await connectNats({ url: nats.url, name: "test", log });
  disposer.defer(() => nc.close());
  const directory = await openDirectory(nc, log);
  disposer.defer(() => directory.close());
  const masterKey = newSealKey();
  const keyring = openKeyring(masterKey, (name) => directory.organisation(name)?.keys ?? []);
  const eventLog = await openEventLog(nc);
  const clock = LogClock.follow(nc, keyring);
  const beats = startBeats(eventLog, keyring);
  disposer.defer(() => beats.stop());
  const workers = watched<bus.WorkerState[]>();
  const watch = watchWorkers(nc, workers.push, log);
  disposer.defer(() => watch.stop());
  const holders = openHolders(nc, () => clock.nowUnixMs());
  const put = async (key: string, value: unknown) => {
    const written = await directory.put(key, value);
    if (!written.ok) throw new Error(`the directory does not take ${key}: ${written.code}`);
  };
  const dataDir = (workerId: string) => join(dir, workerId);
  const children: Child[] = [];
  disposer.defer(async () => {
    await Promise.all(children.map((child) => child.kill()));
  });

  const cluster: Cluster = {
    ...{ nats, nc, eventLog, directory, keyring, clock, masterKey, dir, beats, workers, holders, dataDir },
    searcher: new Searcher(nc, keyring, clock),
    config: (workerId, fields = {}) => ({
      ...{ natsUrl: nats.url, masterKey, dataDir: dataDir(workerId), workerId, threads: 1, index: "exact" },
      ...{ mapSizeBytes: undefined, opsHost: "127.0.0.1", opsPort: 0, ...fields },
    }),
    async startProcess(workerId, args = []) {
      const child = await startChild({
        name: workerId,
        args: ["matcher", "--worker-id", workerId, "--ops-port", "0", "--data-dir", dataDir(workerId)].concat(
          args.includes("--threads") ? args : ["--threads", "1", ...args],
        ),
        env: { PALMGATE_NATS_URL: nats.url, PALMGATE_MASTER_KEY: toHex(masterKey) },
        logFile: join(dir, `${workerId}.log`),
      });
      children.push(child);
      return child;
    },
    setFleet: (newRows, newSlots) =>
      put(directoryKey.fleet, { layout: LAYOUT, rows: newRows, slots: newSlots }),
    addOrganisation: (name) =>
      put(directoryKey.organisation(name), { name, keys: [newOrganisationKey(masterKey, name)] }),
    addGallery: (organisation, name, modelId = MODEL) =>
      put(directoryKey.gallery(organisation, name), {
        ...{ organisation, name, modelId, dimension: DIMENSION, lineMaps: false },
      }),
    allServed: () =>
      workers.until((states) => {
        const fleet = directory.fleet();
        const all = Array.from({ length: fleet?.rows ?? 1 }, (_, row) => servedByRow(states, row));
        return all.every((served) => served.size === SHARDS);
      }),
    onlyAlive: (...workerIds) => {
      const wanted = [...workerIds].sort().join();
      return workers.until(
        (states) =>
          states
            .map(({ workerId }) => workerId)
            .sort()
            .join() === wanted,
      );
    },
    async claims() {
      const values = await readBucket(nc, SLOTS);
      return new Map([...values].map(([key, value]) => [key, decode(bus.SlotClaim, value)?.workerId ?? ""]));
    },
    async releaseSlots() {
      const kv = await openBucket(nc, SLOTS);
      for (const key of (await readBucket(nc, SLOTS)).keys()) await kv.delete(key);
    },
    passed(ms) {
      const untilUnixMs = clock.nowUnixMs() + ms;
      return new Promise((resolve) => {
        const stop = clock.onBeat(() => {
          if (clock.nowUnixMs() < untilUnixMs) return;
          stop();
          resolve();
        });
      });
    },
    async store(signature, { modelId = MODEL, ...fields } = {}) {
      const { id = new Uint8Array(randomBytes(16)), organisation = ORGANISATION, gallery = GALLERY } = fields;
      const templates = [{ signature: ofVector(signature), modelId, position: 1 }];
      const profile = { consents: [CONSENT_TO_ENTRY] };
      const place = { organisation, gallery, memberId: id };
      const stored = await storeMember(eventLog, keyring, { ...place, templates, profile });
      if (!stored.ok) throw new Error(`not stored: ${stored.code} ${stored.detail}`);
      const { sequence } = stored;
      return { hex: toHex(id), id, organisation, gallery, shard: shardOf(id), signature, sequence };
    },
    async enrol(signature, fields) {
      const person = await cluster.store(signature, fields);
      const states = await workers.until(() => true);
      const serving = states.filter(({ shardsReady }) => ShardSet.from(shardsReady)?.has(person.shard));
      const answer = await cluster.applied(
        serving.map(({ workerId }) => workerId),
        person,
      );
      if (answer.missing.length > 0) throw new Error(`not applied by ${answer.missing.join(" ")}`);
      return person;
    },
    applied: (asked, { id, shard, sequence }, { waitMs = APPLIED_WAIT_MS, erased = false } = {}) =>
      askApplied(nc, { workers: asked, shard, sequence, waitMs, erasedMemberId: erased ? id : undefined }),
    async erase(person, waitMs = APPLIED_WAIT_MS) {
      const { organisation, gallery, id, shard } = person;
      const destroyed = await destroyMember(eventLog, { organisation, gallery, memberId: id }, "operator");
      if (!destroyed.ok) throw new Error(`not destroyed: ${destroyed.code} ${destroyed.detail}`);
      const sequence = destroyed.destruction.erasedSequence;
      const asked = await holders.holdersOf(shard);
      return await askApplied(nc, { workers: asked, shard, sequence, waitMs, erasedMemberId: id });
    },
    close: () => disposer.close(),
  };
  await cluster.setFleet(rows, slots);
  await cluster.addOrganisation(ORGANISATION);
  await cluster.addGallery(ORGANISATION, GALLERY);
  return cluster;
}

/** Shards that the workers of a row serve. */
export function servedByRow(states: readonly bus.IWorkerState[], row: number): ShardSet {
  const served = new ShardSet();
  for (const state of states) {
    if (state.hasSlot && (state.row ?? 0) === row)
      served.addAll(ShardSet.from(state.shardsReady) ?? new ShardSet());
  }
  return served;
}
