// A gateway's front half over real sockets: the real server, lanes and presentations, with scripted signers, search,
// members and acts behind them, so that a test says what is found and when.
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";
import { Lanes } from "../../../gateway/lane/lanes.js";
import { Passages } from "../../../gateway/lane/passages.js";
import { SpentIds } from "../../../gateway/lane/spent-ids.js";
import { DecisionFeed } from "../../../gateway/live-feed.js";
import { openMetrics } from "../../../gateway/metrics.js";
import type { PresentationDeps } from "../../../gateway/presentation/deps.js";
import { Presentations } from "../../../gateway/presentation/presentations.js";
import { type RecordEvent, Recorder } from "../../../gateway/recorder.js";
import type { Act, Member, ScatterResult } from "../../../gateway/seams.js";
import type { Device, LanePurpose } from "../../../gateway/sites.js";
import { type App, listen, openApp, serveLanes } from "../../../gateway/transport.js";
import { decode, edge, encode } from "../../../wire/codec.js";
import { helloBytes } from "../../../wire/hello.js";
import { openLog } from "../../../wire/log.js";
import { ofVector } from "../../matcher/support/vectors.js";

export const ALICE = "aa".repeat(16);
export const SIDE_PX = 64;

export const found = (...candidates: [string, number][]): ScatterResult => ({
  complete: true,
  missing: [],
  templates: 100,
  candidates: candidates.map(([member, similarity]) => ({ member, similarity })),
});

const signed = () => ({
  ok: true as const,
  signature: ofVector(Float32Array.of(1, 0)),
  quality: { score: 80, reason: "OK" as const },
  queueMs: 0.5,
  signMs: 1.5,
});

export interface Script {
  sign: PresentationDeps["signers"]["sign"];
  search: PresentationDeps["search"];
  members: Map<string, Member>;
  act: Act;
  queued: number;
  maxPresentations: number;
  /** Before the event log answers an append. */
  beforeStored: () => Promise<void>;
}

/** Starts it with a script that recognises ALICE in every frame; a test changes what it needs. */
export async function startFront(
  limits: { maxPresentations?: number; maxEvents?: number; serveMore?: (app: App) => void } = {},
) {
  const script: Script = {
    sign: async () => signed(),
    search: async () => found([ALICE, 0.9]),
    members: new Map([[ALICE, memberOf(ALICE)]]),
    act: async () => ({ granted: true, reason: edge.Reason.WELCOME_MEMBER }),
    queued: 0,
    maxPresentations: limits.maxPresentations ?? 8,
    beforeStored: async () => {},
  };
  const recorded: (RecordEvent & { messageId: string | undefined })[] = [];
  const log = openLog("test");
  const recorder = new Recorder(
    {
      append: async (subject, body, opts) => {
        recorded.push({ subject, body, messageId: opts?.messageId });
        await script.beforeStored();
        return { ok: true, sequence: recorded.length, duplicate: false };
      },
    },
    log,
    limits.maxEvents ?? 100,
  );
  const metrics = openMetrics();
  const liveFeed = new DecisionFeed();
  const shared = { passages: new Passages(), spentIds: new SpentIds(), recorder, metrics, log };
  const presentations = new Presentations(
    {
      ...shared,
      liveFeed,
      signers: { sign: (job) => script.sign(job) },
      search: (gallery, probe, deadlineMs) => script.search(gallery, probe, deadlineMs),
      members: { get: (member) => script.members.get(member) },
      rulesFor: () => ({
        targetFpir: 1e-3,
        maxFrames: 3,
        ambiguityMargin: 0.02,
        similarityFor: () => 0.5,
        isKnown: (member) => script.members.has(member),
      }),
      actFor: () => script.act,
    },
    { maxPresentations: script.maxPresentations, maxQueuedFrames: 8 },
    () => script.queued,
  );
  const keys = new Map<string, KeyObject>();
  const devices = new Map<string, Device>();
  const addDevice = (id: string, purpose: LanePurpose) => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    keys.set(id, privateKey);
    devices.set(id, { id, publicKey, site: "north", purpose, gallery: "g" });
  };
  addDevice("gate-1", "ENTRY");
  addDevice("gate-2", "ENTRY");
  addDevice("till-1", "PAY");
  const lanes = new Lanes();
  const deviceOf = (id: string) => devices.get(id);
  const app = openApp(undefined);
  serveLanes(app, { ...shared, deviceOf, lanes, presentations, transport: "uws-native" });
  limits.serveMore?.(app);
  const { port } = await listen(app, "127.0.0.1", 0);
  return {
    port,
    script,
    /** What the event log has, once it has everything. */
    recorded: async () => {
      await recorder.flush();
      return recorded;
    },
    metrics,
    liveFeed,
    lanes,
    presentations,
    devices,
    deviceOf,
    connect: () => Client.connect(port),
    /** Connects and greets as this device. */
    welcome: async (deviceId: string) => {
      const client = await Client.connect(port);
      const { nonce } = await client.next("challenge");
      const key = keys.get(deviceId);
      if (key === undefined) throw new Error(`no device ${deviceId}`);
      client.send({ hello: helloOf(deviceId, nonce ?? new Uint8Array(), key) });
      await client.next("welcome");
      return client;
    },
    keyOf: (deviceId: string) => keys.get(deviceId) as KeyObject,
    close: () => app.close(),
  };
}

export type Front = Awaited<ReturnType<typeof startFront>>;

export const memberOf = (id: string): Member => ({
  id,
  gallery: "g",
  partition: 0,
  consents: new Set([edge.Purpose.ENTRY]),
  pairwiseId: (site) => `pairwise-${site}`,
});

export function helloOf(
  deviceId: string,
  nonce: Uint8Array,
  key: KeyObject,
  protocolVersion = 1,
): edge.IHello {
  const signature = sign(null, helloBytes(nonce, protocolVersion, deviceId), key);
  return { deviceId, protocolVersion, signature, agentVersion: "test" };
}

export const newId = () => randomBytes(16);

export const frameOf = (presentationId: Uint8Array, more: Partial<edge.IFrame> = {}): edge.IFrame => ({
  presentationId,
  sequence: 0,
  capturedUnixMs: Date.now(),
  encoding: edge.Encoding.GRAY8,
  widthPx: SIDE_PX,
  heightPx: SIDE_PX,
  stage: edge.Stage.ROI,
  modality: edge.Modality.NIR,
  image: new Uint8Array(SIDE_PX * SIDE_PX).fill(7),
  ...more,
});

type Kind = "challenge" | "welcome" | "credit" | "guide" | "decision" | "error" | "heartbeat";

/** The other end of a link, with everything it was told in order. */
export class Client {
  readonly #socket: WebSocket;
  readonly #told: edge.ServerMessage[] = [];
  #wake: (() => void) | undefined;
  #credit = 0;
  closeCode: number | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (bytes: Buffer) => {
      const message = decode(edge.ServerMessage, bytes);
      if (message === undefined) throw new Error("the gateway sent no ServerMessage");
      this.#told.push(message);
      const limit = [message.credit, message.welcome, message.decision, message.error]
        .map((each) => each?.creditLimit ?? 0)
        .reduce((a, b) => Math.max(a, b), this.#credit);
      this.#credit = limit;
      this.#wake?.();
    });
    socket.on("close", (code) => {
      this.closeCode = code;
      this.#wake?.();
    });
  }

  static async connect(port: number): Promise<Client> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/link`);
    const client = new Client(socket);
    await once(socket, "open");
    return client;
  }

  /** Highest credit limit heard so far. */
  get credit(): number {
    return this.#credit;
  }

  send(message: edge.IClientMessage): void {
    this.#socket.send(encode(edge.ClientMessage, message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  /** The next message of this kind; those of other kinds before it are dropped, but an error is never overlooked. */
  async next<K extends Kind>(kind: K): Promise<NonNullable<edge.ServerMessage[K]>> {
    for (;;) {
      const message = this.#told.shift();
      const wanted = message?.[kind];
      if (wanted !== undefined && wanted !== null) return wanted;
      if (message?.error) throw new Error(`told ${edge.ErrorCode[message.error.code ?? 0]}, not ${kind}`);
      if (message !== undefined) continue;
      if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode}, before ${kind}`);
      await this.#change();
    }
  }

  /** The code of the next error. */
  async nextError(): Promise<keyof typeof edge.ErrorCode> {
    const { code } = await this.next("error");
    return edge.ErrorCode[code ?? 0] as keyof typeof edge.ErrorCode;
  }

  /** Everything told and not yet taken. */
  take(): edge.ServerMessage[] {
    return this.#told.splice(0);
  }

  /** Waits until the gateway has handled everything sent before, by a heartbeat's echo. */
  async settled(): Promise<void> {
    const sentUnixMs = Math.floor(Math.random() * 2 ** 40) + 1;
    this.send({ heartbeat: { sentUnixMs } });
    while (!this.#told.some((each) => each.heartbeat?.echoSentUnixMs === sentUnixMs)) await this.#change();
  }

  async closed(): Promise<number> {
    while (this.closeCode === undefined) await this.#change();
    return this.closeCode;
  }

  close(): void {
    this.#socket.close();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

/** Something a test lets go on when it wants. */
export function gate<T>() {
  let open = (_: T) => {};
  let entered = () => {};
  const waiting = new Promise<T>((resolve) => {
    open = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    entered = resolve;
  });
  return {
    wait: () => {
      entered();
      return waiting;
    },
    reached,
    open: (value: T) => open(value),
  };
}
