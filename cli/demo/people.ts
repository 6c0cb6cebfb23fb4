// Who stands at the demo's lanes or fills its gallery: made-up people with synthetic palms, or real images from a folder
// per palm. Whole hands are in hands.ts; here are ready-made crops.
//
// Invariant: the images a person is enrolled with are never presented, so recognition is never a comparison of an
// image with itself.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readImageFile } from "../../edge-agent/source/image-file.js";
import { greyImage, type Palm, palmOfImages } from "../../edge-agent/source/source.js";
import { type GreyImage, renderSample, synthesiseIdentity } from "../../palm/index.js";
import { UsageError } from "../../wire/config.js";
import { MAX_FRAMES_PER_PRESENTATION, MAX_TEMPLATES_PER_MEMBER } from "../../wire/limits.js";
import type { HandSource } from "./hands.js";
import { ENROLMENT_SAMPLES, type Person, PRESENTATION_SEED } from "./person.js";

export interface SyntheticPerson extends Person {
  /** What `presentation(n)` sends. */
  crops(n: number): GreyImage[];
}

/** A made-up person; the same seed gives the same palm on every machine. */
export function syntheticPerson(seed: number): SyntheticPerson {
  const identity = synthesiseIdentity(seed);
  const samples = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => renderSample(identity, { seed: from + i }));
  const crops = (n: number) =>
    samples(PRESENTATION_SEED + n * MAX_FRAMES_PER_PRESENTATION, MAX_FRAMES_PER_PRESENTATION);
  return {
    label: `synthetic-${seed}`,
    enrolment: async (attempt) => samples(attempt * ENROLMENT_SAMPLES, ENROLMENT_SAMPLES),
    presentation: (n) => palmOfCrops(crops(n)),
    crops,
  };
}

const IMAGE_NAME = /^([^_]+)_.*\.(png|jpe?g|bmp)$/i;

/**
 * People from DIR/<palm>/<session>_<anything>.png|jpg|bmp: enrolled from the first session, presented from the others.
 * @param hands the images show whole hands, which are found and cut by it; undefined: ready-made crops
 * @throws UsageError when the folder cannot be read or holds no palm with two sessions, saying what it should look like
 */
export async function peopleFromFolder(dir: string, hands?: HandSource): Promise<Person[]> {
  const people: Person[] = [];
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: Error) => {
    throw new UsageError(`the folder of palms cannot be read: ${error.message}`);
  });
  const folders = entries.filter((entry) => entry.isDirectory());
  for (const { name } of folders.sort((a, b) => a.name.localeCompare(b.name))) {
    const files = (await readdir(join(dir, name))).filter((file) => IMAGE_NAME.test(file)).sort();
    const sessionOf = (file: string) => IMAGE_NAME.exec(file)?.[1];
    const first = files.filter((file) => sessionOf(file) === sessionOf(files[0] ?? ""));
    const later = files.filter((file) => !first.includes(file));
    if (first.length === 0 || later.length === 0) continue;
    const paths = (names: string[]) => names.map((file) => join(dir, name, file));
    const cropsOf = (names: string[]) =>
      hands ? hands.cropsOf(paths(names)) : Promise.all(paths(names).map(loadGrey));
    people.push({
      label: name,
      enrolment: (attempt) => {
        const from = (attempt * ENROLMENT_SAMPLES) % first.length;
        return cropsOf(
          [...first.slice(from), ...first.slice(0, from)].slice(0, MAX_TEMPLATES_PER_MEMBER - attempt),
        );
      },
      presentation: async (n) => {
        if (hands) return hands.palmOf(name, paths(later), n);
        const shown = Array.from({ length: MAX_FRAMES_PER_PRESENTATION }, (_, i) => (n + i) % later.length);
        return palmOfCrops(await cropsOf(shown.map((index) => later[index] ?? "")));
      },
    });
  }
  if (people.length === 0) {
    throw new UsageError(
      `${dir}: no palm with two sessions found. Give a folder with one folder per palm, each with files <session>_<sample>.png.`,
    );
  }
  return people;
}

const palmOfCrops = (crops: readonly GreyImage[]): Palm => palmOfImages(crops.map((crop) => greyImage(crop)));

/** As a lane reads it. */
async function loadGrey(file: string): Promise<GreyImage> {
  const read = await readImageFile(file, "gray8");
  if (!read.ok) throw new UsageError(`not an image: ${read.why}`);
  const { widthPx, heightPx, bytes } = read.image;
  return { width: widthPx, height: heightPx, pixels: bytes };
}
