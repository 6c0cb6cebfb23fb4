// Bytes from outside -> grey image, or a coded refusal. Never throws, never decodes more than it was told to expect.
import sharp from "sharp";
import type { GreyImage } from "./image.js";

export type Encoding = "GRAY8" | "JPEG" | "PNG";

export type DecodeResult =
  | { ok: true; image: GreyImage }
  | { ok: false; code: "BAD_IMAGE" | "TOO_LARGE"; detail: string };

/** No region of interest is larger than this on one side, pixels. */
export const MAX_SIDE_PX = 1024;
export const MIN_SIDE_PX = 16;
const SHARP_FORMAT = { JPEG: "jpeg", PNG: "png" } as const;
/** First bytes of a file: only these two decoders ever see bytes from outside, whatever else the library can read. */
const SIGNATURE_BYTES = {
  JPEG: [0xff, 0xd8, 0xff],
  PNG: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
} as const;

// The library's cache must not keep a palm, and its own threads cost more than they give on images this small.
sharp.cache(false);
sharp.concurrency(1);

/**
 * Decodes one region of interest. A JPEG or PNG must have exactly the declared size: its header is checked before
 * a pixel is decoded, so that a small file cannot become a huge image.
 * @param bytes GRAY8: a view is returned, not a copy
 */
export async function decodeImage(
  encoding: Encoding,
  width: number,
  height: number,
  bytes: Uint8Array,
): Promise<DecodeResult> {
  if (!Number.isInteger(width) || !Number.isInteger(height) || Math.min(width, height) < MIN_SIDE_PX) {
    return {
      ok: false,
      code: "BAD_IMAGE",
      detail: `sides must be whole numbers of at least ${MIN_SIDE_PX} px`,
    };
  }
  if (Math.max(width, height) > MAX_SIDE_PX) {
    return { ok: false, code: "TOO_LARGE", detail: `sides must be at most ${MAX_SIDE_PX} px` };
  }
  if (encoding !== "GRAY8") return decodeCompressed(encoding, width, height, bytes);
  if (bytes.length !== width * height) {
    return {
      ok: false,
      code: "BAD_IMAGE",
      detail: `${bytes.length} bytes are not ${width} x ${height} pixels`,
    };
  }
  return { ok: true, image: { width, height, pixels: bytes } };
}

async function decodeCompressed(
  encoding: "JPEG" | "PNG",
  width: number,
  height: number,
  bytes: Uint8Array,
): Promise<DecodeResult> {
  if (!SIGNATURE_BYTES[encoding].every((byte, at) => bytes[at] === byte)) {
    return { ok: false, code: "BAD_IMAGE", detail: `the bytes are no ${encoding} file` };
  }
  try {
    const decoder = sharp(bytes, {
      failOn: "warning",
      limitInputPixels: MAX_SIDE_PX * MAX_SIDE_PX,
      sequentialRead: true,
    });
    const header = await decoder.metadata();
    if (header.format !== SHARP_FORMAT[encoding] || header.width !== width || header.height !== height) {
      const found = `${header.format} of ${header.width} x ${header.height}`;
      return {
        ok: false,
        code: "BAD_IMAGE",
        detail: `declared ${encoding} of ${width} x ${height}, found ${found}`,
      };
    }
    const { data, info } = await decoder.toColourspace("b-w").raw().toBuffer({ resolveWithObject: true });
    if (info.channels === 1) return { ok: true, image: { width, height, pixels: data } };
    return { ok: true, image: { width, height, pixels: firstChannel(data, info.channels) } };
  } catch (error) {
    return { ok: false, code: "BAD_IMAGE", detail: (error as Error).message };
  }
}

/** Grey with alpha: the alpha is dropped. */
function firstChannel(data: Uint8Array, channels: number): Uint8Array {
  const grey = new Uint8Array(data.length / channels);
  for (let i = 0; i < grey.length; i++) grey[i] = data[i * channels] as number;
  data.fill(0);
  return grey;
}
