// Builds dist/ (what every process runs): generated code, the files tsc does not copy, then tsc.
// Idempotent: does nothing when no source has changed since the last build that succeeded (dist/.sources.sha256).
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildWeb } from "./build-web.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
const stampFile = join(dist, ".sources.sha256");
const webFolder = join(dist, "web");
const rooms = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")).include;
/** dist/ mirrors the tree, so that a file finds its neighbours the same way in both. */
const copiedFolders = ["wire/generated", "palm/generated", "desk/pages", "palm/synthetic/hand/shells"];

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

function filesUnder(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Hash of everything dist/ is made from. */
function sourcesHash() {
  const single = ["tsconfig.json", "package-lock.json"];
  const files = [
    ...single.map((file) => join(root, file)),
    ...["proto", "web", "scripts", ...rooms]
      .flatMap(filesUnder)
      .filter((file) => !/\/(wire|palm)\/generated\//.test(file)),
    ...filesUnder("model").filter((file) => file.endsWith(".onnx")),
  ];
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file.slice(root.length)}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

function isUpToDate(wanted) {
  return (
    existsSync(stampFile) &&
    readFileSync(stampFile, "utf8") === wanted &&
    existsSync(join(root, "wire", "generated", "palmgate.js")) &&
    existsSync(join(root, "palm", "generated", "compare-wasm.js")) &&
    existsSync(join(root, "palm", "generated", "codes-wasm.js"))
  );
}

/** A module whose source is gone must not stay importable. */
function removeOrphans() {
  for (const file of filesUnder("dist")) {
    const source = join(root, file.slice(dist.length + 1)).replace(/\.map$/, "");
    if (!/\.js(\.map)?$/.test(file) || file.startsWith(webFolder) || existsSync(source)) continue;
    if (!existsSync(source.replace(/\.js$/, ".ts"))) rmSync(file);
  }
}

const wanted = sourcesHash();
if (!isUpToDate(wanted)) {
  process.stderr.write("building dist/ ...\n");
  run(process.execPath, ["scripts/generate.mjs"]);
  for (const folder of copiedFolders) {
    const from = join(root, folder);
    if (!existsSync(from)) continue;
    mkdirSync(join(dist, folder), { recursive: true });
    cpSync(from, join(dist, folder), { recursive: true, filter: (name) => !name.endsWith(".ts") });
  }
  run(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.json"]);
  removeOrphans();
  run(join(root, "node_modules", ".bin", "tsc"), ["-p", "web"]);
  await buildWeb(root);
  writeFileSync(stampFile, wanted);
}
