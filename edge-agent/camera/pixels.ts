// A camera's planar image as the RGB image that the finder reads, in a buffer of its own.
// Formula: ITU-R BT.601 at full range (JFIF), in whole numbers of 1/1024.
import type { HandImage } from "../../palm/hand/types.js";
import type { CameraImage } from "./y4m.js";

const FROM_RED = 1436; // 1.402
const FROM_BLUE = 1815; // 1.772
const GREEN_FROM_BLUE = 352; // 0.344136
const GREEN_FROM_RED = 731; // 0.714136

export function toHandImage({ widthPx, heightPx, luma, blue, red }: CameraImage): HandImage {
  // Clamped: sums below 0 and above 255 end there.
  const pixels = new Uint8ClampedArray(widthPx * heightPx * 3);
  const chromaWidthPx = Math.ceil(widthPx / 2);
  for (let y = 0, at = 0; y < heightPx; y++) {
    const chromaLine = (y >> 1) * chromaWidthPx;
    const line = y * widthPx;
    for (let x = 0; x < widthPx; x++, at += 3) {
      const grey = luma[line + x] as number;
      const b = (blue[chromaLine + (x >> 1)] as number) - 128;
      const r = (red[chromaLine + (x >> 1)] as number) - 128;
      pixels[at] = grey + ((FROM_RED * r + 512) >> 10);
      pixels[at + 1] = grey - ((GREEN_FROM_BLUE * b + GREEN_FROM_RED * r + 512) >> 10);
      pixels[at + 2] = grey + ((FROM_BLUE * b + 512) >> 10);
    }
  }
  return { width: widthPx, height: heightPx, channels: 3, pixels: new Uint8Array(pixels.buffer) };
}
