// Frame after frame: the camera's newest, looked at, and what was seen told. As fast as the slower of both, no faster.
//
// Invariants:
// - one look at a time, and always at the newest frame: nothing queues;
// - when nobody has been there for IDLE_AFTER_MS it looks only every IDLE_INTERVAL_MS, so that an empty lane costs little;
// - it ends when `signal` aborts; a failing worker ends it with a rejection.
import type { Look } from "../palm/hand/index.js";
import type { Camera } from "./camera.js";
import type { FrameSize } from "./hand-overlay.js";
import type { Sight } from "./sight.js";

const IDLE_AFTER_MS = 5_000;
const IDLE_INTERVAL_MS = 80;

export interface Seen {
  look: Look;
  frame: FrameSize;
  /** On the clock of performance.now(), when the frame was taken. */
  atMs: number;
  /** How long the look took. */
  lookMs: number;
}

export interface WatchOptions {
  camera: Camera;
  sight: Sight;
  /** Frames come in order; the next is taken when this has returned. */
  onSeen(seen: Seen): void;
  signal: AbortSignal;
}

export async function watchHands({ camera, sight, onSeen, signal }: WatchOptions): Promise<void> {
  let handAtMs = performance.now();
  while (!signal.aborted) {
    await camera.nextFrame(signal);
    if (signal.aborted) return;
    const image = camera.grab();
    if (!image) continue;
    const { width, height } = image;
    const atMs = performance.now();
    const look = await sight.look(image, atMs);
    if (signal.aborted) return;
    onSeen({ look, frame: { width, height }, atMs, lookMs: performance.now() - atMs });
    if (look.kind !== "nothing") handAtMs = atMs;
    if (atMs - handAtMs > IDLE_AFTER_MS) await elapsed(IDLE_INTERVAL_MS, signal);
  }
}

function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish);
  });
}
