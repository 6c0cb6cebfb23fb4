// A worker's name, where the operator gives none: made once at random and kept in its data folder, so that it is the
// same after a restart (shards stay where their views are) and no other's, however alike two machines are named.
//
// Invariants:
// - called with the folder claimed: nobody else makes a name there at the same time;
// - the file is there whole or not at all, and its owner's alone; what is no name is refused, never replaced.
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../wire/config.js";
import { DEVICE_ID_PATTERN } from "../wire/limits.js";

/** No gallery can have this name. */
export const WORKER_ID_FILE = ".worker-id";
const OWNER_ONLY = 0o600;
const ID_BYTES = 8;

/** @throws UsageError when the file cannot be read or made, or holds something else */
export function keptWorkerId(dataDir: string): string {
  const file = join(dataDir, WORKER_ID_FILE);
  try {
    return readId(file) ?? makeId(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--data-dir: ${file} cannot be used: ${(error as Error).message}.`);
  }
}

function readId(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (DEVICE_ID_PATTERN.test(text)) return text;
  throw new UsageError(`--data-dir: ${file} holds no worker id. Remove it, and a new one is made.`);
}

function makeId(file: string): string {
  const id = `matcher-${randomBytes(ID_BYTES).toString("hex")}`;
  const unfinished = `${file}.new`;
  const fd = openSync(unfinished, "w", OWNER_ONLY);
  try {
    writeSync(fd, `${id}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, file);
  return id;
}
