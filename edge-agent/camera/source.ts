// A camera as a source of palms: watches, looks where something moves, and offers each visit's best crops.
//
// Invariants:
// - nobody there: a look where something draws attention (attention.ts); a hand: a look at every image; its presentation
//   over: a look every OVER_LOOK_MS, until it leaves;
// - one look at a time, always at the newest image; nothing queues;
// - nothing runs before the first `next`; `close` ends the camera and the sight, and overwrites what is left; a source
//   that fails rejects `next`.
import { type Guidance, guidanceOf } from "../../palm/hand/judge.js";
import type { edge } from "../../wire/codec.js";
import { BestCrops } from "../best-crops.js";
import type { Look, Sight } from "../sight.js";
import type { Palm, PalmSource } from "../source/source.js";
import { Attention } from "./attention.js";
import { Guides } from "./guides.js";
import { type Scene, sceneOf } from "./motion.js";
import { toHandImage } from "./pixels.js";
import { Visit } from "./visit.js";
import type { CameraImage } from "./y4m.js";

const OVER_LOOK_MS = 100;

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
  readonly #attention = new Attention();
  readonly #guides: Guides;
  #watching: Promise<void> | undefined;
  /** How `next` ends once nobody watches any more. */
  #end: (() => Promise<undefined>) | undefined;
  #camera: Images | undefined;
  #isStopped = false;
  #waiting: Waiting | undefined;
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
    if (this.#visit.isEmpty) return this.#attention.isDrawn(scene, nowMs);
    return this.#attention.restedMs(nowMs) >= (this.#visit.isOver ? OVER_LOOK_MS : 0);
  }

  async #look(sight: Sight, image: CameraImage, scene: Scene): Promise<void> {
    const { atMs } = image;
    const startedAtMs = performance.now();
    const look = await sight.look(toHandImage(image), atMs);
    this.#options.onLook?.(look, atMs, performance.now() - startedAtMs);
    const isReady = this.#visit.see(look, atMs);
    this.#guide(look, atMs);
    this.#attention.looked(scene, atMs, this.#visit.isEmpty);
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
