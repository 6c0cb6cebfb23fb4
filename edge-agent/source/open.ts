// Opens the source that the settings name.
import { stat } from "node:fs/promises";
import type { Guidance } from "../../palm/hand/judge.js";
import type { edge } from "../../wire/codec.js";
import { UsageError } from "../../wire/config.js";
import type { Log } from "../../wire/log.js";
import { type CameraAddress, cameraAddress } from "../camera/address.js";
import { Camera } from "../camera/camera.js";
import { type CaptureSize, findFfmpeg } from "../camera/ffmpeg.js";
import type { CameraCounters } from "../camera/metrics.js";
import { CameraSource } from "../camera/source.js";
import { openSight } from "../node-sight.js";
import { openDirectorySource } from "./directory.js";
import type { SentEncoding } from "./image-file.js";
import type { PalmSource } from "./source.js";

/** `synthetic:SEED[:PALMS]`, `camera:ADDRESS`, or anything else: a folder. */
export const SOURCE_PATTERN = /^(synthetic:\d{1,9}(:[1-9]\d{0,5})?|camera:.+|(?!synthetic:?|camera:).+)$/s;
const SYNTHETIC = /^synthetic:(\d+)(?::(\d+))?$/;
const CAMERA = /^camera:(.+)$/s;
const DEFAULT_SYNTHETIC_PALMS = 100;

export const isCamera = (source: string): boolean => CAMERA.test(source);

export interface SourceOptions {
  /** Matches SOURCE_PATTERN. */
  source: string;
  session?: string | undefined;
  send: SentEncoding;
  /** A folder's images are of whole hands. */
  hands: boolean;
  camera: CameraSettings;
}

export interface CameraSettings {
  size: CaptureSize;
  maxFps: number;
  modality: edge.Modality;
}

export interface SourceEvents {
  counters?: CameraCounters | undefined;
  onGuide?: ((reason: Guidance) => void) | undefined;
}

/** @throws UsageError when a folder has no palms, an address is no camera's, or ffmpeg is missing */
export async function openSource(
  options: SourceOptions,
  log: Log,
  events: SourceEvents = {},
): Promise<PalmSource> {
  const { source, session, send, hands } = options;
  const [, seed, palms = DEFAULT_SYNTHETIC_PALMS] = SYNTHETIC.exec(source) ?? [];
  if (seed !== undefined) {
    // Loaded only where it is wanted: a lane with a camera has no use for a palm factory.
    const { openSyntheticSource } = await import("./synthetic.js");
    return openSyntheticSource({ seed: Number(seed), palms: Number(palms) });
  }
  const camera = CAMERA.exec(source)?.[1];
  if (camera !== undefined)
    return openCameraSource(await checkedAddress(camera), options.camera, log, events);
  const sight = hands ? { openSight } : {};
  return openDirectorySource({ dir: source, session, encoding: send, ...sight, log });
}

async function checkedAddress(text: string): Promise<CameraAddress> {
  const checked = cameraAddress(text);
  if (!checked.ok) throw new UsageError(`--source camera: ${checked.why}`);
  const { address } = checked;
  // A device may be plugged in later, a stream may come back; a file that is not there was misspelt.
  if (address.kind === "file" && !(await isFile(address.path))) {
    throw new UsageError(`--source camera: there is no video file ${address.shown}`);
  }
  return address;
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );

function openCameraSource(
  address: CameraAddress,
  { size, maxFps, modality }: CameraSettings,
  log: Log,
  { counters, onGuide }: SourceEvents,
): PalmSource {
  const ffmpeg = findFfmpeg();
  return new CameraSource({
    openCamera: () =>
      new Camera({
        ...{ address, ffmpeg, size, maxFps, log },
        onImage: (result) => counters?.image(result),
        onRestart: () => counters?.restart(),
      }),
    openSight,
    modality,
    onLook: (_look, _atMs, lookMs) => counters?.look(lookMs),
    onGuide: (reason) => {
      counters?.guide(reason);
      onGuide?.(reason);
    },
  });
}
