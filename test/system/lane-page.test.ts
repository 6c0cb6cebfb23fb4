// A lane in a browser against a whole Palmgate of real processes: a pass, real Chromium, its camera fed with films.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { passLink } from "../../cli/operator-api.js";
import { GALLERY } from "../../cli/stack/stack.js";
import { openChromium, watchPage } from "../web/chromium.js";
import { emptyScene, lasting, makeFilm } from "../web/film.js";
import { openSite, type Site } from "./support.js";

const FILM_FPS = 30;
const PAGE_DEADLINE_MS = 60_000;

let site: Site;
let dir: string;
let browser: Browser | undefined;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-lane-page-"));
  site = await openSite();
});
afterEach(async () => {
  await browser?.close();
  browser = undefined;
});
afterAll(async () => {
  await site?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function lanePass(purpose: "ENTRY" | "PAY"): Promise<string> {
  const pass = await site.api.issuePass({ kind: "LANE", site: "north", gallery: GALLERY, purpose });
  if (!pass.ok) throw new Error(`no pass: ${pass.code} ${pass.message}`);
  return passLink(pass.body, site.stack.gatewayUrl);
}

async function openPage(film: string): Promise<Page> {
  browser = await openChromium({ film });
  const page = await browser.newPage();
  page.setDefaultTimeout(PAGE_DEADLINE_MS);
  return page;
}

const nobody = () => makeFilm(join(dir, "nobody.mjpeg"), lasting(emptyScene(640, 480), FILM_FPS));
const laneId = (page: Page) => page.locator("#facts dd").first().innerText();
const decisions = (page: Page) => page.locator("#facts", { hasText: "Answered in" }).count();

describe("a lane in a browser", () => {
  it("asks an empty scene for a hand, and presents nothing", async () => {
    const page = await openPage(await nobody());
    const { problems } = watchPage(page);
    await page.goto(await lanePass("ENTRY"));
    await page.locator("#facts", { hasText: "Each look" }).waitFor();
    expect(await page.locator("#headline").innerText()).toBe("Hold your hand over the reader");
    expect(await decisions(page)).toBe(0);
    expect(problems).toEqual([]);
  });

  it("comes back by itself when the gateway was restarted, and is still paired", async () => {
    const page = await openPage(await nobody());
    await page.goto(await lanePass("PAY"));
    await page.locator("#detail", { hasText: "To pay 4.20 EUR" }).waitFor();
    const before = await laneId(page);
    await site.stack.gateway().stop();
    await page.locator('#link[data-link="away"]').waitFor();
    await site.stack.restartGateway();
    await page.locator('#link[data-link="open"]').waitFor();
    expect(await laneId(page)).toBe(before);
  });

  it("is out when an operator revokes it, and in again with another pass, which works once", async () => {
    const page = await openPage(await nobody());
    await page.goto(await lanePass("ENTRY"));
    await page.locator('body[data-tone="ready"]').waitFor();
    expect((await site.api.revoke(await laneId(page))).ok).toBe(true);
    await page.locator("#setup-why", { hasText: "does not know this lane any more" }).waitFor();
    const pass = await lanePass("ENTRY");
    await page.locator("#pass").fill(pass);
    await page.keyboard.press("Enter");
    await page.locator('body[data-tone="ready"]').waitFor();
    await page.goto("about:blank");
    await page.goto(pass);
    await page.locator("#setup-why", { hasText: "used up" }).waitFor();
  });
});
