// Builds dist/web/: the pages that run in a browser, each with its script and style, and what they load: the sight
// worker, the WebAssembly of onnxruntime-web, the hand networks. dist/web/manifest.json names every file that the
// gateway serves.
//
// Everything but the pages themselves carries a hash of its content in its name, so that a browser keeps it for ever
// and never runs an old script with a new model. Text and WebAssembly are compressed once, here.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const PAGES = ["lane", "enroll"];
const RUNTIME = join("node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded.wasm");
const NETWORKS = { palmDetection: "palm_detection.onnx", handLandmarks: "hand_landmarks.onnx" };
/** Higher takes minutes on the runtime's 14 MB and saves a few hundred kilobytes. */
const BROTLI_QUALITY = 6;
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
  ".onnx": "application/octet-stream",
};

/** @param root the repository; @returns the number of files that the gateway serves */
export async function buildWeb(root) {
  const files = new ServedFiles(join(root, "dist", "web"));
  const networks = Object.entries(NETWORKS).map(([name, file]) => [
    name,
    files.add(file, readFileSync(join(root, "model", file))),
  ]);
  const assets = {
    ...Object.fromEntries(networks),
    wasm: files.add("onnxruntime.wasm", readFileSync(join(root, RUNTIME))),
  };
  const worker = await bundle(root, "web/sight-worker.ts", { ...assets, sightWorker: "" });
  const sightWorker = files.add("sight-worker.js", worker);
  for (const page of PAGES) {
    const folder = join("web", page);
    const script = files.add(
      `${page}.js`,
      await bundle(root, join(folder, "main.ts"), { ...assets, sightWorker }),
    );
    const style = files.add(`${page}.css`, await bundle(root, join(folder, "page.css")));
    const html = readFileSync(join(root, folder, "page.html"), "utf8");
    files.addPage(`/${page}`, `${page}.html`, html.replace("{{script}}", script).replace("{{style}}", style));
  }
  return files.finish();
}

async function bundle(root, entry, assets) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "inline",
    logLevel: "warning",
    define: assets ? { PALMGATE_ASSETS: JSON.stringify(assets) } : {},
  });
  return Buffer.from(outputFiles[0].contents);
}

class ServedFiles {
  #folder;
  #manifest = [];

  constructor(folder) {
    this.#folder = folder;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }

  /** @returns the path under which the gateway serves it, for ever */
  add(name, content) {
    const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
    const ending = extname(name);
    const file = `${basename(name, ending)}.${hash}${ending}`;
    this.#write({ path: `/web/${file}`, file, isPage: false }, content);
    return `/web/${file}`;
  }

  addPage(path, file, html) {
    this.#write({ path, file, isPage: true }, Buffer.from(html));
  }

  #write(entry, content) {
    const type = TYPES[extname(entry.file)];
    const compressed = brotliCompressSync(content, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
      },
    });
    writeFileSync(join(this.#folder, entry.file), content);
    const brotli = compressed.length < content.length ? `${entry.file}.br` : undefined;
    if (brotli) writeFileSync(join(this.#folder, brotli), compressed);
    this.#manifest.push({ ...entry, type, brotli });
  }

  finish() {
    writeFileSync(join(this.#folder, "manifest.json"), `${JSON.stringify(this.#manifest, null, 2)}\n`);
    return this.#manifest.length;
  }
}
