// 10,000 messages that were valid before a few of their bytes were changed, on the edge link of a real gateway:
// never a crash, never a decision, nobody welcomed who did not prove it, and afterwards a palm still opens the gate.
//
// A change that leaves a message valid (a bit in a pixel, in the id, in a time) is no case here: `harmless` tells, and
// another change is drawn. Seeded: a failure names the seed and the number of the message.
import { sign } from "node:crypto";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { seeded } from "../../bench/seeded.js";
import { syntheticPerson } from "../../cli/demo/people.js";
import { loadDeviceKey } from "../../edge-agent/device-key.js";
import { decode, edge, encode } from "../../wire/codec.js";
import { helloBytes } from "../../wire/hello.js";
import {
  MAX_IMAGE_SIDE_PX,
  MIN_IMAGE_SIDE_PX,
  PASSAGE_TOKEN_BYTES,
  PRESENTATION_DEADLINE_MS,
} from "../../wire/limits.js";
import { DEVICES, openSite, present, type Site, seen, until } from "./support.js";

const MESSAGES = 10_000;
const SEED = 20_260_101;
const LANES = 4;
const PERSON = 1;
const ANSWER_DEADLINE_MS = 10_000;
const MAX_DRAWS = 1000;

type Random = () => number;

const below = (random: Random, bound: number) => Math.floor(random() * bound);
const noise = (random: Random, length: number) => Uint8Array.from({ length }, () => below(random, 256));

/** One change of a few bytes. */
const MUTATIONS: readonly ((bytes: Uint8Array, random: Random) => Uint8Array)[] = [
  (bytes, random) => {
    const changed = Uint8Array.from(bytes);
    const at = below(random, Math.min(bytes.length, 64)); // the fields lie in front of the pixels
    changed[at] = (changed[at] ?? 0) ^ (1 << below(random, 8));
    return changed;
  },
  (bytes, random) => {
    const changed = Uint8Array.from(bytes);
    changed.set(
      noise(random, 1 + below(random, 4)),
      below(random, Math.max(1, Math.min(bytes.length, 80) - 4)),
    );
    return changed;
  },
  (bytes, random) => bytes.slice(0, below(random, bytes.length)),
  (bytes, random) => splice(bytes, below(random, bytes.length), 0, noise(random, 1 + below(random, 16))),
  (bytes, random) => splice(bytes, below(random, bytes.length), 1 + below(random, 16), new Uint8Array()),
  (bytes, random) => {
    const from = below(random, bytes.length);
    return splice(bytes, below(random, bytes.length), 0, bytes.slice(from, from + 1 + below(random, 64)));
  },
  (bytes, random) => splice(bytes, bytes.length, 0, noise(random, 1 + below(random, 32))),
  (_, random) => noise(random, below(random, 200)),
];

function splice(bytes: Uint8Array, at: number, drop: number, insert: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + drop)]);
}

/** Still a frame that may be searched with. */
function validFrame({ frame }: edge.ClientMessage): boolean {
  if (!(frame instanceof edge.Frame) || frame.charge) return false;
  const side = (px: number) => px >= MIN_IMAGE_SIDE_PX && px <= MAX_IMAGE_SIDE_PX;
  return (
    frame.presentationId.length === 16 &&
    frame.encoding === edge.Encoding.GRAY8 &&
    frame.stage === edge.Stage.ROI &&
    (frame.modality === edge.Modality.VISIBLE || frame.modality === edge.Modality.NIR) &&
    side(frame.widthPx) &&
    side(frame.heightPx) &&
    frame.image.length === frame.widthPx * frame.heightPx
  );
}

/** Still a Hello that says the same of the same device. */
const sameHello = ({ hello }: edge.ClientMessage, original: edge.Hello.$Properties) =>
  hello?.deviceId === original.deviceId &&
  hello?.protocolVersion === original.protocolVersion &&
  Buffer.compare(Buffer.from(hello?.signature ?? []), Buffer.from(original.signature ?? [])) === 0;

function mutated(
  original: Uint8Array,
  random: Random,
  harmless: (message: edge.ClientMessage) => boolean,
): Uint8Array {
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const changed = MUTATIONS[below(random, MUTATIONS.length)]?.(original, random) ?? original;
    const message = decode(edge.ClientMessage, changed);
    if (message === undefined || !harmless(message)) return changed;
  }
  throw new Error("no change of this message does harm");
}

/** A link that is opened again whenever the gateway closes it, and remembers what must never come. */
class FuzzLane {
  decisions = 0;
  errors = 0;
  #socket: WebSocket | undefined;
  #nonce: Uint8Array = new Uint8Array();
  #welcomed = false;
  #echo = 0;
  #sent = 0;
  #wake = () => {};

  constructor(
    readonly url: string,
    readonly deviceId: string,
    readonly keyFile: string,
  ) {}

  /** A changed Hello on a connection of its own. */
  async hello(random: Random): Promise<void> {
    await this.#reconnect();
    const hello = this.#hello();
    const bytes = mutated(encode(edge.ClientMessage, { hello }), random, (changed) =>
      sameHello(changed, hello),
    );
    this.#socket?.send(bytes);
    await this.#until(() => this.#welcomed || this.#closed());
    expect(this.#welcomed).toBe(false);
  }

  /** A changed message on a welcomed link. */
  async message(original: edge.ClientMessage.$Properties, random: Random): Promise<void> {
    if (!this.#welcomed || this.#closed()) await this.#greet();
    const bytes = mutated(encode(edge.ClientMessage, original), random, validFrame);
    this.#sent += 1;
    this.#socket?.send(bytes);
    this.#socket?.send(encode(edge.ClientMessage, { heartbeat: { sentUnixMs: this.#sent } }));
    await this.#until(() => this.#echo === this.#sent || this.#closed());
  }

  close(): void {
    this.#socket?.terminate();
  }

  async #greet(): Promise<void> {
    await this.#reconnect();
    this.#socket?.send(encode(edge.ClientMessage, { hello: this.#hello() }));
    await this.#until(() => this.#welcomed);
  }

  #hello(): edge.Hello.$Properties {
    const signature = sign(null, helloBytes(this.#nonce, 1, this.deviceId), loadDeviceKey(this.keyFile));
    return { deviceId: this.deviceId, protocolVersion: 1, signature, agentVersion: "fuzz" };
  }

  async #reconnect(): Promise<void> {
    this.#socket?.terminate();
    this.#welcomed = false;
    this.#nonce = new Uint8Array();
    const socket = new WebSocket(`${this.url.replace("http", "ws")}/link`);
    this.#socket = socket;
    socket.on("message", (bytes: Buffer) => this.#hear(bytes));
    socket.on("close", () => this.#wake());
    await once(socket, "open");
    await this.#until(() => this.#nonce.length > 0);
  }

  #hear(bytes: Buffer): void {
    const told = decode(edge.ServerMessage, bytes);
    if (told === undefined) throw new Error("the gateway sent no ServerMessage");
    if (told.challenge) this.#nonce = Uint8Array.from(told.challenge.nonce ?? []);
    if (told.welcome) this.#welcomed = true;
    if (told.decision) this.decisions += 1;
    if (told.error) this.errors += 1;
    if (told.heartbeat) this.#echo = told.heartbeat.echoSentUnixMs ?? 0;
    this.#wake();
  }

  #closed(): boolean {
    return this.#socket === undefined || this.#socket.readyState === WebSocket.CLOSED;
  }

  async #until(holds: () => boolean): Promise<void> {
    const deadline = setTimeout(() => this.#socket?.terminate(), ANSWER_DEADLINE_MS);
    while (!holds()) {
      if (this.#closed()) throw new Error("the link was closed without an answer");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    clearTimeout(deadline);
  }
}

describe("mutated messages on the edge link", () => {
  let site: Site;
  beforeAll(async () => {
    const lanes = Array.from({ length: LANES }, (_, at) => ({
      id: `fuzz-${at}`,
      site: "north",
      purpose: "ENTRY" as const,
    }));
    site = await openSite({ gateways: 1, desks: 1, ledgers: 1, rows: 1, devices: [...DEVICES, ...lanes] });
    await site.enrol(PERSON);
  });
  afterAll(() => site?.close());

  it("never crash the gateway and never make a decision", { timeout: 300_000 }, async () => {
    const { pid } = site.stack.child("gateway-1");
    const [image] = syntheticPerson(PERSON).crops(0);
    if (image === undefined) throw new Error("no image of the enrolled palm");
    const lanes = Array.from({ length: LANES }, (_, at) => {
      const id = `fuzz-${at}`;
      return new FuzzLane(site.stack.linkUrl, id, site.stack.deviceKeyFile(id));
    });
    await Promise.all(
      lanes.map(async (lane, at) => {
        for (let number = at; number < MESSAGES; number += LANES) {
          const random = seeded(SEED + number);
          await oneMessage(lane, image, random).catch((error: unknown) => {
            throw new Error(`message ${number} of seed ${SEED}: ${String(error)}`, { cause: error });
          });
        }
      }),
    );
    const { metrics } = await afterTheLastDeadline(site);
    expect(lanes.map(({ decisions }) => decisions)).toEqual(lanes.map(() => 0));
    expect(metrics).not.toMatch(/^palmgate_decisions_total\{.*\} [1-9]/m);
    expect(lanes.reduce((sum, { errors }) => sum + errors, 0)).toBeGreaterThan(MESSAGES / 2);
    for (const lane of lanes) lane.close();

    expect(site.stack.child("gateway-1").pid).toBe(pid);
    const gate = await site.lane("gate-1");
    expect(seen(await present(gate, PERSON))).toMatchObject({ outcome: "MATCH", granted: true });
  });
});

/** Draws what to change: mostly frames of a palm that would be let in, some greetings, reports and heartbeats. */
async function oneMessage(
  lane: FuzzLane,
  image: { width: number; height: number; pixels: Uint8Array },
  random: Random,
): Promise<void> {
  const kind = random();
  if (kind < 0.15) return lane.hello(random);
  if (kind < 0.25) return lane.message({ heartbeat: { sentUnixMs: below(random, 2 ** 30) } }, random);
  const presentationId = noise(random, 16);
  if (kind < 0.35) {
    const passageToken = noise(random, PASSAGE_TOKEN_BYTES);
    const gateReport = { presentationId, passageToken, passage: edge.Passage.OPENED, atUnixMs: 1 };
    return lane.message({ gateReport }, random);
  }
  const frame = {
    presentationId,
    sequence: below(random, 3),
    capturedUnixMs: 1_800_000_000_000,
    encoding: edge.Encoding.GRAY8,
    widthPx: image.width,
    heightPx: image.height,
    stage: edge.Stage.ROI,
    modality: edge.Modality.VISIBLE,
    image: image.pixels,
    last: random() < 0.5,
  };
  return lane.message({ frame }, random);
}

/** What the gateway says once no presentation can be open any more. */
async function afterTheLastDeadline(site: Site): Promise<{ metrics: string }> {
  let metrics = "";
  await until("no presentation open", 10 * PRESENTATION_DEADLINE_MS, async () => {
    metrics = await (await fetch(`${site.stack.opsUrl("gateway-1")}/metrics`)).text();
    return /^palmgate_presentations_active 0$/m.test(metrics);
  });
  return { metrics };
}
