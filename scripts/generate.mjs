// Makes wire/generated/ from proto/: static protobufjs code (no .proto is parsed at run time) and its types; and
// palm/generated/ from palm/lines/compare.wat and palm/codes/compare.wat: the assembled WebAssembly modules.
// Idempotent: does nothing when the output is newer than every input.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const wireDir = join(root, "wire", "generated");
const palmDir = join(root, "palm", "generated");
const bin = join(root, "node_modules", ".bin");

function run(tool, args) {
  const { status, stderr } = spawnSync(join(bin, tool), args, { cwd: root, encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(`${stderr}\nscripts/generate.mjs: ${tool} failed. Run 'npm ci' and try again.\n`);
    process.exit(1);
  }
}

/** Whether the file is there and newer than its sources and than this script. */
function isFresh(file, sources) {
  const inputs = [...sources.map((source) => join(root, source)), fileURLToPath(import.meta.url)];
  const newest = Math.max(...inputs.map((input) => statSync(input).mtimeMs));
  return existsSync(file) && statSync(file).mtimeMs > newest;
}

/** Each module from its files, of one package. */
const MODULES = { palmgate: ["palmgate"], bus: ["bus", "record", "api"] };

for (const [name, files] of Object.entries(MODULES)) {
  const protos = files.map((file) => join("proto", `${file}.proto`));
  const js = join(wireDir, `${name}.js`);
  const types = join(wireDir, `${name}.d.ts`);
  if (isFresh(types, protos)) continue;
  mkdirSync(wireDir, { recursive: true });
  const flags = [
    "--no-convert",
    "--no-delimited",
    "--no-verify",
    "--no-service",
    "--no-typeurl",
    "--force-number",
    "--es6",
  ];
  run("pbjs", ["-t", "static-module", "-w", "es6", "-r", name, ...flags, "-o", js, ...protos]);
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

for (const [name, room] of [
  ["compare", "lines"],
  ["codes", "codes"],
]) {
  const wat = join("palm", room, "compare.wat");
  const wasm = join(palmDir, `${name}-wasm.js`);
  const wasmTypes = join(palmDir, `${name}-wasm.d.ts`);
  if (isFresh(wasm, [wat]) && isFresh(wasmTypes, [wat])) continue;
  mkdirSync(palmDir, { recursive: true });
  const bytes = await assemble(wat);
  writeFileSync(wasm, `export const ${name}Wasm = Uint8Array.of(${bytes.join(", ")});\n`);
  writeFileSync(wasmTypes, `export declare const ${name}Wasm: Uint8Array<ArrayBuffer>;\n`);
  process.stderr.write(`generated palm/generated/${name}-wasm.js\n`);
}

/** @returns the bytes of the WebAssembly module */
async function assemble(source) {
  try {
    // Imported only here: the assembler takes long to load.
    const { default: loadWabt } = await import("wabt");
    const module = (await loadWabt()).parseWat(source, readFileSync(join(root, source), "utf8"));
    module.validate();
    return module.toBinary({}).buffer;
  } catch (error) {
    process.stderr.write(
      `${error.message}\nscripts/generate.mjs: ${source} is not assembled. Run 'npm ci' and try again.\n`,
    );
    process.exit(1);
  }
}
