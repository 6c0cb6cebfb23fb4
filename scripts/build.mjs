// Builds dist/ (what every process runs): generated protobuf code, then tsc, then the files tsc does not copy.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

run(process.execPath, ["scripts/generate.mjs"]);
run(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.json"]);
// dist/ mirrors the tree, so that a file finds its neighbours the same way in both.
for (const folder of ["wire/generated", "gateway/pages"]) {
  const from = join(root, folder);
  if (!existsSync(from)) continue;
  mkdirSync(join(root, "dist", folder), { recursive: true });
  cpSync(from, join(root, "dist", folder), { recursive: true, filter: (name) => !name.endsWith(".ts") });
}
