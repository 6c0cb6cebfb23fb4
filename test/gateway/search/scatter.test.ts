import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Scatter } from "../../../gateway/search/scatter.js";
import { bus, decode, encode } from "../../../wire/codec.js";
import { openLog } from "../../../wire/log.js";
import { connectNats } from "../../../wire/nats.js";
import { type LocalNats, startLocalNats } from "../../../wire/nats-server.js";
import { MATCHER_QUEUE, searchSubject } from "../../../wire/subjects.js";
import { ofVector } from "../../matcher/support/vectors.js";

const GALLERY = "g";
const PARTITIONS = 3;
const member = (digit: number) => new Uint8Array(16).fill(digit);
const hexOf = (bytes: Uint8Array = new Uint8Array()) => Buffer.from(bytes).toString("hex");
const hex = (digit: number) => hexOf(member(digit));

describe("scatter", () => {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-scatter-"));
  let server: LocalNats;
  let nats: NatsConnection;
  let matchers: NatsConnection;
  let scatter: Scatter;
  beforeAll(async () => {
    server = await startLocalNats(dir);
    const log = openLog("test");
    nats = await connectNats({ url: server.url, name: "gateway", log });
    matchers = await connectNats({ url: server.url, name: "matchers", log });
    scatter = new Scatter(nats);
  });
  const subscriptions: { unsubscribe(): void }[] = [];
  afterEach(async () => {
    for (const each of subscriptions.splice(0)) each.unsubscribe();
    await matchers.flush();
    expect(scatter.active).toBe(0);
  });
  afterAll(async () => {
    scatter.close();
    await nats.close();
    await matchers.close();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** A stand-in for a matcher: what it says, and nothing more. */
  const serve = async (partition: number, answer: (message: Msg) => void) => {
    const callback = (_: Error | null, message: Msg) => answer(message);
    subscriptions.push(
      matchers.subscribe(searchSubject(GALLERY, partition), { queue: MATCHER_QUEUE, callback }),
    );
    await matchers.flush();
  };
  const found = (partition: number, ...candidates: [number, number][]) =>
    encode(bus.SearchReply, {
      partition,
      status: bus.SearchStatus.SEARCHED,
      templates: 10,
      candidates: candidates.map(([digit, similarity]) => ({ memberId: member(digit), similarity })),
    });
  const serveAll = async () => {
    for (let p = 0; p < PARTITIONS; p++) await serve(p, (m) => m.respond(found(p, [p + 1, 0.25 * p])));
  };
  const ask = (deadlineMs: number, probe = ofVector(Float32Array.of(0.6, 0.8))) =>
    scatter.ask({
      gallery: GALLERY,
      partitions: PARTITIONS,
      modelId: "m",
      probe,
      deadlineMs,
    });

  it("gathers all partitions and merges them by member", async () => {
    await serveAll();
    expect(await ask(2000)).toEqual({
      complete: true,
      missing: [],
      templates: 30,
      candidates: [
        { member: hex(3), similarity: 0.5 },
        { member: hex(2), similarity: 0.25 },
        { member: hex(1), similarity: 0 },
      ],
    });
  });

  it("sends the probe's vector as little-endian floats, its line maps and codes as little-endian words", async () => {
    const asked: Record<string, string>[] = [];
    await serve(0, (m) => {
      const { modelId = "", probe, lines, codes } = decode(bus.SearchRequest, m.data) ?? {};
      asked.push({ modelId, probe: hexOf(probe), lines: hexOf(lines), codes: hexOf(codes) });
      m.respond(found(0));
    });
    for (const partition of [1, 2]) await serve(partition, (m) => m.respond(found(partition)));
    const vector = Float32Array.of(0.6, 0.8);
    // A view amid other words: only its own are sent.
    const lines = Uint32Array.of(9, 0x01020304, 0xfffffffe, 9).subarray(1, 3);
    await ask(2000, { vector, lines, codes: Uint32Array.of(7) });
    await ask(2000, ofVector(vector));
    const probe = "9a99193f" + "cdcc4c3f";
    expect([asked[0], asked.at(-1)]).toEqual([
      { modelId: "m", probe, lines: "04030201" + "feffffff", codes: "07000000" },
      { modelId: "m", probe, lines: "", codes: "" },
    ]);
  });

  it("leaves nothing of the probe in what it sent, once it has ended", async () => {
    await serveAll();
    const sent: Uint8Array[] = [];
    const really = nats.publish.bind(nats);
    const publish = vi.spyOn(nats, "publish").mockImplementation((subject, payload, options) => {
      sent.push(payload as Uint8Array);
      really(subject, payload, options);
    });
    try {
      const lines = new Uint32Array(100).fill(7);
      await ask(2000, { vector: Float32Array.of(0.6, 0.8), lines, codes: lines.slice() });
    } finally {
      publish.mockRestore();
    }
    expect(sent).toHaveLength(PARTITIONS);
    expect(sent.every((body) => body.length > 400 && body.every((byte) => byte === 0))).toBe(true);
  });

  it("names a partition that nobody serves, long before the deadline", async () => {
    await serve(0, (m) => m.respond(found(0)));
    await serve(2, (m) => m.respond(found(2)));
    const fromMs = performance.now();
    expect(await ask(10_000)).toMatchObject({ complete: false, missing: [1], templates: 20 });
    expect(performance.now() - fromMs).toBeLessThan(5000);
  });

  it("names a silent partition at the deadline", async () => {
    await serveAll();
    subscriptions.splice(1, 1)[0]?.unsubscribe();
    await serve(1, () => {});
    expect(await ask(150)).toMatchObject({ complete: false, missing: [1] });
  });

  it("asks a silent partition once more, and takes the second answer", async () => {
    await serve(0, (m) => m.respond(found(0)));
    await serve(2, (m) => m.respond(found(2)));
    let asks = 0;
    await serve(1, (m) => {
      asks += 1;
      if (asks === 2) m.respond(found(1, [7, 0.9]));
    });
    expect(await ask(2000)).toMatchObject({ complete: true, candidates: [{ member: hex(7) }] });
    expect(asks).toBe(2);
  });

  it("asks a partition once more that nobody served at first", async () => {
    await serve(0, (m) => m.respond(found(0)));
    await serve(1, (m) => m.respond(found(1)));
    const asked = ask(2000);
    await serve(2, (m) => m.respond(found(2)));
    expect(await asked).toMatchObject({ complete: true });
  });

  it.each([
    ["not ready", encode(bus.SearchReply, { partition: 1, status: bus.SearchStatus.NOT_READY })],
    ["of another model", encode(bus.SearchReply, { partition: 1, status: bus.SearchStatus.MODEL_MISMATCH })],
    ["of another partition", encode(bus.SearchReply, { partition: 2, status: bus.SearchStatus.SEARCHED })],
    ["no message", new Uint8Array([0x0a, 0xff])],
    [
      "no number",
      encode(bus.SearchReply, {
        partition: 1,
        status: bus.SearchStatus.SEARCHED,
        candidates: [{ memberId: member(1), similarity: Number.NaN }],
      }),
    ],
    [
      "no member id",
      encode(bus.SearchReply, {
        partition: 1,
        status: bus.SearchStatus.SEARCHED,
        candidates: [{ memberId: new Uint8Array(3), similarity: 1 }],
      }),
    ],
  ])("takes an answer that is %s for none", async (_, reply) => {
    await serve(0, (m) => m.respond(found(0)));
    await serve(2, (m) => m.respond(found(2)));
    await serve(1, (m) => m.respond(reply));
    expect(await ask(2000)).toMatchObject({ complete: false, missing: [1] });
  });

  it("keeps scatters under way apart", async () => {
    for (let p = 0; p < PARTITIONS; p++) {
      await serve(p, (m) => {
        const probe = Uint8Array.from(decode(bus.SearchRequest, m.data)?.probe ?? []);
        const [first = 0] = new Float32Array(probe.buffer);
        m.respond(found(p, [Math.round(first * 10), 0.5]));
      });
    }
    const asked = [1, 2, 3, 4].map((digit) =>
      scatter.ask({
        gallery: GALLERY,
        partitions: PARTITIONS,
        modelId: "m",
        probe: ofVector(Float32Array.of(digit / 10, 0)),
        deadlineMs: 2000,
      }),
    );
    const members = (await Promise.all(asked)).map((each) => each.candidates.map((one) => one.member));
    expect(members).toEqual([[hex(1)], [hex(2)], [hex(3)], [hex(4)]]);
  });

  it("answers with everything missing while the server is away, and with all of it when it is back", async () => {
    await serveAll();
    await server.kill();
    expect(await ask(100)).toMatchObject({ complete: false, missing: [0, 1, 2] });
    const back = Promise.all([nats, matchers].map(reconnected));
    await server.restart();
    await back;
    await matchers.flush();
    expect(await ask(2000)).toMatchObject({ complete: true });
  });
});

async function reconnected(connection: NatsConnection): Promise<void> {
  for await (const status of connection.status()) if (status.type === "reconnect") return;
}
