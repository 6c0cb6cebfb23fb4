// The pages that run in a browser (/lane, /enroll) and what they load, as scripts/build-web.mjs made them.
//
// Invariants:
// - files are read once, at start: a missing one is a broken installation and is seen there and then;
// - pages are asked for anew each time; everything else has a hash of its content in its name and is kept for ever;
// - a page runs no inline code and loads nothing from elsewhere; compiling WebAssembly is the one thing it may do more;
// - no copy of a file is made for a reader, however slowly it reads.
import type { HttpResponse, TemplatedApp } from "uWebSockets.js";
import { readFileSync } from "node:fs";
import { z } from "zod";

const manifestSchema = z.array(
  z.object({
    path: z.string().startsWith("/"),
    file: z.string(),
    type: z.string(),
    isPage: z.boolean(),
    brotli: z.string().optional(),
  }),
);

type Entry = z.infer<typeof manifestSchema>[number];

const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY_HEADERS = [
  ["content-security-policy", CONTENT_SECURITY_POLICY],
  ["permissions-policy", "camera=(self), microphone=(), geolocation=(), display-capture=()"],
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-opener-policy", "same-origin"],
  ["cross-origin-embedder-policy", "require-corp"],
  ["cross-origin-resource-policy", "same-origin"],
  ["vary", "accept-encoding"],
] as const;

/** Where the build puts them; sources run beside dist/, built code inside it. */
const FOLDER = new URL(import.meta.url.endsWith(".ts") ? "../../dist/web/" : "../../web/", import.meta.url);
const FOR_EVER = "public, max-age=31536000, immutable";

/** @throws Error when the pages are not built */
export function registerWebFiles(app: TemplatedApp): void {
  for (const entry of readManifest()) serve(app, entry);
}

function readManifest(): readonly Entry[] {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(new URL("manifest.json", FOLDER), "utf8")));
  } catch (error) {
    throw new Error("the pages for browsers are not built: run 'npm run build'", { cause: error });
  }
}

function serve(app: TemplatedApp, { path, file, type, isPage, brotli }: Entry): void {
  const plain = readFileSync(new URL(file, FOLDER));
  const compressed = brotli === undefined ? undefined : readFileSync(new URL(brotli, FOLDER));
  app.get(path, (response, request) => {
    const takesBrotli = /\bbr\b/.test(request.getHeader("accept-encoding"));
    const body = takesBrotli && compressed ? compressed : plain;
    response.writeStatus("200 OK").writeHeader("content-type", type);
    if (body !== plain) response.writeHeader("content-encoding", "br");
    response.writeHeader("cache-control", isPage ? "no-cache" : FOR_EVER);
    for (const [name, value] of SECURITY_HEADERS) response.writeHeader(name, value);
    send(response, body);
  });
}

/** As fast as the reader reads, from the one copy in memory. */
function send(response: HttpResponse, body: Buffer): void {
  const from = (offset: number) => body.subarray(offset);
  response.onAborted(() => {});
  response.onWritable((offset) => {
    const [isAccepted] = response.tryEnd(from(offset), body.length);
    return isAccepted;
  });
  response.tryEnd(body, body.length);
}
