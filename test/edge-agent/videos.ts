// Videos for the camera tests, drawn by ffmpeg itself into a folder that goes with the test: a grey scene, and in it a
// bright square (what these tests take for a hand) from one second to another.
import { spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { findFfmpeg } from "../../edge-agent/camera/ffmpeg.js";
import type { Look, Sight } from "../../edge-agent/sight.js";
import type { HandImage } from "../../palm/hand/types.js";

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "palmgate-camera-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

export interface Scene {
  seconds: number;
  fps?: number;
  size?: string;
  /** When the square is there, seconds. */
  square?: readonly [from: number, to: number];
}

/** @returns the file */
export function drawVideo({ seconds, fps = 30, size = "640x480", square }: Scene): string {
  const file = join(temporaryFolder(), "scene.avi");
  const noise = "noise=alls=6:allf=t";
  const box = square
    ? `,drawbox=x=iw/4:y=ih/4:w=iw/2:h=ih/2:color=0xe0c0b0:t=fill:enable='between(t,${square[0]},${square[1]})'`
    : "";
  ffmpeg([
    ...["-f", "lavfi", "-i", `color=0x404040:size=${size}:rate=${fps}:duration=${seconds}`],
    ...["-vf", `format=yuv420p${box},${noise}`, "-c:v", "mjpeg", "-q:v", "3", file],
  ]);
  return file;
}

export function ffmpeg(args: string[]): void {
  const { status, stderr } = spawnSync(findFfmpeg(), ["-v", "error", "-y", ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(`ffmpeg: ${stderr}`);
}

/** Takes the square for a hand. */
export class SquareSight implements Sight {
  looks: { look: Look; atMs: number }[] = [];
  isClosed = false;
  readonly #events = new EventEmitter();
  /** What a look at the square sees. */
  sees: (image: HandImage) => Look = palmIn;

  async look(image: HandImage, nowMs: number): Promise<Look> {
    const look: Look = isSquareIn(image) ? this.sees(image) : { kind: "nothing", reason: "NO_HAND" };
    this.looks.push({ look, atMs: nowMs });
    this.#events.emit("look");
    return look;
  }

  /** Resolves with the next look. */
  async looked(): Promise<void> {
    await once(this.#events, "look");
  }

  lookAtStill(image: HandImage): Promise<Look> {
    return this.look(image, performance.now());
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

export function guideIn(image: HandImage): Look {
  const seen = palmIn(image);
  return seen.kind === "palm" ? { kind: "guide", reason: "CLOSER", hand: seen.hand } : seen;
}

const isSquareIn = ({ width, height, pixels }: HandImage): boolean =>
  (pixels[3 * (width * Math.floor(height / 2) + Math.floor(width / 2))] ?? 0) > 150;

const CORNER = { x: 0, y: 0 };

export function palmIn({ pixels }: HandImage): Look {
  // A piece of the image, so that it differs from frame to frame as a real crop does.
  const roi = { width: 128, height: 128, pixels: pixels.slice(0, 128 * 128) };
  const hand = {
    side: "LEFT",
    corners: [CORNER, CORNER, CORNER, CORNER],
    landmarks: [],
    presence: 1,
    path: "SEARCHED",
  } as const;
  return { kind: "palm", roi, score: 90, hand };
}
