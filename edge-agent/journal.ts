// The journal of passages on the disk of a lane: what a killed agent did, and has not seen acknowledged, is known to the
// next one. One folder for one agent.
//
// Invariants:
// - the folder belongs to its user alone (0700), the file too (0600), and it holds ids, tokens, steps and times only;
// - the file only grows by whole lines, each written before `put` returns and answered once it is synced; a line that a
//   crash or a full disk has torn is ended before the next one, and skipped when it is read;
// - it never grows beyond maxFileBytes: once compactAtBytes are reached it is emptied when no passage is left, or
//   written anew beside itself and put in its own place;
// - a disk that takes nothing (full, worn out, read-only) makes an answer, never an exception; each put tries again.
import {
  closeSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { UsageError } from "../wire/config.js";
import type { AgentLog } from "./host.js";
import {
  isPresentationHex,
  type PassageStore,
  readStoredPassage,
  type Stored,
  type StoredPassage,
} from "./passage-store.js";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Group and others. */
const OTHERS_BITS = 0o077;
const BOUNDS: Readonly<JournalBounds> = { compactAtBytes: 256 * 1024, maxFileBytes: 4 * 1024 * 1024 };
/** What a machine may do to a file beneath a running lane, which works without it. */
const DISK_TROUBLE: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO"]);

export interface JournalOptions {
  /** Made when it is not there. */
  dir: string;
  deviceId: string;
  log: AgentLog;
  /** Smaller in a test. */
  bounds?: JournalBounds;
}

export interface JournalBounds {
  compactAtBytes: number;
  maxFileBytes: number;
}

/** @throws UsageError when the folder is not to be used */
export function openJournal({ dir, deviceId, log, bounds = BOUNDS }: JournalOptions): PassageStore {
  try {
    mkdirSync(dir, { recursive: true, mode: FOLDER_MODE });
    const { mode } = statSync(dir);
    if ((mode & OTHERS_BITS) !== 0) throw new Error(`others may enter it: chmod 700 ${dir}`);
    return new Journal(dir, join(dir, `${deviceId}.passages`), bounds, log);
  } catch (error) {
    throw new UsageError(`--journal-dir ${dir}: ${(error as Error).message}`);
  }
}

class Journal implements PassageStore {
  readonly left: readonly StoredPassage[];
  readonly #dir: string;
  readonly #file: string;
  readonly #bounds: Readonly<JournalBounds>;
  /** Lines of what is not removed, by presentation. */
  readonly #live = new Map<string, string>();
  readonly #syncing = new Set<Promise<unknown>>();
  #fd: number | undefined;
  #bytes = 0;
  /** The last line in the file has no end. */
  #isTorn = false;

  constructor(dir: string, file: string, bounds: Readonly<JournalBounds>, log: AgentLog) {
    this.#dir = dir;
    this.#file = file;
    this.#bounds = bounds;
    const text = readIfThere(file);
    const { left, unreadable } = readJournal(text);
    this.left = left;
    for (const passage of left) this.#live.set(passage.presentation, lineOf(passage));
    this.#bytes = Buffer.byteLength(text);
    this.#isTorn = text !== "" && !text.endsWith("\n");
    if (unreadable > 0) log.warn({ lines: unreadable }, "lines of the journal of passages could not be read");
    bearDiskTrouble(() => {
      this.#open();
      syncFolder(dir);
    });
  }

  put(passage: StoredPassage): Promise<Stored> {
    const line = lineOf(passage);
    this.#live.set(passage.presentation, line);
    const written = this.#append(line);
    return written.ok ? this.#synced() : Promise.resolve(written);
  }

  /** Not synced: a removal that is lost means one report more, which changes nothing. */
  remove(presentation: string): void {
    this.#live.delete(presentation);
    const removed = this.#append(`${JSON.stringify({ presentation, step: REMOVED })}\n`);
    // Room for the next one, also on a full disk.
    if (!removed.ok && this.#live.size === 0) bearDiskTrouble(() => this.#empty());
  }

  async close(): Promise<void> {
    await Promise.all(this.#syncing);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #append(line: string): Stored {
    try {
      const { compactAtBytes, maxFileBytes } = this.#bounds;
      if (this.#bytes + line.length > compactAtBytes) this.#compact();
      if (this.#bytes + line.length > maxFileBytes) return { ok: false, why: "the journal is full" };
      const fd = this.#open();
      const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line);
      for (let at = 0; at < bytes.length; ) {
        const written = writeSync(fd, bytes, at);
        at += written;
        this.#bytes += written;
        this.#isTorn = at < bytes.length;
      }
      return { ok: true };
    } catch (error) {
      return { ok: false, why: (error as Error).message };
    }
  }

  #open(): number {
    this.#fd ??= openSync(this.#file, "a", FILE_MODE);
    return this.#fd;
  }

  #synced(): Promise<Stored> {
    const fd = this.#open();
    const syncing = new Promise<Stored>((resolve) =>
      fdatasync(fd, (error) => resolve(error ? { ok: false, why: error.message } : { ok: true })),
    );
    this.#syncing.add(syncing);
    void syncing.then(() => this.#syncing.delete(syncing));
    return syncing;
  }

  /** Leaves the file as it is when there is no room for another one, or nothing to win. */
  #compact(): void {
    if (this.#live.size === 0) {
      this.#empty();
      return;
    }
    const text = [...this.#live.values()].join("");
    if (2 * text.length > this.#bytes) return;
    bearDiskTrouble(() => this.#replace(text));
  }

  #empty(): void {
    ftruncateSync(this.#open());
    this.#bytes = 0;
    this.#isTorn = false;
  }

  #replace(text: string): void {
    const oldFd = this.#open();
    const beside = `${this.#file}.new`;
    const fd = openSync(beside, "w", FILE_MODE);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
      renameSync(beside, this.#file);
    } finally {
      closeSync(fd);
      // What a full disk has cut short would only take more of it.
      rmSync(beside, { force: true });
    }
    syncFolder(this.#dir);
    this.#fd = openSync(this.#file, "a", FILE_MODE);
    this.#bytes = Buffer.byteLength(text);
    this.#isTorn = false;
    // All that the old file is still being synced for lies in the new one.
    void Promise.all(this.#syncing).then(() => closeSync(oldFd));
  }
}

/** A disk that takes nothing now is told by the next put, and may be better by then. */
function bearDiskTrouble(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!DISK_TROUBLE.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

const REMOVED = "REMOVED";

function lineOf({ presentation, token, step, atUnixMs }: StoredPassage): string {
  return `${JSON.stringify({ presentation, token, step, atUnixMs })}\n`;
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** @returns what is left, and how many lines are none (a last one without an end is what a crash leaves, and not counted) */
function readJournal(text: string): { left: StoredPassage[]; unreadable: number } {
  const left = new Map<string, StoredPassage>();
  let unreadable = 0;
  for (const line of text.split("\n").slice(0, -1)) {
    const value = parsed(line);
    const passage = readStoredPassage(value);
    const removed = removedBy(value);
    if (passage) left.set(passage.presentation, passage);
    else if (removed !== undefined) left.delete(removed);
    else if (line !== "") unreadable += 1;
  }
  return { left: [...left.values()], unreadable };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function removedBy(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { step, presentation } = value as Partial<Record<keyof StoredPassage, unknown>>;
  return step === REMOVED && isPresentationHex(presentation) ? presentation : undefined;
}

function syncFolder(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
