// Files of whole hands: what is decoded, and what never is. The sight here sees a hand in whatever is bright enough.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { describeEnd, lineOf } from "../../edge-agent/report.js";
import { openDirectorySource } from "../../edge-agent/source/directory.js";
import { readHandFile, readPalmOfHand } from "../../edge-agent/source/hand-file.js";
import { edge } from "../../wire/codec.js";
import { listLog, openLane } from "./lane.js";
import { SquareSight, temporaryFolder } from "./videos.js";

function file(name: string, bytes: Uint8Array): string {
  const path = join(temporaryFolder(), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

const image = (width: number, height: number, background = "#e0c0b0") =>
  sharp({ create: { width, height, channels: 3, background } });

/** As PNG has it (node:zlib has one only from Node 20.15 on). */
function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** A few hundred kilobytes that announce side x side grey pixels and hold them, all of one value. */
function bomb(side: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const pixels = deflateSync(Buffer.alloc(side * (side + 1)));
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", header),
    chunk("IDAT", pixels),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("a file of a whole hand", () => {
  it("becomes RGB pixels, scaled down, upright as the camera was held", async () => {
    const jpeg = await image(3000, 2000).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const read = await readHandFile(file("a.jpg", jpeg));
    if (!read.ok) throw new Error(read.why);
    expect(read.image).toMatchObject({ width: 1067, height: 1600, channels: 3 });
    expect(read.image.pixels).toHaveLength(1067 * 1600 * 3);
    const [red = 0, green = 0, blue = 0] = read.image.pixels;
    expect(red).toBeGreaterThan(green);
    expect(green).toBeGreaterThan(blue);
  });

  it("may be grey, with or without transparency, or a bitmap", async () => {
    for (const png of [
      await image(100, 80, "#808080").greyscale().png().toBuffer(),
      await image(100, 80, "#808080").ensureAlpha(0.5).png().toBuffer(),
    ]) {
      const read = await readHandFile(file("a.png", png));
      if (!read.ok) throw new Error(read.why);
      expect(read.image).toMatchObject({ width: 100, height: 80, channels: 3 });
      expect(new Set(read.image.pixels)).toEqual(new Set([128]));
    }
  });

  it.each([
    ["no image", async () => Buffer.from("no image at all")],
    ["nothing", async () => Buffer.alloc(0)],
    ["a truncated JPEG", async () => (await image(800, 600).jpeg().toBuffer()).subarray(0, 1500)],
    ["a truncated PNG", async () => (await image(800, 600).png().toBuffer()).subarray(0, 200)],
    ["one pixel", async () => image(1, 1).png().toBuffer()],
    ["a decompression bomb", async () => bomb(12_000)],
    ["100 megapixels of JPEG", async () => image(12_000, 8_500).jpeg().toBuffer()],
    ["a film of a hundred images", async () => film(100)],
    ["more bytes than a photograph has", async () => Buffer.alloc(33 * 1024 * 1024)],
  ])("that is %s ends in BAD_IMAGE, soon and without its pixels in memory", async (_what, bytesOf) => {
    const path = file("a.png", await bytesOf());
    const sight = new SquareSight();
    const memoryBefore = process.memoryUsage().rss;
    const startedAtMs = performance.now();
    expect(await readPalmOfHand(path, sight)).toMatchObject({ ok: false, code: "BAD_IMAGE" });
    expect(performance.now() - startedAtMs).toBeLessThan(1000);
    expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(80 * 1024 * 1024);
    expect(sight.looks).toEqual([]);
  });
});

const film = async (pages: number): Promise<Buffer> => {
  const frames = await Promise.all(
    Array.from({ length: pages }, (_, i) => image(64, 64, `rgb(${i}, 0, 0)`).png().toBuffer()),
  );
  return sharp(frames, { join: { animated: true } })
    .gif()
    .toBuffer();
};

describe("a folder of whole hands", () => {
  it("is presented as the palms in it; a palm that cannot be found ends with its code, and nothing is sent", async () => {
    const dir = temporaryFolder();
    for (const [name, background] of [
      ["anna", "#e0c0b0"],
      ["nobody", "#202020"],
    ] as const) {
      mkdirSync(join(dir, name));
      writeFileSync(join(dir, name, "1_1.png"), await image(640, 480, background).png().toBuffer());
    }
    const { log, lines } = listLog();
    const sight = new SquareSight();
    const source = await openDirectorySource({ dir, encoding: "gray8", openSight: async () => sight, log });
    const { agent, connection } = await openLane();
    const anna = await source.next();
    if (!anna) throw new Error("no palm");
    const presented = agent.present(anna);
    const frame = await connection.frame();
    expect(frame).toMatchObject({
      stage: edge.Stage.ROI,
      encoding: edge.Encoding.GRAY8,
      widthPx: 128,
      heightPx: 128,
      last: true,
    });
    connection.decide(frame);
    await presented;
    const nobody = await source.next();
    if (!nobody) throw new Error("no palm");
    const end = await agent.present(nobody);
    expect(describeEnd(nobody, end)).toMatchObject({ end: "error", code: "NO_FRAME", reason: "NO_HAND" });
    expect(lineOf(nobody, end)).toContain("NO_FRAME NO_HAND");
    expect(lines).toEqual([{ level: "warn", text: expect.stringContaining("NO_HAND") }]);
    await connection.settled();
    expect(connection.unreadFrames()).toBe(0);
    await source.close?.();
    expect(sight.isClosed).toBe(true);
  });
});
