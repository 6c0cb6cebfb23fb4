// One image file of a whole hand, as pixels for the finder. What else a file says (place, camera, time) stays here; only
// how the camera was held is obeyed.
//
// Invariants:
// - sizes are known from the file's header before anything is decoded; what is too large is never decoded;
// - decoding ends by its deadline, and its result has at most MAX_SIDE_PX to a side;
// - a file that cannot be read as an image is an expected answer, not an exception.
import { readFile, stat } from "node:fs/promises";
import sharp, { type Sharp } from "sharp";
import type { Guidance } from "../../palm/hand/judge.js";
import type { HandImage, NotFound } from "../../palm/hand/types.js";
import type { Sight } from "../sight.js";
import { decodeBmp } from "./bmp.js";
import { greyImage, type PalmImage } from "./source.js";

const MAX_FILE_BYTES = 32 * 1024 * 1024;
/** A phone's camera takes 12 to 50 million. */
const MAX_DECODED_PIXELS = 64 * 1024 * 1024;
const MAX_SIDE_PX = 1600;
const MIN_SIDE_PX = 32;
const DECODE_DEADLINE_S = 5;

export type HandFileResult = { ok: true; image: HandImage } | { ok: false; why: string };

export async function readHandFile(file: string): Promise<HandFileResult> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) return { ok: false, why: `${file} has more than ${MAX_FILE_BYTES} bytes` };
    return await decoded(await readFile(file), file);
  } catch (error) {
    return { ok: false, why: `${file}: ${(error as Error).message}` };
  }
}

export type PalmFileResult =
  | { ok: true; image: PalmImage }
  /** The code is why there is no palm, or what would have made a better image. */
  | { ok: false; code: NotFound | Guidance; why: string };

/** The palm of the hand in a file. */
export async function readPalmOfHand(file: string, sight: Sight): Promise<PalmFileResult> {
  const read = await readHandFile(file);
  if (!read.ok) return { ok: false, code: "BAD_IMAGE", why: read.why };
  const look = await sight.lookAtStill(read.image);
  if (look.kind !== "palm") return { ok: false, code: look.reason, why: `${file}: ${look.reason}` };
  return { ok: true, image: greyImage(look.roi) };
}

async function decoded(bytes: Buffer, file: string): Promise<HandFileResult> {
  const bitmap = decodeBmp(bytes);
  const source = bitmap
    ? sharp(bitmap.pixels, { raw: { width: bitmap.width, height: bitmap.height, channels: 1 } })
    : await checked(bytes);
  const { data, info } = await source
    .autoOrient()
    .resize(MAX_SIDE_PX, MAX_SIDE_PX, { fit: "inside", withoutEnlargement: true })
    .toColourspace("srgb")
    .removeAlpha()
    .timeout({ seconds: DECODE_DEADLINE_S })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (Math.min(width, height) < MIN_SIDE_PX) return { ok: false, why: `${file}: ${width} x ${height} px` };
  if (channels !== 3) return { ok: false, why: `${file}: ${channels} channels` };
  return { ok: true, image: { width, height, channels, pixels: new Uint8Array(data) } };
}

/** By its header alone. @throws when there is none, or it announces too much */
async function checked(bytes: Buffer): Promise<Sharp> {
  const { width, height, pages = 1 } = await sharp(bytes, LIMITS).metadata();
  if (width * height > MAX_DECODED_PIXELS) throw new Error(`${width} x ${height} px are too many`);
  if (pages > 1) throw new Error(`${pages} images in one file`);
  return sharp(bytes, LIMITS);
}

const LIMITS = { limitInputPixels: MAX_DECODED_PIXELS, failOn: "truncated" } as const;
