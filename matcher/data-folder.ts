// A worker's folder: a folder for each thread, and a note of the layout that it was made with.
//
// Invariants:
// - a folder of another layout is refused, never changed;
// - what a thread that is no more had left is removed, and said: its shards are read anew from the log.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "../wire/config.js";
import { LAYOUT } from "../wire/directory.js";
import type { Log } from "../wire/log.js";

const LAYOUT_FILE = "layout.json";
const THREAD_FOLDER = /^thread-(\d+)$/;
const OWNER_ONLY = { folder: 0o700, file: 0o600 };
const LAYOUT_NOTE = z.object({ layout: z.number().int() });

/** The folder of a thread within the worker's. */
export const threadFolder = (thread: number): string => `thread-${thread}`;

/** Makes the folder ready for so many threads. @throws UsageError */
export function openDataFolder(dataDir: string, threads: number, log: Log): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: OWNER_ONLY.folder });
    const found = layoutOf(dataDir);
    if (found !== undefined && found !== LAYOUT) throw otherLayout(dataDir, found);
    const note = join(dataDir, LAYOUT_FILE);
    if (found === undefined) {
      writeFileSync(note, `${JSON.stringify({ layout: LAYOUT })}\n`, { mode: OWNER_ONLY.file });
    }
    const left = readdirSync(dataDir).filter(
      (name) => Number(THREAD_FOLDER.exec(name)?.[1] ?? -1) >= threads,
    );
    for (const name of left) rmSync(join(dataDir, name), { recursive: true, force: true });
    if (left.length > 0)
      log.info({ threads, removed: left.length }, "fewer threads: their shards are read anew");
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--data-dir: ${dataDir} cannot be used: ${(error as Error).message}.`);
  }
}

/** `undefined`: the folder is new. 1: what there was before folders said their layout. */
function layoutOf(dataDir: string): number | "unknown" | undefined {
  const note = join(dataDir, LAYOUT_FILE);
  if (!existsSync(note)) return readdirSync(dataDir).every((name) => name.startsWith(".")) ? undefined : 1;
  try {
    return LAYOUT_NOTE.parse(JSON.parse(readFileSync(note, "utf8"))).layout;
  } catch {
    return "unknown";
  }
}

const otherLayout = (dataDir: string, found: number | "unknown") =>
  new UsageError(
    `--data-dir: ${dataDir} is of layout ${found}, and this version knows layout ${LAYOUT}. Give a new folder: members are ` +
      "read anew from the log.",
  );
