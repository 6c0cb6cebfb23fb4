// Reads uncompressed Windows bitmaps, which sharp does not: public palm sets come as such files. Pure; bytes from
// outside end as an image or as `undefined`, never as an exception or a read past the end.
// Layout: Microsoft, "Bitmap Storage" (BITMAPFILEHEADER, BITMAPINFOHEADER, palette, rows padded to 4 bytes).

const FILE_HEADER_BYTES = 14;
const INFO_HEADER_BYTES = 40;
const PALETTE_ENTRY_BYTES = 4;
const UNCOMPRESSED = 0;
const MAX_SIDE_PX = 8192;

export interface GreyPixels {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** Takes 8-bit palette, 24-bit and 32-bit images. */
export function decodeBmp(file: Uint8Array): GreyPixels | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < FILE_HEADER_BYTES + INFO_HEADER_BYTES || bytes.toString("latin1", 0, 2) !== "BM") {
    return undefined;
  }
  const pixelsAt = bytes.readUInt32LE(10);
  const infoBytes = bytes.readUInt32LE(14);
  const width = bytes.readInt32LE(18);
  const signedHeight = bytes.readInt32LE(22);
  const bitsPerPixel = bytes.readUInt16LE(28);
  const height = Math.abs(signedHeight);
  const isWithin = width > 0 && height > 0 && width <= MAX_SIDE_PX && height <= MAX_SIDE_PX;
  if (!isWithin || bytes.readUInt32LE(30) !== UNCOMPRESSED || ![8, 24, 32].includes(bitsPerPixel)) {
    return undefined;
  }
  const rowBytes = Math.ceil((width * bitsPerPixel) / 32) * 4;
  if (bytes.length < pixelsAt + rowBytes * height) return undefined;
  const palette = bitsPerPixel === 8 ? paletteOf(bytes, FILE_HEADER_BYTES + infoBytes) : undefined;
  const step = bitsPerPixel / 8;
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    // Rows go upwards unless the height is negative.
    const rowAt = pixelsAt + rowBytes * (signedHeight > 0 ? height - 1 - y : y);
    for (let x = 0; x < width; x++) {
      const at = rowAt + x * step;
      pixels[y * width + x] = palette ? (palette[bytes[at] ?? 0] ?? 0) : greyAt(bytes, at);
    }
  }
  return { width, height, pixels };
}

/** Grey of each palette entry; entries past the end of the file are black. */
function paletteOf(bytes: Buffer, paletteAt: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, i) => greyAt(bytes, paletteAt + i * PALETTE_ENTRY_BYTES));
}

/** Luma (ITU-R BT.601) of the blue, green and red bytes at `at`. */
const greyAt = (bytes: Buffer, at: number): number =>
  Math.round(0.114 * (bytes[at] ?? 0) + 0.587 * (bytes[at + 1] ?? 0) + 0.299 * (bytes[at + 2] ?? 0));
