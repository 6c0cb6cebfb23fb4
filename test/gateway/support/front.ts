// A gateway's front half over real sockets: the real server, lanes, presentations and record, with scripted signers,
// search and acts behind them, so that a test says what is found and when. Two of them on one log are two gateways.
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { Lanes } from "../../../gateway/lane/lanes.js";
import { openMetrics } from "../../../gateway/metrics.js";
import { Answers } from "../../../gateway/presentation/answer.js";
import { Presentations } from "../../../gateway/presentation/presentations.js";
import { Sensor } from "../../../gateway/presentation/sensor.js";
import { entry } from "../../../gateway/purposes/entry.js";
import type { Purpose } from "../../../gateway/purposes/purpose.js";
import { Grants } from "../../../gateway/record/grants.js";
import { Passages } from "../../../gateway/record/passages.js";
import { Recorder } from "../../../gateway/record/recorder.js";
import { listen, openApp, serveLanes } from "../../../gateway/transport.js";
import type { SearchRequest, SearchResult } from "../../../identify/index.js";
import type { SignerPool } from "../../../palm/index.js";
import { bus, decode } from "../../../wire/codec.js";
import type { Device, LanePurpose } from "../../../wire/directory.js";
import { publicKeyToBase64 } from "../../../wire/ed25519.js";
import { fromHex } from "../../../wire/hex.js";
import { openKeyring } from "../../../wire/keyring.js";
import type { LaneBook, LaneEntry } from "../../../wire/lane-book.js";
import type { LiveDecision } from "../../../wire/live.js";
import { openLog } from "../../../wire/log.js";
import { ofVector } from "../../matcher/support/vectors.js";
import { Client, helloOf } from "./client.js";
import { type MemoryLog, memoryLog, type Shelf } from "./memory-log.js";

export const ORGANISATION = "acme";
export const ALICE = "aa".repeat(16);
export const BOB = "bb".repeat(16);

export const factsOf = (hex: string, more: Partial<bus.MemberFacts.$Properties> = {}): bus.MemberFacts =>
  bus.MemberFacts.create({
    memberId: fromHex(hex),
    revision: 1,
    booksRef: fromHex(hex).map((byte) => byte ^ 0xff),
    pairwiseRoot: new Uint8Array(32).fill(fromHex(hex)[0] ?? 0),
    profile: {
      consents: [1, 2],
      instrument: { processor: "sandbox", token: "tok_approve", brand: "visa", last4: "4242" },
    },
    ...more,
  });

export const found = (...candidates: [string, number][]): SearchResult => ({
  complete: true,
  missing: 0,
  templates: 100,
  candidates: candidates.map(([member, similarity], at) => ({
    member,
    similarity,
    ...(at === 0 ? { facts: factsOf(member) } : {}),
  })),
});

const signed = () => ({
  ok: true as const,
  signature: ofVector(Float32Array.of(1, 0)),
  quality: { score: 80, reason: "OK" as const },
  queueMs: 0.5,
  signMs: 1.5,
});

export interface Script {
  sign: SignerPool["sign"];
  search(request: SearchRequest): Promise<SearchResult>;
  /** In place of what the lane's purpose does. */
  act: Purpose["act"] | undefined;
  queued: number;
  /** Of PAY lanes; the real one is two. */
  framesToAgree: number;
  /** Of PAY lanes; `undefined` as the purpose has it. */
  actBudgetMs: number | undefined;
}

/** What gateways of one fleet share. */
export interface World {
  log: Shelf;
  book: Pick<LaneBook, "get" | "put" | "remove" | "onEntry">;
  devices: Map<string, Device>;
  keys: Map<string, KeyObject>;
  masterKey: Uint8Array;
  nowUnixMs(): number;
  /** Tells the gateways that the directory has changed. */
  directoryChanged(): void;
  onDirectoryChange(listener: () => void): () => void;
}

/** A world in memory, with two gates and a till. */
export function newWorld(): World & { log: MemoryLog } {
  const listeners = new Set<() => void>();
  const world = {
    log: memoryLog(),
    book: memoryBook(),
    devices: new Map<string, Device>(),
    keys: new Map<string, KeyObject>(),
    masterKey: new Uint8Array(randomBytes(32)),
    nowUnixMs: () => Date.now(),
    directoryChanged: () => {
      for (const listener of listeners) listener();
    },
    onDirectoryChange: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const add = (id: string, purpose: LanePurpose) => {
    const { privateKey } = generateKeyPairSync("ed25519");
    world.keys.set(id, privateKey);
    const publicKey = publicKeyToBase64(privateKey);
    world.devices.set(id, {
      organisation: ORGANISATION,
      id,
      publicKey,
      site: "north",
      purpose,
      gallery: "g",
    });
  };
  add("gate-1", "ENTRY");
  add("gate-2", "ENTRY");
  add("till-1", "PAY");
  return world;
}

function memoryBook(): World["book"] {
  const entries = new Map<string, LaneEntry>();
  const listeners = new Set<(entry: LaneEntry) => void>();
  return {
    get: (deviceId) => entries.get(deviceId),
    put: async (entry) => {
      entries.set(entry.deviceId, entry);
      for (const listener of listeners) listener(entry);
      return true;
    },
    remove: async (deviceId, link) => {
      if (entries.get(deviceId)?.link === link) entries.delete(deviceId);
      return true;
    },
    onEntry: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export interface FrontOptions {
  world?: World;
  gatewayId?: string;
  maxPresentations?: number;
  maxEvents?: number;
}

/** Starts it with a script that recognises ALICE in every frame; a test changes what it needs. */
export async function startFront({
  world = newWorld(),
  gatewayId = "gateway-1",
  maxPresentations = 8,
  maxEvents = 100,
}: FrontOptions = {}) {
  const script: Script = {
    sign: async () => signed(),
    search: async () => found([ALICE, 0.9]),
    act: undefined,
    queued: 0,
    framesToAgree: 1,
    actBudgetMs: undefined,
  };
  process.env.PALMGATE_LOG ??= "fatal";
  const log = openLog("test");
  const { nowUnixMs } = world;
  const keyring = openKeyring(world.masterKey, () => []);
  const metrics = openMetrics();
  const recorder = new Recorder(world.log, log, maxEvents);
  const passages = new Passages({ eventLog: world.log, keyring, nowUnixMs });
  const grants = new Grants({ eventLog: world.log, recorder, passages, keyring, gatewayId, nowUnixMs });
  const shown: LiveDecision[] = [];
  const show = (decision: LiveDecision) => void shown.push(decision);
  const answers = new Answers({ grants, recorder, metrics, show, gatewayId, nowUnixMs });
  const purposes = scripted(script);
  const presentations = new Presentations(
    {
      sensor: new Sensor({ sign: (job) => script.sign(job) }, (request) => script.search(request), "m"),
      rulesFor: ({ purpose }) => ({
        targetFpir: 1e-3,
        maxFrames: 3,
        ambiguityMargin: 0.02,
        framesToAgree: purpose === "PAY" ? script.framesToAgree : 1,
        similarityFor: () => 0.5,
      }),
      purposes,
      answers,
      metrics,
      log,
    },
    {
      maxPresentations,
      maxQueuedFrames: 8,
      queuedFrames: () => script.queued,
      recordFull: (reserved) => recorder.full(reserved),
    },
  );
  const lanes = new Lanes({
    directory: { device: (id) => world.devices.get(id), onChange: world.onDirectoryChange },
    book: world.book,
    presentations,
    passages,
    purposes,
    metrics,
    transport: "uws-native",
    gatewayId,
    nowUnixMs,
    log,
  });
  const app = openApp(undefined);
  serveLanes(app, lanes, metrics);
  const { port } = await listen(app, "127.0.0.1", 0);
  return {
    port,
    world,
    script,
    metrics,
    shown,
    lanes,
    presentations,
    recorder,
    connect: () => Client.connect(port),
    /** Connects and greets as this device. */
    welcome: async (deviceId: string) => {
      const client = await Client.connect(port);
      const { nonce } = await client.next("challenge");
      client.send({ hello: helloOf(deviceId, nonce ?? new Uint8Array(), keyOf(world, deviceId)) });
      await client.next("welcome");
      return client;
    },
    keyOf: (deviceId: string) => keyOf(world, deviceId),
    close: async () => {
      lanes.close();
      app.close();
      await recorder.close();
    },
  };
}

export type Front = Awaited<ReturnType<typeof startFront>>;

function keyOf({ keys }: World, deviceId: string): KeyObject {
  const key = keys.get(deviceId);
  if (key === undefined) throw new Error(`no device ${deviceId}`);
  return key;
}

/** The purposes with the script's act in place of theirs. PAY has no processor here: purposes.pay.test.ts has. */
function scripted(script: Script) {
  const act: Purpose["act"] = async (member, request) => {
    if (script.act !== undefined) return script.act(member, request);
    return entry.act(member, request);
  };
  const pay: Purpose = {
    charges: true,
    get framesToAgree() {
      return script.framesToAgree;
    },
    get actBudgetMs() {
      return script.actBudgetMs ?? 8000;
    },
    act,
  };
  return { ENTRY: { ...entry, act }, PAY: pay };
}

/** Every decision in a memory log, once the recorder has brought all. */
export async function decisionsOf({ recorder }: Front, log: MemoryLog) {
  await recorder.flush();
  return log.events.flatMap(({ subject, body }) =>
    subject.startsWith("decisions.")
      ? [Object.assign(decode(bus.DecisionEvent, body) ?? new bus.DecisionEvent(), { subject })]
      : [],
  );
}

export const passagesOf = (log: MemoryLog) =>
  log.events.flatMap(({ subject, body }) =>
    subject.startsWith("passages.")
      ? [Object.assign(decode(bus.PassageEvent, body) ?? new bus.PassageEvent(), { subject })]
      : [],
  );
