// The pages for people: the live page from this folder, and those that run in a browser (/lane, /enrol) with what they
// load, as scripts/build-web.mjs made them.
//
// Invariants (test/desk/pages.test.ts):
// - a page loads nothing from anywhere else and runs no inline code: its Content-Security-Policy says so;
// - pages are asked for anew each time; what has a hash of its content in its name is kept for ever;
// - a missing file is a broken installation and is seen at start.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fastifyStatic from "@fastify/static";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { UsageError } from "../../wire/config.js";
import type { App } from "../fastify.js";
import { CAMERA_PAGE_POLICY, CAMERA_PERMISSIONS, PAGE_POLICY } from "./policy.js";

const OWN_FOLDER = fileURLToPath(new URL(".", import.meta.url));
/** Where the build puts them; sources run beside dist/, built code inside it. */
const WEB_FOLDER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../dist/web/" : "../../web/", import.meta.url),
);

const LIVE_FILES = {
  "/": "live.html",
  "/live/live.js": "live.js",
  "/live/live.css": "live.css",
  "/live/decisions.css": "decisions.css",
  "/live/texts.json": "texts.json",
  "/live/icon.svg": "icon.svg",
} as const;
/** Spellings of one page. */
const ALIASES: Record<string, readonly string[]> = { "/enroll": ["/enrol"] };

const manifestSchema = z.array(
  z.object({
    path: z.string().startsWith("/"),
    file: z.string(),
    type: z.string(),
    isPage: z.boolean(),
    brotli: z.string().optional(),
  }),
);

const openToAll = { config: { access: "anybody" as const } };
const FOR_EVER = "public, max-age=31536000, immutable";

/** @throws UsageError when the pages are not built */
export async function servePages(app: App): Promise<void> {
  await app.register(fastifyStatic, {
    root: OWN_FOLDER,
    serve: false,
    cacheControl: false,
    preCompressed: true,
  });
  for (const [path, file] of Object.entries(LIVE_FILES)) {
    demandFile(join(OWN_FOLDER, file));
    app.get(path, openToAll, async (_request, reply) => {
      reply.header("cache-control", "no-cache").header("content-security-policy", PAGE_POLICY);
      return reply.sendFile(file, OWN_FOLDER);
    });
  }
  for (const { path, file, isPage } of readManifest()) {
    demandFile(join(WEB_FOLDER, file));
    for (const each of [path, ...(ALIASES[path] ?? [])]) {
      app.get(each, openToAll, async (_request, reply) => {
        cameraHeaders(reply).header("cache-control", isPage ? "no-cache" : FOR_EVER);
        return reply.sendFile(file, WEB_FOLDER);
      });
    }
  }
}

/** Pages that see hands compile WebAssembly and share memory with a worker. */
const cameraHeaders = (reply: FastifyReply): FastifyReply =>
  reply
    .header("content-security-policy", CAMERA_PAGE_POLICY)
    .header("permissions-policy", CAMERA_PERMISSIONS)
    .header("cross-origin-embedder-policy", "require-corp");

function readManifest(): z.output<typeof manifestSchema> {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(join(WEB_FOLDER, "manifest.json"), "utf8")));
  } catch {
    throw new UsageError("the pages for browsers are not built: run 'npm run build'.");
  }
}

function demandFile(path: string): void {
  if (!existsSync(path)) throw new UsageError(`${path} is missing: run 'npm run build'.`);
}
