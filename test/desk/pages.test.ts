// What is served to people: pages with a policy, files for ever, and texts for everything that can be said.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DecisionFeed } from "../../desk/live/feed.js";
import { DECISION_KEYS, GUIDE_KEYS } from "../../gateway/presentation/display.js";
import { edge } from "../../wire/codec.js";
import { type ServedPages, servePagesOf } from "./live.support.js";

const PROGRESS_KEYS = ["progress.one_moment"];

let pages: ServedPages;
beforeAll(async () => {
  pages = await servePagesOf(new DecisionFeed());
});
afterAll(() => pages?.close());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(new URL(path, pages.url), { headers });

describe("the page", () => {
  it.each([
    "/",
    "/live/live.js",
    "/live/live.css",
    "/live/decisions.css",
    "/live/texts.json",
    "/live/icon.svg",
  ])("serves %s with a policy that allows nothing from elsewhere and no inline code", async (path) => {
    const answer = await fetch(new URL(path, pages.url));
    expect(answer.status).toBe(200);
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|http|data:/);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    const text = await answer.text();
    expect(text.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:\/\//);
  });

  it("has a text for every key that a lane can be told and for every reason", () => {
    const texts = JSON.parse(
      readFileSync(new URL("../../desk/pages/texts.json", import.meta.url), "utf8"),
    ) as {
      display: Record<string, string>;
      reason: Record<string, string>;
    };
    const keys = [...Object.values(DECISION_KEYS), ...Object.values(GUIDE_KEYS), ...PROGRESS_KEYS];
    expect(Object.keys(texts.display).sort()).toEqual([...new Set(keys)].sort());
    const reasons = Object.keys(edge.Reason).filter((name) => Number.isNaN(Number(name)));
    expect(Object.keys(texts.reason).sort()).toEqual(reasons.sort());
    for (const text of [...Object.values(texts.display), ...Object.values(texts.reason)])
      expect(text).not.toBe("");
  });
});

describe("the pages that run in a browser", () => {
  it.each(["/lane", "/enroll", "/enrol"])(
    "%s is asked for anew each time, and may use camera and WebAssembly alone",
    async (path) => {
      const answer = await get(path);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("cache-control")).toBe("no-cache");
      const policy = answer.headers.get("content-security-policy") ?? "";
      expect(policy).toContain("'wasm-unsafe-eval'");
      expect(policy).not.toMatch(/unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')|\*|http|data:/);
      expect(answer.headers.get("permissions-policy")).toContain("camera=(self)");
      expect(answer.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
      expect(answer.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    },
  );

  it("load files that are kept for ever, compressed where the browser takes it", async () => {
    const html = await (await get("/lane")).text();
    const files = [...html.matchAll(/"(\/web\/[^"]+)"/g)].map(([, path = ""]) => path);
    expect(files.length).toBeGreaterThanOrEqual(2);
    for (const path of files) {
      const plain = await get(path, { "accept-encoding": "identity" });
      const small = await get(path, { "accept-encoding": "br" });
      expect([plain.status, small.status]).toEqual([200, 200]);
      expect(small.headers.get("content-encoding")).toBe("br");
      expect(small.headers.get("content-type")).toBe(plain.headers.get("content-type"));
      expect(plain.headers.get("content-type")).toMatch(/javascript|css/);
      expect(plain.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(plain.headers.get("vary")).toContain("accept-encoding");
      expect(await small.text()).toBe(await plain.text());
    }
  });

  it.each(["/web/", "/web/manifest.json", "/web/..%2f..%2fpackage.json", "/live/", "/pages.js"])(
    "serve nothing else: %s",
    async (path) => {
      expect((await get(path)).status).toBe(404);
    },
  );
});
