// One image file as one palm image. Pixels alone go on: what else a file says (place, camera, time) stays here.
//
// Invariant: a file that cannot be read as an image is an expected answer, not an exception.
import { readFile, stat } from "node:fs/promises";
import sharp, { type Sharp } from "sharp";
import { edge } from "../../wire/codec.js";
import { MIN_IMAGE_SIDE_PX } from "../../wire/limits.js";
import { decodeBmp, type GreyPixels } from "./bmp.js";
import { greyImage, type PalmImage } from "./source.js";

const MAX_IMAGE_FILE_BYTES = 16 * 1024 * 1024;
const MAX_IMAGE_PIXELS = 64 * 1024 * 1024;
/** Larger regions of interest carry nothing that a signature sees, only bytes. */
const MAX_SENT_SIDE_PX = 256;

/** gray8: raw pixels, nothing to decode at the gateway; jpeg, png: fewer bytes on a slow line. */
export type SentEncoding = "gray8" | "jpeg" | "png";

export type ImageFileResult = { ok: true; image: PalmImage } | { ok: false; why: string };

export async function readImageFile(file: string, encoding: SentEncoding): Promise<ImageFileResult> {
  try {
    const { size } = await stat(file);
    if (size > MAX_IMAGE_FILE_BYTES) {
      return { ok: false, why: `${file} has more than ${MAX_IMAGE_FILE_BYTES} bytes` };
    }
    const bytes = await readFile(file);
    const bitmap = decodeBmp(bytes);
    const grey = await scaled(bitmap ? fromPixels(bitmap) : sharp(bytes, LIMITS).greyscale());
    return { ok: true, image: await encoded(grey, encoding) };
  } catch (error) {
    return { ok: false, why: `${file}: ${(error as Error).message}` };
  }
}

const LIMITS = { limitInputPixels: MAX_IMAGE_PIXELS, failOn: "error" } as const;

const fromPixels = ({ width, height, pixels }: GreyPixels) =>
  sharp(pixels, { raw: { width, height, channels: 1 } });

/** Brings both sides between MIN_IMAGE_SIDE_PX and MAX_SENT_SIDE_PX, in the same proportion where that is possible. */
async function scaled(image: Sharp): Promise<GreyPixels> {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const { width, height } = sentSize(info.width, info.height);
  if (width === info.width && height === info.height && info.channels === 1) {
    return { width, height, pixels: data };
  }
  const pixels = await sharp(data, { raw: info })
    .resize(width, height, { fit: "fill" })
    .greyscale()
    .raw()
    .toBuffer();
  return { width, height, pixels };
}

export function sentSize(widthPx: number, heightPx: number): { width: number; height: number } {
  const shrink = Math.min(1, MAX_SENT_SIDE_PX / Math.max(widthPx, heightPx));
  const grow = Math.max(1, MIN_IMAGE_SIDE_PX / (Math.min(widthPx, heightPx) * shrink));
  const side = (px: number) =>
    Math.min(MAX_SENT_SIDE_PX, Math.max(MIN_IMAGE_SIDE_PX, Math.round(px * shrink * grow)));
  return { width: side(widthPx), height: side(heightPx) };
}

async function encoded(grey: GreyPixels, encoding: SentEncoding): Promise<PalmImage> {
  if (encoding === "gray8") return greyImage(grey);
  const image = fromPixels(grey);
  const bytes = await (encoding === "jpeg" ? image.jpeg({ quality: 92 }) : image.png()).toBuffer();
  return {
    ...greyImage(grey),
    encoding: encoding === "jpeg" ? edge.Encoding.JPEG : edge.Encoding.PNG,
    bytes,
  };
}
