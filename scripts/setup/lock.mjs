// One set-up at a time: a lock file that names its owner.
//
// Invariants:
// - the file appears with its content in one step (link), so nobody reads a half-written owner;
// - a lock whose owner is dead (same host) or older than MAX_HOLD_MS is taken over, never waited for;
// - a wait ends: after MAX_WAIT_MS with an error that names the file.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

const MAX_HOLD_MS = 30 * 60_000;
const MAX_WAIT_MS = 30 * 60_000;
const POLL_MS = 200;

/**
 * Runs `work` while this process alone holds the lock at `file`.
 * @param {string} file
 * @param {(message: string) => void} say told once, when there is somebody to wait for
 * @param {() => T} work synchronous
 * @returns {T} what `work` returns
 * @template T
 */
export function withLock(file, say, work) {
  takeLock(file, say);
  try {
    return work();
  } finally {
    rmSync(file, { force: true });
  }
}

function takeLock(file, say) {
  const mine = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true });
  const deadlineAt = Date.now() + MAX_WAIT_MS;
  let told = false;
  while (!tryLink(mine, file)) {
    const text = readOrEmpty(file);
    if (isStale(text)) {
      takeAway(file, text);
      continue;
    }
    if (Date.now() > deadlineAt) throw new Error(`${file} is still held; remove it if no set-up runs.`);
    if (!told && text) say(`another set-up runs (process ${JSON.parse(text).pid}); waiting for it`);
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}

function tryLink(mine, file) {
  writeFileSync(mine, JSON.stringify({ pid: process.pid, host: hostname(), sinceUnixMs: Date.now() }));
  try {
    linkSync(mine, file);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(mine);
  }
}

/** Nobody holds what is gone ("") : the next try to link tells. */
function isStale(text) {
  if (text === "") return false;
  const owner = parseOwner(text);
  if (!owner || Date.now() - owner.sinceUnixMs > MAX_HOLD_MS) return true;
  return owner.host === hostname() && !isAlive(owner.pid);
}

function parseOwner(text) {
  try {
    const owner = JSON.parse(text);
    return Number.isInteger(owner.pid) && Number.isFinite(owner.sinceUnixMs) ? owner : undefined;
  } catch {
    return undefined; // not written by us: nobody owns it
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM"; // alive, but another user's
  }
}

/** Moves the stale lock aside; should a live one have come in between, it is put back. */
function takeAway(file, staleText) {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (error.code === "ENOENT") return; // another waiter was faster
    throw error;
  }
  if (readFileSync(aside, "utf8") !== staleText) linkSync(aside, file);
  rmSync(aside);
}

function readOrEmpty(file) {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return "";
    throw error;
  }
}
