// Makes wire/generated/ from proto/: static protobufjs code (no .proto is parsed at run time) and its types.
// Idempotent: does nothing when the output is newer than every input.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const outDir = join(root, "wire", "generated");
const bin = join(root, "node_modules", ".bin");

function run(tool, args) {
  const { status, stderr } = spawnSync(join(bin, tool), args, { cwd: root, encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(`${stderr}\nscripts/generate.mjs: ${tool} failed. Run 'npm ci' and try again.\n`);
    process.exit(1);
  }
}

for (const name of ["palmgate", "bus"]) {
  const proto = join("proto", `${name}.proto`);
  const js = join(outDir, `${name}.js`);
  const types = join(outDir, `${name}.d.ts`);
  const newest = Math.max(
    statSync(join(root, proto)).mtimeMs,
    statSync(fileURLToPath(import.meta.url)).mtimeMs,
  );
  if (existsSync(types) && statSync(types).mtimeMs > newest) continue;
  mkdirSync(outDir, { recursive: true });
  const flags = [
    "--no-convert",
    "--no-delimited",
    "--no-verify",
    "--no-service",
    "--no-typeurl",
    "--force-number",
    "--es6",
  ];
  run("pbjs", ["-t", "static-module", "-w", "es6", "-r", name, ...flags, "-o", js, proto]);
  // Node's ESM loader needs the full file name of the CommonJS runtime.
  writeFileSync(
    js,
    readFileSync(js, "utf8")
      .replace(/from "protobufjs\/minimal"/, 'from "protobufjs/minimal.js"')
      .replace(/import \* as \$protobuf/, "import $protobuf"),
  );
  run("pbts", ["-o", types, js]);
  process.stderr.write(`generated wire/generated/${name}.js\n`);
}
