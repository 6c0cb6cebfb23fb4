// Reads ffmpeg's YUV4MPEG2 stream: a header line with the size, then per image the line FRAME and the planes Y, U, V
// (4:2:0, one byte a sample). The newest whole image wins.
//
// Invariants:
// - two image buffers and no more: one is the newest, the other is being filled; a newer image takes the place of one
//   that nobody has taken;
// - an image that was taken is read at once, before anything is awaited: its buffer is the next but one to be filled;
// - bytes that are no such stream end it with a reason: nothing is guessed, nothing grows;
// - `wipe` overwrites all pixels.

const MAX_HEADER_BYTES = 512;
const MAX_SIDE_PX = 2048;
const MIN_SIDE_PX = 16;
const LINE_END = 0x0a;

/** Planar 4:2:0, full range. */
export interface CameraImage {
  widthPx: number;
  heightPx: number;
  /** widthPx * heightPx. */
  luma: Uint8Array;
  /** Half the sides, rounded up; differences to grey around 128. */
  blue: Uint8Array;
  red: Uint8Array;
  /** When its last byte came, on the clock of performance.now(). */
  atMs: number;
  /** Counts all images of the stream, from 0. */
  index: number;
}

interface Slot {
  bytes: Uint8Array;
  image: CameraImage;
}

export interface Y4mOptions {
  /** A whole image has come; `overwrote`: one that nobody had taken is gone. */
  onImage: (overwrote: boolean) => void;
  now?: () => number;
}

export class Y4mReader {
  readonly #options: Y4mOptions;
  /** The line that is being read; undefined while an image is. */
  #line: number[] | undefined = [];
  #slots: Slot[] = [];
  #filling: Slot | undefined;
  #newest: Slot | undefined;
  #filledBytes = 0;
  #images = 0;
  #fault: string | undefined;

  constructor(options: Y4mOptions) {
    this.#options = options;
  }

  /** @returns why this is no stream of images; from then on nothing is read */
  push(chunk: Uint8Array): string | undefined {
    let at = 0;
    while (at < chunk.length && this.#fault === undefined) {
      at = this.#line ? this.#readLine(this.#line, chunk, at) : this.#readImage(chunk, at);
    }
    return this.#fault;
  }

  /** The newest image, if nobody has taken it: to be read before anything is awaited. */
  take(): CameraImage | undefined {
    const newest = this.#newest;
    if (!newest) return undefined;
    this.#newest = undefined;
    return newest.image;
  }

  wipe(): void {
    for (const { bytes } of this.#slots) bytes.fill(0);
  }

  #readLine(line: number[], chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte === LINE_END) {
        this.#fault = this.#endLine(String.fromCharCode(...line));
        return at + 1;
      }
      line.push(byte);
      if (line.length > MAX_HEADER_BYTES) {
        this.#fault = `a line has more than ${MAX_HEADER_BYTES} bytes`;
        break;
      }
    }
    return chunk.length;
  }

  #endLine(line: string): string | undefined {
    if (this.#slots.length === 0) return this.#openSlots(line);
    if (line !== "FRAME" && !line.startsWith("FRAME ")) return "an image does not start where it should";
    this.#line = undefined;
    this.#filledBytes = 0;
    this.#filling = this.#slots.find((slot) => slot !== this.#newest);
    return undefined;
  }

  #openSlots(header: string): string | undefined {
    const [magic, ...parameters] = header.split(" ");
    const of = (letter: string) => parameters.find((each) => each.startsWith(letter))?.slice(1) ?? "";
    const [widthPx, heightPx] = [Number(of("W")), Number(of("H"))];
    const fits = (px: number) => Number.isInteger(px) && px >= MIN_SIDE_PX && px <= MAX_SIDE_PX;
    if (magic !== "YUV4MPEG2" || !of("C").startsWith("420")) return "not a YUV4MPEG2 stream of 4:2:0 images";
    if (!fits(widthPx) || !fits(heightPx)) {
      return `images of ${widthPx} x ${heightPx}: sides must be ${MIN_SIDE_PX} to ${MAX_SIDE_PX} px`;
    }
    this.#slots = [0, 1].map(() => emptySlot(widthPx, heightPx));
    this.#line = [];
    return undefined;
  }

  #readImage(chunk: Uint8Array, from: number): number {
    const slot = this.#filling;
    if (!slot) throw new Error("two buffers: one is always free");
    const end = Math.min(chunk.length, from + slot.bytes.length - this.#filledBytes);
    slot.bytes.set(chunk.subarray(from, end), this.#filledBytes);
    this.#filledBytes += end - from;
    if (this.#filledBytes === slot.bytes.length) this.#endImage(slot);
    return end;
  }

  #endImage(slot: Slot): void {
    slot.image.atMs = (this.#options.now ?? (() => performance.now()))();
    slot.image.index = this.#images++;
    const overwrote = this.#newest !== undefined;
    this.#newest = slot;
    this.#filling = undefined;
    this.#line = [];
    this.#options.onImage(overwrote);
  }
}

function emptySlot(widthPx: number, heightPx: number): Slot {
  const luma = widthPx * heightPx;
  const chroma = Math.ceil(widthPx / 2) * Math.ceil(heightPx / 2);
  const bytes = new Uint8Array(luma + 2 * chroma);
  const image = {
    widthPx,
    heightPx,
    luma: bytes.subarray(0, luma),
    blue: bytes.subarray(luma, luma + chroma),
    red: bytes.subarray(luma + chroma),
    atMs: 0,
    index: 0,
  };
  return { bytes, image };
}
