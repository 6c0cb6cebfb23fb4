import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, it, onTestFinished } from "vitest";
import { decodeBmp } from "../../edge-agent/source/bmp.js";
import { openDirectorySource } from "../../edge-agent/source/directory.js";
import { readImageFile, sentSize } from "../../edge-agent/source/image-file.js";
import { openSource } from "../../edge-agent/source/open.js";
import type { CapturedFrame, Palm, PalmSource } from "../../edge-agent/source/source.js";
import { edge } from "../../wire/codec.js";
import { listLog } from "./lane.js";

const SIDE = 70;
const OPTIONS = {
  send: "gray8" as const,
  hands: false,
  camera: { size: { widthPx: 640, heightPx: 480 }, maxFps: 15, modality: edge.Modality.VISIBLE },
};

/** A grey image whose pixels run from dark to light. */
const ramp = (width: number, height: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: width * height }, (_, i) => (i * 7) % 256));

const png = (grey: Buffer, width: number, height: number): Promise<Buffer> =>
  sharp(grey, { raw: { width, height, channels: 1 } })
    .png()
    .toBuffer();

async function folder(files: Record<string, Buffer>): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-source-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), bytes);
  }
  return dir;
}

async function allFrames(palm: Palm | undefined): Promise<CapturedFrame[]> {
  const frames = palm?.frames();
  const all: CapturedFrame[] = [];
  for (let frame = await frames?.next(); frame; frame = await frames?.next()) all.push(frame);
  return all;
}

async function labels(source: PalmSource, count: number): Promise<(string | undefined)[]> {
  const found = [];
  for (let i = 0; i < count; i++) found.push((await source.next())?.label);
  return found;
}

describe("a folder of palms", () => {
  it("presents each palm of each session, three samples at most, round and round", async () => {
    const image = await png(ramp(SIDE, SIDE), SIDE, SIDE);
    const names = ["1_01", "1_02", "1_03", "1_04", "2_01"].map((name) => `anna/${name}.png`);
    const dir = await folder(
      Object.fromEntries([...names, "ben/1_x.png", "notes.txt"].map((n) => [n, image])),
    );
    const source = await openDirectorySource({ dir, encoding: "gray8", log: listLog().log });
    const first = await source.next();
    expect(first?.label).toBe("anna");
    const frames = await allFrames(first);
    expect(frames.map(({ last }) => last)).toEqual([false, false, true]);
    // Asked again, it starts again.
    expect(await allFrames(first)).toHaveLength(3);
    expect(await labels(source, 5)).toEqual(["ben", "anna", "anna", "anna", "ben"]);
  });

  it("presents only the session that is asked for", async () => {
    const image = await png(ramp(SIDE, SIDE), SIDE, SIDE);
    const dir = await folder({ "anna/1_1.png": image, "anna/2_1.png": image, "ben/1_1.png": image });
    const source = await openDirectorySource({ dir, session: "2", encoding: "gray8", log: listLog().log });
    expect(await labels(source, 2)).toEqual(["anna", "anna"]);
  });

  it("leaves out what is no image, and says so", async () => {
    const image = await png(ramp(SIDE, SIDE), SIDE, SIDE);
    const dir = await folder({ "anna/1_1.png": Buffer.from("no image"), "anna/1_2.png": image });
    const { log, lines } = listLog();
    const source = await openDirectorySource({ dir, encoding: "gray8", log });
    expect(await allFrames(await source.next())).toHaveLength(1);
    expect(lines).toEqual([{ level: "warn", text: expect.stringContaining("1_1.png") }]);
  });

  it.each(["/nowhere/at/all", ""])(
    "refuses a folder without palms with what it expects: '%s'",
    async (given) => {
      const dir = given || (await folder({ "readme.txt": Buffer.from("") }));
      await expect(openDirectorySource({ dir, encoding: "gray8", log: listLog().log })).rejects.toThrow(
        /cannot be read|DIR\/<palm>\/<session>_<sample>/,
      );
    },
  );
});

describe("synthetic people", () => {
  it("come one after another and round again, each frame another look", async () => {
    const source = await openSource({ ...OPTIONS, source: "synthetic:7:2" }, listLog().log);
    expect(await labels(source, 3)).toEqual(["synthetic 7", "synthetic 8", "synthetic 7"]);
    const frames = await allFrames(await source.next());
    expect(frames.map(({ last }) => last)).toEqual([false, false, true]);
    const looks = new Set(frames.map(({ image }) => Buffer.from(image.bytes).toString("base64")));
    expect(looks.size).toBe(3);
    expect(frames[0]?.image).toMatchObject({ encoding: edge.Encoding.GRAY8, widthPx: 128, heightPx: 128 });
  });

  it("are the same people on every run", async () => {
    const firstLook = async () => {
      const source = await openSource({ ...OPTIONS, source: "synthetic:7" }, listLog().log);
      return (await allFrames(await source.next()))[0]?.image.bytes;
    };
    expect(await firstLook()).toEqual(await firstLook());
  });
});

describe("an image file", () => {
  it("arrives pixel for pixel as GRAY8", async () => {
    const grey = ramp(SIDE, 64);
    const dir = await folder({ "a.png": await png(grey, SIDE, 64) });
    const result = await readImageFile(join(dir, "a.png"), "gray8");
    if (!result.ok) throw new Error(result.why);
    expect(result.image).toMatchObject({ encoding: edge.Encoding.GRAY8, widthPx: SIDE, heightPx: 64 });
    expect(Buffer.from(result.image.bytes)).toEqual(grey);
  });

  it("travels as PNG without loss and as JPEG without what else the file said", async () => {
    const grey = ramp(SIDE, SIDE);
    const withPlace = await sharp(grey, { raw: { width: SIDE, height: SIDE, channels: 1 } })
      .withExif({ IFD0: { Copyright: "somebody" } })
      .jpeg()
      .toBuffer();
    const dir = await folder({ "a.png": await png(grey, SIDE, SIDE), "b.jpg": withPlace });
    const asPng = await readImageFile(join(dir, "a.png"), "png");
    if (!asPng.ok) throw new Error(asPng.why);
    expect(await sharp(asPng.image.bytes).raw().toColourspace("b-w").toBuffer()).toEqual(grey);
    const asJpeg = await readImageFile(join(dir, "b.jpg"), "jpeg");
    if (!asJpeg.ok) throw new Error(asJpeg.why);
    expect((await sharp(withPlace).metadata()).exif).toBeDefined();
    expect(await sharp(asJpeg.image.bytes).metadata()).toMatchObject({ format: "jpeg", width: SIDE });
    expect((await sharp(asJpeg.image.bytes).metadata()).exif).toBeUndefined();
  });

  it("is brought to a size that the gateway takes, whatever size it has", () => {
    const side = fc.integer({ min: 1, max: 10_000 });
    fc.assert(
      fc.property(side, side, (width, height) => {
        const sent = sentSize(width, height);
        for (const px of [sent.width, sent.height]) {
          expect(px).toBeGreaterThanOrEqual(64);
          expect(px).toBeLessThanOrEqual(256);
        }
        if (Math.min(width, height) >= 64 && Math.max(width, height) <= 256) {
          expect(sent).toEqual({ width, height });
        }
      }),
    );
  });

  it("is scaled when it is large, also in colour", async () => {
    const large = sharp({ create: { width: 600, height: 300, channels: 3, background: "#808080" } });
    const dir = await folder({ "a.png": await large.png().toBuffer() });
    const result = await readImageFile(join(dir, "a.png"), "gray8");
    if (!result.ok) throw new Error(result.why);
    expect(result.image).toMatchObject({ widthPx: 256, heightPx: 128 });
    expect([...new Set(result.image.bytes)]).toEqual([128]);
  });
});

describe("a bitmap", () => {
  /** 3 x 2, bottom row first, rows padded to four bytes. */
  function bmp(
    bitsPerPixel: number,
    rows: number[][],
    options: { height?: number; palette?: number[] } = {},
  ) {
    const header = Buffer.alloc(54);
    const palette = Buffer.from(options.palette ?? []);
    const pixels = Buffer.from(
      rows.flatMap((row) => [...row, ...new Array((4 - (row.length % 4)) % 4).fill(0)]),
    );
    header.write("BM");
    header.writeUInt32LE(54 + palette.length, 10);
    header.writeUInt32LE(40, 14);
    header.writeInt32LE(3, 18);
    header.writeInt32LE(options.height ?? 2, 22);
    header.writeUInt16LE(bitsPerPixel, 28);
    return Buffer.concat([header, palette, pixels]);
  }
  const greyPalette = Array.from({ length: 256 }, (_, i) => [i, i, i, 0]).flat();
  const top = [1, 2, 3];
  const bottom = [4, 5, 6];
  const grey = { width: 3, height: 2, pixels: Uint8Array.from([...top, ...bottom]) };
  const triple = (row: number[]) => row.flatMap((value) => [value, value, value]);

  it("is read with a palette, in colour, bottom up and top down", () => {
    expect(decodeBmp(bmp(8, [bottom, top], { palette: greyPalette }))).toEqual(grey);
    expect(decodeBmp(bmp(24, [triple(bottom), triple(top)]))).toEqual(grey);
    expect(decodeBmp(bmp(24, [triple(top), triple(bottom)], { height: -2 }))).toEqual(grey);
  });

  it("is refused, never read past its end, when bytes are missing or changed", () => {
    const whole = bmp(24, [triple(bottom), triple(top)]);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(whole.length - 1), fc.nat(255), (cut, at, value) => {
        expect(decodeBmp(whole.subarray(0, cut))).toBeUndefined();
        const changed = Buffer.from(whole);
        changed[at] = value;
        const image = decodeBmp(changed);
        if (image) expect(image.pixels).toHaveLength(image.width * image.height);
      }),
    );
  });
});
