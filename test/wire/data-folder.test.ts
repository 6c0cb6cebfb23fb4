// One process to a data folder: seen from one process, from many at once, and after one was killed.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { claimDataFolder } from "../../wire/data-folder.js";

const MODULE = new URL("../../dist/wire/data-folder.js", import.meta.url).href;
const HOLDER = `
const { claimDataFolder } = await import("${MODULE}");
try {
  await claimDataFolder(process.argv[1]);
  console.log("held");
  setInterval(() => {}, 1000);
} catch (error) {
  console.log(error.message);
}
`;

function newFolder(name = "data"): string {
  const dir = mkdtempSync(join(tmpdir(), "palmgate-folder-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return join(dir, name);
}

/** A process that claims the folder. @returns what it says: "held", or why not */
async function claimant(dir: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", HOLDER, dir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [chunk] = await once(child.stdout ?? child, "data");
  return { child, said: String(chunk).trim() };
}

describe("a data folder", () => {
  it("is made for its owner alone, and is free again when it was let go", async () => {
    const dir = newFolder("a/b");
    for (let i = 0; i < 2; i++) {
      const folder = await claimDataFolder(dir);
      expect(statSync(dir).mode & 0o777).toBe(0o700);
      await expect(claimDataFolder(dir)).rejects.toThrow(/b is in use by another process\. Give each/);
      await folder.release();
    }
  });

  it("is refused while another process has it, and free in the moment in which that is killed", async () => {
    const dir = newFolder();
    const { child, said } = await claimant(dir);
    expect(said).toBe("held");
    await expect(claimDataFolder(dir)).rejects.toThrow(/in use/);
    child.kill("SIGKILL");
    await once(child, "exit");
    await (await claimDataFolder(dir)).release();
  });

  it("goes to exactly one of many that come at once, again and again", async () => {
    const dir = newFolder();
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(Array.from({ length: 5 }, () => claimant(dir)));
      expect(all.filter(({ said }) => said === "held")).toHaveLength(1);
      expect(all.filter(({ said }) => /in use/.test(said))).toHaveLength(4);
      const ends = all.map(({ child }) => child.exitCode === null && once(child, "exit"));
      for (const { child } of all) child.kill("SIGKILL");
      await Promise.all(ends);
    }
  });

  it("goes to exactly one of many claims within a process", async () => {
    const dir = newFolder();
    for (let round = 0; round < 10; round++) {
      const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimDataFolder(dir)));
      const held = claims.flatMap((claim) => (claim.status === "fulfilled" ? [claim.value] : []));
      expect(held).toHaveLength(1);
      await held[0]?.release();
    }
  });

  it("may have a path longer than a socket's address", async () => {
    const dir = newFolder("x".repeat(120));
    await (await claimDataFolder(dir)).release();
  });

  it("that cannot be made is told in one line", async () => {
    await expect(claimDataFolder("/dev/null/data")).rejects.toThrow(/^--data-dir: .*cannot be made or used/);
  });
});
