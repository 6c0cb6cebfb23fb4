// Node's version, the npm packages, and the build: what every process of Palmgate runs on.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { announce, run, SetupError } from "./report.mjs";

const NODE_MAJOR = 20;
const NODE_MIN_MINOR = 11;

export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major === NODE_MAJOR && minor >= NODE_MIN_MINOR) return process.versions.node;
  throw new SetupError(
    `this is Node ${process.versions.node}; Palmgate needs Node ${NODE_MAJOR}.${NODE_MIN_MINOR} or a later ` +
      `${NODE_MAJOR}.x (its WebSocket engine has no build for others). Install it, e.g. with 'nvm install ${NODE_MAJOR}'.`,
  );
}

/** Installs node_modules when it is missing or does not belong to package-lock.json. */
export function installPackages(root) {
  const stampFile = join(root, ".palmgate", "packages.sha256");
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const upToDate = packagesFit(root, stampFile, wanted);
  if (!upToDate) {
    announce("packages", "npm ci (compiles hnswlib-node; takes a minute or two)");
    if (!npm(root, ["ci", "--include=dev"])) {
      throw new SetupError(
        "npm ci failed; the lines above say why. It needs the npm registry, and to compile hnswlib-node a C++ " +
          "compiler, make and python3 (Debian: apt-get install g++ make python3), then run this again.",
      );
    }
  }
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, wanted);
  return upToDate ? "up to date" : "installed";
}

/** npm writes node_modules/.package-lock.json last, so a broken install has none. */
function packagesFit(root, stampFile, wanted) {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === wanted) return true;
  // Installed by hand: what is newer than the lock was made from it.
  return statSync(installed).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

function npm(root, args) {
  const env = {};
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  // With the headers beside Node, node-gyp downloads nothing.
  if (existsSync(join(prefix, "include", "node", "node.h"))) env.npm_config_nodedir = prefix;
  // The index's distance function is written for AVX2: 23 to 40 % less time where the CPU has it.
  if (!process.env.CXXFLAGS && cpuHas(["avx2", "fma"])) env.CXXFLAGS = "-O3 -mavx2 -mfma";
  const cli = process.env.npm_execpath;
  return cli?.endsWith(".js")
    ? run(process.execPath, [cli, ...args], { cwd: root, env })
    : run("npm", args, { cwd: root, env });
}

function cpuHas(features) {
  if (!existsSync("/proc/cpuinfo")) return false;
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
  return features.every((feature) => flags.includes(feature));
}

/** dist/ from the sources; scripts/build.mjs does nothing when they have not changed. */
export function build(root) {
  if (!run(process.execPath, [join(root, "scripts", "build.mjs")], { cwd: root })) {
    throw new SetupError("the build failed; the lines above say where.");
  }
  return "ready";
}
