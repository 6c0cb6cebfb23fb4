// Where palms come from: a source yields palms, a palm yields frames, one at a time and only when asked. Nothing is
// captured ahead, so whoever asks after a wait gets the newest frame and no old one waits in between.
// Images live in memory only.
import { edge } from "../../wire/edge-codec.js";

export interface PalmImage {
  encoding: edge.Encoding;
  widthPx: number;
  heightPx: number;
  modality: edge.Modality;
  /** As `encoding` says. */
  bytes: Uint8Array;
}

export interface CapturedFrame {
  image: PalmImage;
  /** No further frame of this palm will come. */
  last: boolean;
}

export interface Frames {
  /** The next image, captured now; `undefined` when there is none. */
  next(): Promise<CapturedFrame | undefined>;
}

/** One palm held over the reader. */
export interface Palm {
  /** For people to read; never leaves the lane. */
  label: string;
  /** Why `frames` yielded nothing, as a code, where the source knows. */
  missing?(): string | undefined;
  /** Starts from the first frame: asked again when the link was lost on the way. */
  frames(): Frames;
}

export interface PalmSource {
  /** The next palm; `undefined` when nobody comes any more, or the source was stopped. */
  next(): Promise<Palm | undefined>;
  /** The last palm's presentation has ended. @param mayTryAgain the same palm may be presented again as it lies there */
  ended?(mayTryAgain: boolean): void;
  /** No further palm is wanted: whoever waits for one learns of it. */
  stop?(): void;
  /** Gives back what the source holds, once nobody uses it. */
  close?(): Promise<void>;
}

/** @param image row-major, 0 black .. 255 white */
export function greyImage(
  image: { width: number; height: number; pixels: Uint8Array },
  modality: edge.Modality = edge.Modality.VISIBLE,
): PalmImage {
  return {
    encoding: edge.Encoding.GRAY8,
    widthPx: image.width,
    heightPx: image.height,
    modality,
    bytes: image.pixels,
  };
}

/** A palm whose images are made one after another, each when it is asked for. */
export function palmOf(
  label: string,
  count: number,
  imageAt: (index: number) => Promise<PalmImage> | PalmImage,
): Palm {
  return {
    label,
    frames: () => {
      let index = 0;
      return {
        next: async () => {
          if (index >= count) return undefined;
          const image = await imageAt(index++);
          return { image, last: index === count };
        },
      };
    },
  };
}

/** A palm of images that are at hand already. */
export function palmOfImages(images: readonly PalmImage[], label = ""): Palm {
  return palmOf(label, images.length, (index) => {
    const image = images[index];
    if (!image) throw new RangeError(`no image ${index} of ${images.length}`);
    return image;
  });
}
