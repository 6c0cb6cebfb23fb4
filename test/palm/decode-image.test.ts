import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage, type Encoding } from "../../palm/index.js";
import { drawn, palm } from "./support.js";

const SIDE = 64;
const WIDE = { width: 80, height: 48 };
const ramp = drawn(WIDE.width, WIDE.height, (x, y) => 2 * x + y);
const raw = { raw: { ...WIDE, channels: 1 as const } };

const decode = (encoding: Encoding, bytes: Uint8Array, { width, height } = WIDE) =>
  decodeImage(encoding, width, height, bytes);

const refusal = (detail: RegExp, code = "BAD_IMAGE") => ({
  ok: false,
  code,
  detail: expect.stringMatching(detail),
});

/** Largest difference of a pixel from the ramp. */
async function errorOf(encoding: Encoding, bytes: Uint8Array): Promise<number> {
  const result = await decode(encoding, bytes);
  if (!result.ok) throw new Error(result.detail);
  expect(result.image).toMatchObject(WIDE);
  expect(result.image.pixels).toHaveLength(WIDE.width * WIDE.height);
  return Math.max(...result.image.pixels.map((value, at) => Math.abs(value - (ramp.pixels[at] ?? 0))));
}

const rgb = () => sharp(ramp.pixels, raw).toColourspace("srgb");

describe("decoding a region of interest", () => {
  it("gives GRAY8 back as a view, without a copy", async () => {
    const result = await decode("GRAY8", ramp.pixels);
    expect(result).toEqual({ ok: true, image: ramp });
    expect(result.ok && result.image.pixels.buffer).toBe(ramp.pixels.buffer);
  });

  it.each([
    ["grey", () => sharp(ramp.pixels, raw).toColourspace("b-w").png().toBuffer()],
    ["colour", () => rgb().png().toBuffer()],
    ["colour with alpha", () => rgb().ensureAlpha(0.5).png().toBuffer()],
    ["grey with alpha", () => sharp(ramp.pixels, raw).toColourspace("b-w").ensureAlpha(0.5).png().toBuffer()],
    ["palette", () => rgb().png({ palette: true, colours: 256, dither: 0 }).toBuffer()],
    ["interlaced", () => rgb().png({ progressive: true }).toBuffer()],
    ["16 bits grey", () => sharp(ramp.pixels, raw).toColourspace("grey16").png().toBuffer()],
    ["16 bits colour", () => rgb().toColourspace("rgb16").png().toBuffer()],
  ])("reads a PNG in %s as its grey", async (_, encode) => {
    expect(await errorOf("PNG", await encode())).toBeLessThanOrEqual(2);
  });

  it.each([
    ["grey", () => sharp(ramp.pixels, raw).toColourspace("b-w").jpeg({ quality: 95 }).toBuffer()],
    ["colour", () => rgb().jpeg({ quality: 95 }).toBuffer()],
    ["progressive", () => rgb().jpeg({ quality: 95, progressive: true }).toBuffer()],
    ["CMYK", () => rgb().toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer()],
  ])("reads a JPEG in %s as its grey", async (name, encode) => {
    // There and back through inks, the darkest greys come out lighter; an inverted picture would be 200 off.
    expect(await errorOf("JPEG", await encode())).toBeLessThanOrEqual(name === "CMYK" ? 40 : 4);
  });

  it("does not turn the picture as a camera's tag says: the region was cut as it lies", async () => {
    const tagged = await rgb().jpeg({ quality: 95 }).withMetadata({ orientation: 6 }).toBuffer();
    expect(await errorOf("JPEG", tagged)).toBeLessThanOrEqual(4);
  });
});

describe("refusing an image", () => {
  it.each(["JPEG", "PNG"] as const)("%s of another size than declared", async (encoding) => {
    const bytes = await rgb()
      .toFormat(encoding === "JPEG" ? "jpeg" : "png")
      .toBuffer();
    const declared = { width: WIDE.height, height: WIDE.width };
    expect(await decode(encoding, bytes, declared)).toEqual(
      refusal(/declared .* of 48 x 80, found .* of 80 x 48/),
    );
  });

  it("GRAY8 with a byte too few or too many", async () => {
    for (const length of [WIDE.width * WIDE.height - 1, WIDE.width * WIDE.height + 1, 0]) {
      expect(await decode("GRAY8", new Uint8Array(length))).toEqual(refusal(/bytes are not 80 x 48 pixels/));
    }
  });

  it.each(["JPEG", "PNG"] as const)("%s that is cut off anywhere", async (encoding) => {
    const image = palm(1);
    const size = { width: image.width, height: image.height };
    const whole = await sharp(image.pixels, { raw: { ...size, channels: 1 } })
      .toFormat(encoding === "JPEG" ? "jpeg" : "png")
      .toBuffer();
    expect(await decode(encoding, whole, size)).toMatchObject({ ok: true });
    for (const share of [0, 0.001, 0.01, 0.1, 0.5, 0.9]) {
      const cut = whole.subarray(0, Math.floor(whole.length * share));
      expect(await decode(encoding, cut, size), `${share} of the file`).toMatchObject({
        ok: false,
        code: "BAD_IMAGE",
      });
    }
  });

  it("a small PNG whose header promises 20,000 x 20,000 pixels, whatever size is declared", async () => {
    const bomb = pngOf(20_000, 20_000);
    expect(bomb.length).toBeLessThan(1000);
    expect(await decode("PNG", bomb, { width: SIDE, height: SIDE })).toMatchObject({ code: "BAD_IMAGE" });
    expect(await decode("PNG", bomb, { width: 20_000, height: 20_000 })).toEqual(
      refusal(/at most 1024 px/, "TOO_LARGE"),
    );
  });

  it("text, noise and every other format that calls itself JPEG or PNG", async () => {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="80" height="48"><rect width="80" height="48"/></svg>`;
    const gif = await rgb().gif().toBuffer();
    const webp = await rgb().webp().toBuffer();
    const noise = Uint8Array.from({ length: 2000 }, (_, i) => (i * 7919) % 256);
    for (const bytes of [Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.from(svg), gif, webp, noise]) {
      expect(await decode("JPEG", bytes)).toEqual(refusal(/no JPEG file/));
      expect(await decode("PNG", bytes)).toEqual(refusal(/no PNG file/));
    }
  });

  it("a PNG that calls itself JPEG, and the other way round", async () => {
    expect(await decode("JPEG", await rgb().png().toBuffer())).toEqual(refusal(/no JPEG file/));
    expect(await decode("PNG", await rgb().jpeg().toBuffer())).toEqual(refusal(/no PNG file/));
  });

  it.each(["GRAY8", "JPEG", "PNG"] as const)("%s with sides out of bounds", async (encoding) => {
    const bytes = new Uint8Array(16);
    for (const width of [0, -16, 15, 20.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await decode(encoding, bytes, { width, height: 64 })).toEqual(refusal(/whole numbers/));
      expect(await decode(encoding, bytes, { width: 64, height: width })).toEqual(refusal(/whole numbers/));
    }
    for (const width of [1025, 2 ** 31]) {
      expect(await decode(encoding, bytes, { width, height: 64 })).toEqual(
        refusal(/at most 1024/, "TOO_LARGE"),
      );
    }
  });

  it("never decodes a damaged file into an image of another size, and never throws", async () => {
    const whole = await rgb().png().toBuffer();
    for (let at = 0; at < whole.length; at += 3) {
      const damaged = Uint8Array.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      const result = await decode("PNG", damaged);
      if (result.ok) expect(result.image.pixels).toHaveLength(WIDE.width * WIDE.height);
      else expect(result.code).toBe("BAD_IMAGE");
    }
  });
});

/** A PNG of one grey whose data ends after the first rows. */
function pngOf(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(Buffer.alloc(4 * (width + 1)));
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type), data]);
  const framed = Buffer.alloc(typed.length + 8);
  framed.writeUInt32BE(data.length, 0);
  typed.copy(framed, 4);
  framed.writeUInt32BE(crc32(typed), framed.length - 4);
  return framed;
}

/** CRC of PNG's annex D. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}
