// Frame after frame: the camera's newest, looked at, and what was seen told. As fast as the slower of both, no faster.
//
// Invariants:
// - one look at a time, and always at the newest frame: nothing queues;
// - when nobody has been there for IDLE_AFTER_MS it looks only where something draws attention, as a lane's agent does
//   (edge-agent/camera/attention.ts), so that an empty lane costs little;
// - it ends when `signal` aborts; a failing worker ends it with a rejection.
import { Attention } from "../edge-agent/camera/attention.js";
import { sceneOf } from "../edge-agent/camera/motion.js";
import type { Look } from "../palm/hand/index.js";
import type { Camera } from "./camera.js";
import type { FrameSize } from "./hand-overlay.js";
import type { Sight } from "./sight.js";

const IDLE_AFTER_MS = 1_000;

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
  const attention = new Attention();
  let handAtMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    await camera.nextFrame(signal);
    const atMs = performance.now();
    const glance = camera.glance();
    if (!glance) continue;
    const scene = sceneOf(glance);
    if (!attention.isDrawn(scene, atMs) && atMs - handAtMs >= IDLE_AFTER_MS) continue;
    const image = camera.grab();
    if (!image || signal.aborted) continue;
    const { width, height } = image;
    const look = await sight.look(image, atMs);
    if (signal.aborted) return;
    if (look.kind !== "nothing") handAtMs = atMs;
    attention.looked(scene, atMs, look.kind === "nothing");
    onSeen({ look, frame: { width, height }, atMs, lookMs: performance.now() - atMs });
  }
}
