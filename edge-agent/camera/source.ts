// A camera as a source of palms: watches, looks where something moves, and offers each visit's best crops.
//
// Invariants:
// - nobody there: no look but every IDLE_LOOK_MS, and at every image while something moves and AWAKE_MS after; a hand: a
//   look at every image; its presentation over: a look every OVER_LOOK_MS, until it leaves;
// - one look at a time, always at the newest image; nothing queues;
// - nothing runs before the first `next`; `close` ends the camera and the sight, and overwrites what is left; a source
//   that fails rejects `next`.
import { type Guidance, guidanceOf } from "../../palm/hand/judge.js";
import type { edge } from "../../wire/codec.js";
import { BestCrops } from "../best-crops.js";
import type { Look, Sight } from "../sight.js";
import type { Palm, PalmSource } from "../source/source.js";
import { Guides } from "./guides.js";
import { MotionDetector, type Scene, sceneOf } from "./motion.js";
import { toHandImage } from "./pixels.js";
import { Visit } from "./visit.js";
import type { CameraImage } from "./y4m.js";

const IDLE_LOOK_MS = 3_000;
const OVER_LOOK_MS = 100;
/** A hand that lies still at once, or upside down, is not found by the first look. */
const AWAKE_MS = 500;

/** Of camera.ts; a test may play one. */
export interface Images {
  next(): Promise<CameraImage | undefined>;
  close(): Promise<void>;
}

export interface CameraSourceOptions {
  openCamera: () => Images;
  openSight: () => Promise<Sight>;
  modality: edge.Modality;
  onGuide?: ((reason: Guidance) => void) | undefined;
  /** @param atMs when the image was taken; @param lookMs how long the look took */
  onLook?: ((look: Look, atMs: number, lookMs: number) => void) | undefined;
}

/** Whoever asked for the next palm. Held here alone, so that nothing of it stays once it has been answered. */
interface Waiting {
  resolve(palm: Palm | undefined): void;
  reject(error: unknown): void;
}

export class CameraSource implements PalmSource {
  readonly #options: CameraSourceOptions;
  readonly #crops = new BestCrops();
  readonly #visit = new Visit(this.#crops);
  readonly #motion = new MotionDetector();
  readonly #guides: Guides;
  #watching: Promise<void> | undefined;
  /** How `next` ends once nobody watches any more. */
  #end: (() => Promise<undefined>) | undefined;
  #camera: Images | undefined;
  #isStopped = false;
  /** Until then every image is looked at: something moved a moment ago. */
  #awakeUntilMs = Number.NEGATIVE_INFINITY;
  #waiting: Waiting | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #palms = 0;

  constructor(options: CameraSourceOptions) {
    this.#options = options;
    this.#guides = new Guides((reason) => options.onGuide?.(reason));
  }

  /** The palm of the next visit; one call at a time. */
  async next(): Promise<Palm | undefined> {
    this.#watching ??= this.#watch();
    if (this.#end) return this.#end();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  ended(mayTryAgain: boolean): void {
    this.#visit.ended(mayTryAgain, performance.now());
  }

  stop(): void {
    this.#isStopped = true;
    void this.#camera?.close();
  }

  async close(): Promise<void> {
    this.stop();
    // Why it failed is for `next` to say.
    await this.#watching;
  }

  /** Watches to the end, which is told to whoever waits, and to whoever asks later. Never rejects. */
  async #watch(): Promise<void> {
    try {
      await this.#watchImages();
      this.#end = async () => undefined;
      this.#waiting?.resolve(undefined);
    } catch (error) {
      this.#end = () => Promise.reject(error);
      this.#waiting?.reject(error);
    }
    this.#waiting = undefined;
  }

  async #watchImages(): Promise<void> {
    const sight = await this.#options.openSight();
    try {
      const camera = this.#options.openCamera();
      this.#camera = camera;
      while (!this.#isStopped) {
        const image = await camera.next();
        if (!image) return;
        const scene = sceneOf(image);
        if (this.#isWorthALook(scene, image.atMs)) await this.#look(sight, image, scene);
      }
    } finally {
      await this.#camera?.close();
      this.#crops.clear();
      await sight.close();
    }
  }

  #isWorthALook(scene: Scene, nowMs: number): boolean {
    const restedMs = nowMs - this.#lookedAtMs;
    if (this.#visit.isEmpty) {
      if (this.#motion.moved(scene)) this.#awakeUntilMs = nowMs + AWAKE_MS;
      return nowMs < this.#awakeUntilMs || restedMs >= IDLE_LOOK_MS;
    }
    return restedMs >= (this.#visit.isOver ? OVER_LOOK_MS : 0);
  }

  async #look(sight: Sight, image: CameraImage, scene: Scene): Promise<void> {
    const { atMs } = image;
    this.#lookedAtMs = atMs;
    const startedAtMs = performance.now();
    const look = await sight.look(toHandImage(image), atMs);
    this.#options.onLook?.(look, atMs, performance.now() - startedAtMs);
    const isReady = this.#visit.see(look, atMs);
    this.#guide(look, atMs);
    if (this.#visit.isEmpty) this.#motion.settle(scene);
    if (isReady) this.#present();
  }

  #guide(look: Look, atMs: number): void {
    if (this.#visit.isEmpty) this.#guides.left(atMs);
    else if (!this.#visit.isOver) this.#guides.want(wishOf(look), atMs);
  }

  #present(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = undefined;
    this.#visit.begin();
    waiting.resolve(this.#crops.palm(`camera ${++this.#palms}`, this.#options.modality));
  }
}

function wishOf(look: Look): Guidance | undefined {
  switch (look.kind) {
    case "palm":
      return undefined;
    case "guide":
      return look.reason;
    case "nothing":
      return guidanceOf(look.reason);
  }
}
