// A folder of palms as gallery and probes: DIR/<palm>/<session>_<anything>.png (.jpg, .jpeg, .bmp).
//
// Invariants: the gallery is each palm's first session, in natural order of the sessions' names (2 before 10); the
// probes are all later ones, so that no probe was taken in the sitting of its own template; only where a bench asks for
// it, a palm of one session is split in two. Nothing is left out in silence: an image that cannot be used ends the run
// with its name and what to do.
import { readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { readImageFile } from "../edge-agent/source/image-file.js";
import type { GreyImage } from "../palm/index.js";
import { UsageError } from "../wire/config.js";

export interface PalmFile {
  file: string;
  /** Number of its palm. */
  palm: number;
}

export interface PalmFolder {
  palms: number;
  gallery: readonly PalmFile[];
  probes: readonly PalmFile[];
  /** Palms of one session whose images serve as both, the first half as templates. */
  splitPalms: number;
}

/** What a palm of one session is for: templates that others are compared with, or also compared with itself. */
export type OneSession = "GALLERY" | "SPLIT";

const IMAGE_EXTENSIONS = new Set([".png", ".jpg", ".jpeg", ".bmp"]);
const LAYOUT = "<palm>/<session>_<anything>.png (or .jpg, .bmp)";
/** Similarities and their order are held in memory, 16 bytes a comparison. */
const MAX_COMPARISONS = 50_000_000;

/** @throws UsageError that says what the folder lacks */
export async function readPalmFolder(dir: string, oneSession: OneSession = "GALLERY"): Promise<PalmFolder> {
  const names = (await list(dir)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const gallery: PalmFile[] = [];
  const probes: PalmFile[] = [];
  let palms = 0;
  let splitPalms = 0;
  for (const name of names.sort(byNaturalOrder)) {
    const images = (await list(join(dir, name))).filter((entry) => entry.isFile() && isImage(entry.name));
    if (images.length === 0) continue;
    const files = images.map((entry) => ({ session: sessionOf(dir, name, entry.name), name: entry.name }));
    const [first] = files.map(({ session }) => session).sort(byNaturalOrder);
    const isSplit =
      oneSession === "SPLIT" && files.length > 1 && files.every(({ session }) => session === first);
    for (const [i, each] of files.sort((a, b) => byNaturalOrder(a.name, b.name)).entries()) {
      const isTemplate = isSplit ? i < files.length / 2 : each.session === first;
      (isTemplate ? gallery : probes).push({ file: join(dir, name, each.name), palm: palms });
    }
    if (isSplit) splitPalms++;
    palms++;
  }
  return checked({ palms, gallery, probes, splitPalms }, dir);
}

function checked(folder: PalmFolder, dir: string): PalmFolder {
  const { palms, gallery, probes } = folder;
  if (palms === 0) throw new UsageError(`--data: ${dir} holds no palms. Lay it out as ${LAYOUT}.`);
  if (palms === 1) {
    throw new UsageError(
      `--data: ${dir} holds one palm only: add others, there is nobody to confuse it with.`,
    );
  }
  if (probes.length === 0) {
    throw new UsageError(
      `--data: no palm in ${dir} has a second session: add images whose names begin with another session, ` +
        "such as 2_01.png beside 1_01.png.",
    );
  }
  if (gallery.length * probes.length > MAX_COMPARISONS) {
    throw new UsageError(
      `--data: ${gallery.length} x ${probes.length} comparisons are more than ${MAX_COMPARISONS}: take fewer palms.`,
    );
  }
  return folder;
}

/** The image, as a lane would send it. @throws UsageError that names the file */
export async function readPalm({ file }: PalmFile): Promise<GreyImage> {
  const result = await readImageFile(file, "gray8");
  if (!result.ok) throw new UsageError(`${result.why}. Replace or remove this image.`);
  const { widthPx: width, heightPx: height, bytes: pixels } = result.image;
  return { width, height, pixels };
}

async function list(dir: string) {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    throw new UsageError(
      `--data: ${(error as Error).message}. Give a folder that can be read, laid out as ${LAYOUT}.`,
    );
  }
}

const isImage = (name: string) => !name.startsWith(".") && IMAGE_EXTENSIONS.has(extname(name).toLowerCase());

function sessionOf(dir: string, palm: string, name: string): string {
  const at = name.indexOf("_");
  if (at > 0) return name.slice(0, at);
  throw new UsageError(
    `--data: ${join(dir, palm, name)} does not say its session. Name it <session>_<anything>, such as 1_${name}.`,
  );
}

const byNaturalOrder = new Intl.Collator("en", { numeric: true }).compare;
