// Runs promtool, Prometheus's own checker.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Path of the promtool to run: $PROMTOOL, the one that set-up installed, or the one on PATH. */
function findPromtool(): string {
  for (const candidate of [process.env.PROMTOOL, `${root}.palmgate/bin/promtool`, "promtool"]) {
    if (candidate && spawnSync(candidate, ["--version"], { stdio: "ignore" }).status === 0) return candidate;
  }
  throw new Error(
    "promtool was not found. Run 'node scripts/setup.mjs --tests', or set PROMTOOL to its path.",
  );
}

/** @returns what it printed, for the failure message, and whether it was content */
export function promtool(...args: string[]): { ok: boolean; text: string } {
  const { status, stdout, stderr } = spawnSync(findPromtool(), args, { cwd: root, encoding: "utf8" });
  return { ok: status === 0, text: stdout + stderr };
}
