// People whose whole hands the demo's lanes see: rendered, or images from a folder. What the lane sends is found, cut and
// judged in its own sight thread, as an edge agent with a camera does it.
//
// Invariants: one look at a time, in the order asked for; an image in which no good palm is found yields no frame, and is
// counted by nobody but the lane, as in life.
import { readHandFile } from "../../edge-agent/source/hand-file.js";
import { greyImage, type Palm } from "../../edge-agent/source/source.js";
import {
  type GreyImage,
  type HandImage,
  type HandShell,
  openShells,
  type PalmIdentity,
  renderHand,
  SightThread,
  synthesiseIdentity,
} from "../../palm/index.js";
import { UsageError } from "../../wire/config.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../../wire/limits.js";
import { ENROLMENT_SAMPLES, type Person, PRESENTATION_SEED } from "./person.js";

/** An image that shows no good palm is followed by the next; after so many the person has given up. */
const MAX_IMAGES_PER_FRAME = 3;

export class HandSource {
  readonly #shells: readonly HandShell[];
  readonly #sight: SightThread;
  #last: Promise<unknown> = Promise.resolve();

  /** Loads the networks and the rendered hands. */
  static async open(): Promise<HandSource> {
    const [sight, shells] = await Promise.all([
      SightThread.open(),
      openShells(({ kind, side, look }) => kind === "PALM" && side === "RIGHT" && look === "VISIBLE"),
    ]);
    return new HandSource(shells, sight);
  }

  private constructor(shells: readonly HandShell[], sight: SightThread) {
    this.#shells = shells;
    this.#sight = sight;
  }

  close(): Promise<void> {
    return this.#sight.close();
  }

  /** A made-up person; the same seed gives the same hand on every machine. */
  person(seed: number): Person {
    const identity = synthesiseIdentity(seed);
    const imageAt = async (sample: number) => this.#render(identity, sample);
    return {
      label: `synthetic-${seed}`,
      enrolment: (attempt) => this.#crops(imageAt, attempt * ENROLMENT_SAMPLES, ENROLMENT_SAMPLES),
      presentation: (n) =>
        this.#palm(`synthetic-${seed}`, imageAt, PRESENTATION_SEED + n * MAX_FRAMES_PER_PRESENTATION),
    };
  }

  /** @param files of whole hands */
  async cropsOf(files: readonly string[]): Promise<GreyImage[]> {
    return this.#crops((index) => load(files, index), 0, files.length);
  }

  /** @param files of whole hands, shown from the n-th on */
  palmOf(label: string, files: readonly string[], n: number): Palm {
    return this.#palm(label, (index) => load(files, index), n);
  }

  #render(identity: PalmIdentity, sample: number): HandImage {
    const shell = this.#shells[(identity.seed + sample) % this.#shells.length];
    if (!shell) throw new Error("there is no rendered hand");
    return renderHand(identity, shell, { seed: sample }).image;
  }

  async #crops(imageAt: (sample: number) => Promise<HandImage>, from: number, count: number) {
    const crops: GreyImage[] = [];
    for (let i = from; crops.length < count && i < from + count * MAX_IMAGES_PER_FRAME; i++) {
      const crop = await this.#look(await imageAt(i));
      if (crop) crops.push(crop);
    }
    return crops;
  }

  #palm(label: string, imageAt: (sample: number) => Promise<HandImage>, from: number): Palm {
    const frames = () => {
      let sent = 0;
      let next = from;
      return {
        next: async () => {
          for (let tries = 0; tries < MAX_IMAGES_PER_FRAME && sent < MAX_FRAMES_PER_PRESENTATION; tries++) {
            const crop = await this.#look(await imageAt(next++));
            if (!crop) continue;
            sent += 1;
            return { image: greyImage(crop), last: sent === MAX_FRAMES_PER_PRESENTATION };
          }
          return undefined;
        },
      };
    };
    return { label, frames };
  }

  #look(image: HandImage): Promise<GreyImage | undefined> {
    const turn = this.#last.then(async () => {
      const look = await this.#sight.lookAtStill(image);
      return look.kind === "palm" ? look.roi : undefined;
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

async function load(files: readonly string[], index: number): Promise<HandImage> {
  const read = await readHandFile(files[index % files.length] ?? "");
  if (!read.ok) throw new UsageError(`not an image: ${read.why}`);
  return read.image;
}
