// Films for Chromium's fake camera: images one after another, as motion JPEG, shown at 30 a second again and again.
import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import type { HandImage } from "../../palm/hand/types.js";

const JPEG_QUALITY = 95;

/** @param frames all of one size; one that lasts is repeated by `lasting` */
export async function makeFilm(file: string, frames: readonly HandImage[]): Promise<string> {
  const encoded = new Map<HandImage, Buffer>();
  for (const frame of new Set(frames)) encoded.set(frame, await jpegOf(frame));
  await writeFile(file, Buffer.concat(frames.flatMap((frame) => encoded.get(frame) ?? [])));
  return file;
}

/** The same image for a while. */
export const lasting = (frame: HandImage, count: number): HandImage[] =>
  new Array<HandImage>(count).fill(frame);

/** An image of one grey. */
export const emptyScene = (width: number, height: number, grey = 90): HandImage => ({
  width,
  height,
  channels: 1,
  pixels: new Uint8Array(width * height).fill(grey),
});

export function jpegOf({ width, height, channels, pixels }: HandImage): Promise<Buffer> {
  return sharp(pixels, { raw: { width, height, channels } })
    .toColourspace("srgb")
    .removeAlpha()
    .jpeg({ quality: JPEG_QUALITY, chromaSubsampling: "4:2:0" })
    .toBuffer();
}
