// The newcomer's command: it prepares, runs, counts and ends by itself, leaving nothing behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Summary } from "../../cli/demo/tally.js";
import { PALMGATE_JS } from "../../cli/stack/child.js";

/** @param stopAt ends it with SIGTERM when it says this */
async function demo(
  args: string[],
  tmp: string,
  stopAt?: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [PALMGATE_JS, "demo", ...args], {
    env: { ...process.env, TMPDIR: tmp },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
    if (stopAt !== undefined && !child.killed && stderr.includes(stopAt)) child.kill("SIGTERM");
  });
  const [code] = await once(child, "close");
  return { code: Number(code), stdout, stderr };
}

describe("palmgate demo", () => {
  it("recognises its members and nobody else, shows progress, prints one JSON object, tidies up", async () => {
    const tmp = mkdtempSync(join(tmpdir(), "palmgate-demo-test-"));
    const { code, stdout, stderr } = await demo(
      ["--members", "40", "--for", "6s", "--pause-ms", "50", "--port", "0", "--json"],
      tmp,
    );
    expect(stderr).toContain("enrolling members: 40 of 40");
    expect(code).toBe(0);
    const summary = JSON.parse(stdout) as Summary;
    expect(summary).toMatchObject({
      wrong: 0,
      missed: 0,
      gateways: 2,
      matchers: 2,
      transport: "uws-native",
    });
    // Look-alikes among made-up people are turned away, as a gateway does.
    expect(summary.members).toBeGreaterThanOrEqual(38);
    // A machine that stalls longer than a search may take leaves one now and then undecided; never wrong.
    expect(summary.undecided).toBeLessThanOrEqual(summary.presentations / 20);
    expect(summary.granted).toBeGreaterThan(0);
    expect(summary.noMatch).toBeGreaterThan(0);
    expect(summary.p99Ms).not.toBeNull();
    expect(readdirSync(tmp)).toEqual([]);
    rmSync(tmp, { recursive: true, force: true });
  });

  it("ends without a stack trace, and tidies up, when it is stopped while it prepares", async () => {
    const tmp = mkdtempSync(join(tmpdir(), "palmgate-demo-test-"));
    const args = ["--members", "2000", "--port", "0"];
    const { code, stderr } = await demo(args, tmp, "enrolling members: 1 of");
    expect(code).toBe(130);
    expect(stderr).not.toContain("Error");
    expect(readdirSync(tmp)).toEqual([]);
    rmSync(tmp, { recursive: true, force: true });
  });

  it("says how a folder of palms must look when it is given another", async () => {
    const empty = mkdtempSync(join(tmpdir(), "palmgate-no-palms-"));
    const { code, stderr } = await demo(["--palms", empty], empty);
    expect(code).not.toBe(0);
    expect(stderr).toContain("<session>_<sample>.png");
    rmSync(empty, { recursive: true, force: true });
  });
});
