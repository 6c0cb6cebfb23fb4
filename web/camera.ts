// The page's camera: opened on request, its newest frame as pixels, let go as soon as nobody looks.
//
// Invariants:
// - frames live in memory only: two canvases that are overwritten by the next frame, and the copies that callers zero;
// - while the page is hidden every video track is stopped, and the camera's light is off;
// - after `close` nothing runs and no track is live.
import type { GreyView } from "../edge-agent/camera/motion.js";
import type { HandImage } from "../palm/hand/types.js";

/** The longest side of a frame; a larger picture is scaled down, a smaller one stays as it is. */
const MAX_FRAME_SIDE_PX = 640;
/** Of a glance: enough to see that something moves. */
const GLANCE_WIDTH_PX = 128;
const GLANCE_HEIGHT_PX = 96;
const WANTED_WIDTH_PX = 640;
const WANTED_HEIGHT_PX = 480;
const WANTED_FRAMES_PER_SECOND = 30;

/** Which way the camera looks: at whoever reads the screen, or away from it. */
export type Facing = "user" | "environment";

export type CameraProblem =
  /** The browser gives cameras to https and localhost pages only. */
  | "INSECURE_PAGE"
  /** The person, or the browser's settings, said no. */
  | "NOT_ALLOWED"
  | "NO_CAMERA"
  /** Another program holds it, or it failed. */
  | "NOT_READABLE";

export type CameraState =
  | { kind: "off" }
  | { kind: "starting" }
  | { kind: "on"; mirrored: boolean }
  | { kind: "problem"; problem: CameraProblem };

export interface CameraOptions {
  /** Shows the picture; muted and playing inline. */
  video: HTMLVideoElement;
  facing: Facing;
  onState(state: CameraState): void;
}

export class Camera {
  readonly #options: CameraOptions;
  readonly #canvas = document.createElement("canvas");
  readonly #glanceCanvas = document.createElement("canvas");
  #facing: Facing;
  #stream: MediaStream | undefined;
  #isWanted = false;
  /** Of the newest start: an older one that ends late lets go of what it got. */
  #turn = 0;

  constructor(options: CameraOptions) {
    this.#options = options;
    this.#facing = options.facing;
    document.addEventListener("visibilitychange", this.#visibilityChanged);
  }

  get facing(): Facing {
    return this.#facing;
  }

  /** Opens the camera; asks the person the first time. How it went is told to onState. */
  async open(facing: Facing = this.#facing): Promise<void> {
    this.#isWanted = true;
    this.#facing = facing;
    this.#letGo();
    if (!document.hidden) await this.#start();
  }

  close(): void {
    this.#isWanted = false;
    document.removeEventListener("visibilitychange", this.#visibilityChanged);
    this.#letGo();
    this.#options.onState({ kind: "off" });
  }

  /** The newest frame, the caller's own to zero; `undefined` while there is none. */
  grab(): HandImage | undefined {
    const { videoWidth, videoHeight } = this.#options.video;
    const scale = Math.min(1, MAX_FRAME_SIDE_PX / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * scale);
    const height = Math.round(videoHeight * scale);
    const pixels = this.#pixels(this.#canvas, width, height);
    return pixels && { width, height, channels: 4, pixels };
  }

  /** The newest frame, small and grey: costs next to nothing. */
  glance(): GreyView | undefined {
    const pixels = this.#pixels(this.#glanceCanvas, GLANCE_WIDTH_PX, GLANCE_HEIGHT_PX);
    if (!pixels) return undefined;
    // Green stands for brightness: most of what the eye calls bright, and every camera's sharpest channel.
    const luma = new Uint8Array(pixels.length / 4).map((_, i) => pixels[4 * i + 1] as number);
    return { widthPx: GLANCE_WIDTH_PX, heightPx: GLANCE_HEIGHT_PX, luma };
  }

  /** Resolves when the camera has a frame that was not there before, and at once when `signal` aborts. */
  nextFrame(signal: AbortSignal): Promise<void> {
    const { video } = this.#options;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const finish = () => {
        video.cancelVideoFrameCallback(handle);
        signal.removeEventListener("abort", finish);
        resolve();
      };
      const handle = video.requestVideoFrameCallback(finish);
      signal.addEventListener("abort", finish);
    });
  }

  readonly #visibilityChanged = () => {
    if (!this.#isWanted) return;
    if (document.hidden) {
      this.#letGo();
      this.#options.onState({ kind: "off" });
    } else if (!this.#stream) {
      void this.#start();
    }
  };

  #pixels(canvas: HTMLCanvasElement, width: number, height: number): Uint8Array | undefined {
    const { video } = this.#options;
    const isShowing = this.#stream && video.readyState >= video.HAVE_CURRENT_DATA && video.videoWidth > 0;
    if (!isShowing) return undefined;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    if (!context) return undefined;
    context.drawImage(video, 0, 0, width, height);
    return new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
  }

  async #start(): Promise<void> {
    const turn = ++this.#turn;
    const { video, onState } = this.#options;
    onState({ kind: "starting" });
    const opened = await openStream(this.#facing);
    if (turn !== this.#turn) {
      if (opened.ok) stopTracks(opened.stream);
      return;
    }
    if (!opened.ok) return onState({ kind: "problem", problem: opened.problem });
    this.#stream = opened.stream;
    for (const track of opened.stream.getVideoTracks()) track.addEventListener("ended", this.#trackEnded);
    video.srcObject = opened.stream;
    await video.play().catch(() => {
      // A newer start, or the page's hiding, interrupts a picture that has not begun: that is no failure.
      if (turn === this.#turn) this.#trackEnded();
    });
    if (turn === this.#turn) onState({ kind: "on", mirrored: isMirrored(opened.stream) });
  }

  /** Unplugged, or taken away by the system. */
  readonly #trackEnded = () => {
    this.#letGo();
    this.#options.onState({ kind: "problem", problem: "NOT_READABLE" });
  };

  #letGo(): void {
    this.#turn += 1;
    if (this.#stream) {
      for (const track of this.#stream.getVideoTracks()) track.removeEventListener("ended", this.#trackEnded);
      stopTracks(this.#stream);
    }
    this.#stream = undefined;
    this.#options.video.srcObject = null;
    // A canvas forgets its pixels when it is resized.
    this.#canvas.width = 0;
    this.#glanceCanvas.width = 0;
  }
}

type Opened = { ok: true; stream: MediaStream } | { ok: false; problem: CameraProblem };

async function openStream(facing: Facing): Promise<Opened> {
  if (!window.isSecureContext) return { ok: false, problem: "INSECURE_PAGE" };
  const video = {
    facingMode: facing,
    width: { ideal: WANTED_WIDTH_PX },
    height: { ideal: WANTED_HEIGHT_PX },
    frameRate: { ideal: WANTED_FRAMES_PER_SECOND },
  };
  try {
    return { ok: true, stream: await navigator.mediaDevices.getUserMedia({ audio: false, video }) };
  } catch (error) {
    return { ok: false, problem: problemOf(error instanceof Error ? error.name : "") };
  }
}

function problemOf(name: string): CameraProblem {
  if (name === "NotAllowedError" || name === "SecurityError") return "NOT_ALLOWED";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "NO_CAMERA";
  return "NOT_READABLE";
}

/** People expect a mirror of themselves. A camera that does not say where it looks is a laptop's. */
const isMirrored = (stream: MediaStream): boolean =>
  stream.getVideoTracks()[0]?.getSettings().facingMode !== "environment";

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
