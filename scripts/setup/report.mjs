// What set-up says: one line a step on stderr, with the time it took. Stdout stays clean for --json.
import { spawnSync } from "node:child_process";

/** Set-up cannot go on; the message says what the user does next. */
export class SetupError extends Error {}

const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;

/** @param {string} line */
export function say(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

/**
 * Announces a step, runs it and says how long it took.
 * @param {string} name
 * @param {() => string} work returns what came of it, in a few words
 */
export function step(name, work) {
  const sinceMs = performance.now();
  const result = work();
  say(`${name.padEnd(12)} ${result} (${seconds(sinceMs)})`);
}

/** Announces the long part of a step before it starts. */
export function announce(name, what) {
  say(`${name.padEnd(12)} ${what} ...`);
}

/**
 * Runs a command; what it prints goes to stderr.
 * @returns {boolean} it ran and exited with 0
 */
export function run(command, args, { env = {}, cwd } = {}) {
  return (
    spawnSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", 2, 2] }).status === 0
  );
}

/** @returns {string | undefined} what the command printed, or nothing when it does not run */
export function output(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return status === 0 ? stdout.trim() : undefined;
}
