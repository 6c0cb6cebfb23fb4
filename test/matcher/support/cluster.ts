// A real nats-server with real matchers beside it, and a client that enrols, erases and searches as a gateway does.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Child, startChild } from "../../../cli/stack/child.js";
import { type EventLog, enrolMember, eraseMember, newDataKey, openEventLog } from "../../../records/index.js";
import { bus, decode, encode } from "../../../wire/codec.js";
import { type Gallery, openGallery } from "../../../wire/galleries.js";
import { openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";
import { partitionOf, toHex } from "../../../wire/partition.js";
import { searchSubject } from "../../../wire/subjects.js";
import { watchWorkers } from "../../../wire/workers.js";
import { ofVector } from "./vectors.js";
import { type Watched, watched } from "./watched.js";

export const DIMENSION = 64;
export const MODEL = "test-64-v1";
const SEARCH_TIMEOUT_MS = 2000;
const APPLIED_WAIT_MS = 2000;
const CONSENT_TO_ENTRY = 1;

export interface Person {
  hex: string;
  id: Uint8Array;
  partition: number;
  signature: Float32Array;
}

export interface Cluster {
  nats: LocalNats;
  nc: NatsConnection;
  eventLog: EventLog;
  gallery: Gallery;
  /** Of the site: wraps the data keys. */
  masterKey: Uint8Array;
  dir: string;
  workers: Watched<bus.WorkerState[]>;
  dataDir(workerId: string): string;
  /** Starts `palmgate matcher` as a process of its own. */
  startProcess(workerId: string, threads?: number): Promise<Child>;
  /** Resolves when every partition has exactly the wanted number of ready holders. */
  allServed(holders: number): Promise<void>;
  enrol(signature: Float32Array, modelId?: string): Promise<Person>;
  erase(person: Person, holders: number): Promise<void>;
  search(
    partition: number,
    probe: Float32Array,
    fields?: Partial<bus.ISearchRequest>,
  ): Promise<bus.SearchReply>;
  /** The best member over all partitions. */
  best(probe: Float32Array): Promise<string | undefined>;
  close(): Promise<void>;
}

export async function startCluster(partitions: number, replicas: number): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-matcher-"));
  const log = openLog("test");
  const nats = await startLocalNats(join(dir, "nats"));
  const nc = await connectNats({ url: nats.url, name: "test", log });
  const eventLog = await openEventLog(nc);
  const facts = {
    name: "members",
    partitions,
    replicas,
    modelId: MODEL,
    dimension: DIMENSION,
    lineMaps: false,
  };
  const gallery = await openGallery(nc, facts);
  const workers = watched<bus.WorkerState[]>();
  const watch = await watchWorkers(nc, workers.push, log);
  const children: Child[] = [];
  const masterKey = newDataKey();
  const dataDir = (workerId: string) => join(dir, workerId);

  const search: Cluster["search"] = async (partition, probe, fields = {}) => {
    const body = encode(bus.SearchRequest, {
      modelId: MODEL,
      probe: new Uint8Array(probe.buffer, probe.byteOffset, probe.byteLength),
      maxCandidates: 5,
      ...fields,
    });
    const answer = await nc.request(searchSubject(gallery.name, partition), body, {
      timeout: SEARCH_TIMEOUT_MS,
    });
    const reply = decode(bus.SearchReply, answer.data);
    if (!reply) throw new Error("no SearchReply");
    return reply;
  };

  return {
    nats,
    nc,
    eventLog,
    gallery,
    masterKey,
    dir,
    workers,
    dataDir,
    search,
    async startProcess(workerId, threads = 1) {
      const child = await startChild({
        name: workerId,
        args: ["matcher", "--worker-id", workerId, "--ops-port", "0", "--data-dir", dataDir(workerId)].concat(
          ["--threads", String(threads)],
        ),
        env: { PALMGATE_NATS_URL: nats.url, PALMGATE_MASTER_KEY: toHex(masterKey) },
        logFile: join(dir, `${workerId}.log`),
      });
      children.push(child);
      return child;
    },
    async allServed(holders) {
      await workers.until((states) =>
        Array.from({ length: partitions }, (_, partition) => readyHolders(states, partition)).every(
          (ready) => ready === holders,
        ),
      );
    },
    async enrol(signature, modelId = MODEL) {
      const id = new Uint8Array(randomBytes(16));
      const partition = partitionOf(id, partitions);
      const outcome = await enrolMember(
        { nc, eventLog, log, masterKey, appliedWaitMs: APPLIED_WAIT_MS },
        {
          gallery: gallery.name,
          partition,
          memberId: id,
          templates: [{ signature: ofVector(signature), modelId, position: 0 }],
          consents: [CONSENT_TO_ENTRY],
        },
      );
      if (!outcome.ok) throw new Error(`not enrolled: ${outcome.code} ${outcome.detail}`);
      return { hex: toHex(id), id, partition, signature };
    },
    async erase({ id, partition }, holders) {
      const outcome = await eraseMember(
        { nc, eventLog, log, appliedWaitMs: APPLIED_WAIT_MS },
        { gallery: gallery.name, partition, memberId: id, requestedBy: "operator", holders },
      );
      if (!outcome.ok) throw new Error(`not erased: ${outcome.code} ${outcome.detail}`);
    },
    async best(probe) {
      const all = Array.from({ length: partitions }, (_, partition) => search(partition, probe));
      const [first] = (await Promise.all(all))
        .flatMap(({ candidates }) => candidates)
        .sort((a, b) => (b.similarity ?? 0) - (a.similarity ?? 0));
      return first?.memberId ? toHex(first.memberId) : undefined;
    },
    async close() {
      watch.stop();
      await Promise.all(children.map((child) => child.stop()));
      await nc.close();
      await nats.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export function readyHolders(states: readonly bus.IWorkerState[], partition: number): number {
  return states.filter(({ partitions }) =>
    partitions?.some((each) => each.partition === partition && each.ready),
  ).length;
}
