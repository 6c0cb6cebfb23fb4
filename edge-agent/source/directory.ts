// A folder of palm images as a source: DIR/<palm>/<session>_<sample>.png (or .jpg, .jpeg, .bmp), round and round.
// Each palm of a session is one presentation; its samples are the frames. With a sight the images are of whole hands,
// and the frames are the palms that are found in them; an image without one yields no frame.
//
// Invariants:
// - files are only read; at most one image is in memory at a time;
// - palms come in the same order on every machine: all palms once, then each one's next samples.
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../../wire/config.js";
import { MAX_FRAMES_PER_PRESENTATION } from "../../wire/limits.js";
import type { Log } from "../../wire/log.js";
import type { Sight } from "../sight.js";
import { type PalmFileResult, readPalmOfHand } from "./hand-file.js";
import { readImageFile, type SentEncoding } from "./image-file.js";
import type { CapturedFrame, Frames, Palm, PalmSource } from "./source.js";

const IMAGE_FILE = /^([^_]+)_.+\.(png|jpe?g|bmp)$/i;
const MAX_FILES = 200_000;

export interface DirectoryOptions {
  dir: string;
  /** Present only this session's samples; all when undefined. */
  session?: string | undefined;
  encoding: SentEncoding;
  /** Opens what finds the palm in images of whole hands; undefined: they are palms already. */
  openSight?: (() => Promise<Sight>) | undefined;
  log: Log;
}

/** @throws UsageError when there is no such folder or no palm in it */
export async function openDirectorySource(options: DirectoryOptions): Promise<PalmSource> {
  const { dir, openSight, encoding, log } = options;
  const presentations = inRounds(await listPalms(options));
  if (presentations.length === 0) {
    throw new UsageError(
      `no palm in ${dir}: images are expected as DIR/<palm>/<session>_<sample>.png|jpg|bmp`,
    );
  }
  // Only now: a folder that will not do leaves no thread behind.
  const sight = await openSight?.();
  const order = presentations.map(({ label, files }) => palmOfFiles(label, files, { encoding, sight, log }));
  let at = 0;
  return {
    next: async () => order[at++ % order.length],
    close: async () => sight?.close(),
  };
}

interface Presentation {
  label: string;
  files: string[];
}

/** All palms once, then each one's next samples. */
function inRounds(palms: readonly ListedPalm[]): Presentation[] {
  const rounds = Math.max(0, ...palms.map(({ groups }) => groups.length));
  return Array.from({ length: rounds }, (_, round) =>
    palms.flatMap(({ label, groups }) => {
      const files = groups[round];
      return files ? [{ label, files }] : [];
    }),
  ).flat();
}

interface ListedPalm {
  label: string;
  /** Files of one presentation each. */
  groups: string[][];
}

async function listPalms({ dir, session }: DirectoryOptions): Promise<ListedPalm[]> {
  const palms: ListedPalm[] = [];
  let files = 0;
  for (const { name: label } of (await entriesOf(dir)).filter((entry) => entry.isDirectory())) {
    const bySession = new Map<string, string[]>();
    for (const { name } of await entriesOf(join(dir, label))) {
      const itsSession = IMAGE_FILE.exec(name)?.[1];
      if (itsSession === undefined || (session !== undefined && itsSession !== session)) continue;
      if (++files > MAX_FILES) throw new UsageError(`more than ${MAX_FILES} images in ${dir}`);
      bySession.set(itsSession, [...(bySession.get(itsSession) ?? []), join(dir, label, name)]);
    }
    palms.push({ label, groups: [...bySession.values()].flatMap(inGroups) });
  }
  return palms;
}

/** In the order of their names. */
async function entriesOf(dir: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new UsageError(`the folder of palms cannot be read: ${(error as Error).message}`);
  }
}

function inGroups(files: string[]): string[][] {
  const groups = [];
  for (let at = 0; at < files.length; at += MAX_FRAMES_PER_PRESENTATION) {
    groups.push(files.slice(at, at + MAX_FRAMES_PER_PRESENTATION));
  }
  return groups;
}

interface Reading extends Pick<DirectoryOptions, "encoding" | "log"> {
  sight: Sight | undefined;
}

/** Files that yield no frame are left out, with a word in the log. */
function palmOfFiles(label: string, files: string[], { encoding, sight, log }: Reading): Palm {
  let missing: string | undefined;
  const frames = (): Frames => {
    let at = 0;
    const next = async (): Promise<CapturedFrame | undefined> => {
      for (let file = files[at++]; file !== undefined; file = files[at++]) {
        const result = sight ? await readPalmOfHand(file, sight) : await readPalm(file, encoding);
        if (result.ok) return { image: result.image, last: at >= files.length };
        missing = result.code;
        log.warn({ why: result.why }, "no palm in this image");
      }
      return undefined;
    };
    return { next };
  };
  return { label, frames, missing: () => missing };
}

async function readPalm(file: string, encoding: SentEncoding): Promise<PalmFileResult> {
  const result = await readImageFile(file, encoding);
  return result.ok ? result : { ...result, code: "BAD_IMAGE" };
}
