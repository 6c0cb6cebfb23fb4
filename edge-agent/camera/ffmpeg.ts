// How ffmpeg is asked for a camera's images, and where ffmpeg is. One child process per camera.
//
// What it writes: YUV4MPEG2 (y4m.ts), planar 4:2:0 at full range, on stdout. Chosen by measuring 640x360 of a 720p camera
// at 30 images a second (ffmpeg and reader, share of one core): RGB 20 %, JPEG 15 % and its decoding still to come,
// planar 13 %, grey 11 %; its first plane is the grey image that motion.ts reads without any conversion.
//
// Invariants: arguments are a list, no shell reads them; a file is opened by the file protocol alone, a stream by RTSP's
// alone, so that what they contain can make ffmpeg open nothing else; a stream's address, which may hold a password, goes
// by stdin, for every user of a machine can read what its processes were started with.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { UsageError } from "../../wire/config.js";
import type { CameraAddress } from "./address.js";

export interface CaptureSize {
  widthPx: number;
  heightPx: number;
}

/** WIDTHxHEIGHT, 160 to 1920 to a side. */
export const CAPTURE_SIZE_PATTERN =
  /^(1[6-9]\d|[2-9]\d\d|1[0-8]\d\d|19[01]\d|1920)x(1[6-9]\d|[2-9]\d\d|1[0-8]\d\d|19[01]\d|1920)$/;

/** @param text matches CAPTURE_SIZE_PATTERN */
export function captureSize(text: string): CaptureSize {
  const [widthPx = 0, heightPx = 0] = text.split("x").map(Number);
  return { widthPx, heightPx };
}

export interface CaptureOptions {
  /** Asked of a device; any source is scaled down to its longer side. */
  size: CaptureSize;
  /** Images above this rate are dropped before they are scaled. */
  maxFps: number;
  /** A stream's socket that says nothing for so long ends ffmpeg. */
  silenceMs: number;
}

export interface Capture {
  args: string[];
  /** What ffmpeg reads on stdin. */
  stdin: string;
}

export function captureOf(address: CameraAddress, options: CaptureOptions): Capture {
  const { args, stdin = "" } = inputOf(address, options);
  return {
    stdin,
    args: [
      ...["-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-threads", "1"],
      ...args,
      ...["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", filters(options), "-fps_mode", "passthrough"],
      ...["-threads", "1", "-f", "yuv4mpegpipe", "pipe:1"],
    ],
  };
}

function inputOf(
  address: CameraAddress,
  { size, maxFps, silenceMs }: CaptureOptions,
): { args: string[]; stdin?: string } {
  switch (address.kind) {
    case "device": {
      const wanted = ["-video_size", `${size.widthPx}x${size.heightPx}`, "-framerate", String(maxFps)];
      return { args: ["-f", "v4l2", ...wanted, "-i", address.path] };
    }
    case "stream": {
      const only = ["-protocol_whitelist", "pipe,rtsp,rtp,rtcp,srtp,tcp,udp,tls,crypto"];
      return {
        args: [...only, "-f", "concat", "-safe", "0", "-i", "pipe:0"],
        stdin: listOf(address.url, silenceMs),
      };
    }
    case "file":
      // At the speed of life, again and again.
      return {
        args: ["-protocol_whitelist", "file", "-re", "-stream_loop", "-1", "-i", `file:${address.path}`],
      };
  }
}

/** One stream as a list for ffmpeg's concat demuxer, where options stand beside the address. */
function listOf(url: string, silenceMs: number): string {
  // What would end the quotes; both stand for themselves when they are encoded.
  const quoted = url.replaceAll("'", "%27").replaceAll("\\", "%5C");
  return [
    "ffconcat version 1.0",
    `file '${quoted}'`,
    "option rtsp_transport tcp",
    `option timeout ${silenceMs * 1000}`,
    "option fflags nobuffer",
    "",
  ].join("\n");
}

/** Drops first, then scales. Not ffmpeg's `fps`, which repeats images and holds each back until the next has come. */
function filters({ size, maxFps }: CaptureOptions): string {
  const sidePx = Math.max(size.widthPx, size.heightPx);
  // A tenth earlier than due, for cameras are not punctual.
  const dueS = (0.9 / maxFps).toFixed(4);
  return [
    `select='isnan(prev_selected_t)+gte(t-prev_selected_t,${dueS})'`,
    `scale='min(${sidePx},iw)':'min(${sidePx},ih)':force_original_aspect_ratio=decrease:force_divisible_by=2:out_range=pc:flags=area`,
    "format=yuv420p",
  ].join(",");
}

/** $FFMPEG, or the one on PATH. @throws UsageError that says what to install */
export function findFfmpeg(env = process.env): string {
  const named = env.FFMPEG;
  if (named) {
    if (isExecutable(named)) return named;
    throw new UsageError(`$FFMPEG is '${named}', which cannot be run`);
  }
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const found = folders.map((folder) => join(folder, "ffmpeg")).find(isExecutable);
  if (found) return found;
  throw new UsageError(
    "a camera needs ffmpeg 5.1 or later, and there is none on PATH. Install it (Debian: apt-get install ffmpeg; " +
      "macOS: brew install ffmpeg), or set $FFMPEG to its path",
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there or not ours to run: both mean "look further"
  }
}
