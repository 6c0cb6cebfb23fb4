// A person becomes a member in a browser, against a whole Palmgate of real processes: real Chromium, its camera fed with
// a film of drawn hands with synthetic palms; a lane knows them afterwards, and does not when they have asked to be
// forgotten.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { passLink } from "../../cli/operator-api.js";
import { GALLERY } from "../../cli/stack/stack.js";
import type { Agent } from "../../edge-agent/agent.js";
import { greyImage } from "../../edge-agent/source/source.js";
import { type HandImage, HandSight } from "../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../palm/hand/node-networks.js";
import { verifyReceipt } from "../../records/index.js";
import { publicKeyFromBase64 } from "../../wire/ed25519.js";
import { openChromium, type Watched, watchPage } from "../web/chromium.js";
import { drawnHand } from "../web/drawn-hand.js";
import { emptyScene, lasting, makeFilm } from "../web/film.js";
import { openSite, type Site, seen } from "./support.js";

const PERSON = 11;
const FILMED_SAMPLES = [0, 1, 2];
const PRESENTED_SAMPLES = [100, 101, 102];
const FILM_FPS = 30;
const HAND_FRAMES = 3 * FILM_FPS;
/** Between two hands, so that the one before is forgotten. */
const NOBODY_FRAMES = FILM_FPS;
const PAGE_DEADLINE_MS = 60_000;
const CAPTURES_DEADLINE_MS = 90_000;

/** The other hand of the same person, for the film: what a mirror shows. */
function mirrored({ width, height, channels, pixels }: HandImage): HandImage {
  const flipped = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * channels;
      flipped.set(pixels.subarray(from, from + channels), (y * width + (width - 1 - x)) * channels);
    }
  }
  return { width, height, channels, pixels: flipped };
}

describe("a person before the enrolment page", () => {
  let site: Site;
  let dir: string;
  let browser: Browser;
  let page: Page;
  let watched: Watched;
  let gate: Agent;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "palmgate-enroll-page-"));
    site = await openSite();
    gate = await site.lane("gate-1");
    browser = await openChromium({ film: await filmOfBothHands() });
    page = await browser.newPage();
    page.setDefaultTimeout(PAGE_DEADLINE_MS);
    watched = watchPage(page);
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** One hand after another, of either side, with nobody in between; and so on, again and again. */
  async function filmOfBothHands(): Promise<string> {
    const poses = FILMED_SAMPLES.map((sample) => drawnHand(PERSON, sample));
    const frames = [...poses, ...poses.map(mirrored)].flatMap((hand) => [
      ...lasting(emptyScene(hand.width, hand.height), NOBODY_FRAMES),
      ...lasting(hand, HAND_FRAMES),
    ]);
    return makeFilm(join(dir, "hands.mjpeg"), frames);
  }

  /** At the gate: the drawn hand as it is, other images than those of the film. */
  async function presentHand() {
    const sight = new HandSight(await openNodeHandNetworks());
    const frames = [];
    for (const sample of PRESENTED_SAMPLES) {
      const look = await sight.lookAtStill(drawnHand(PERSON, sample));
      if (look.kind !== "palm") throw new Error(`no palm in the drawing, but ${look.kind} ${look.reason}`);
      frames.push(greyImage(look.roi));
    }
    return seen(await gate.present(frames));
  }

  it("becomes a member with both hands, whom the lane knows", async () => {
    const pass = await site.api.issuePass({
      kind: "ENROL",
      site: "north",
      gallery: GALLERY,
      consents: ["ENTRY"],
    });
    if (!pass.ok) throw new Error(`no pass: ${pass.code} ${pass.message}`);
    expect(await presentHand()).toMatchObject({ outcome: "NO_MATCH" });
    await page.goto(passLink(pass.body, site.stack.deskUrl));
    await page.locator('input[value="ENTRY"]').check();
    await page.keyboard.press("Enter");
    await page.locator("#phone").fill("+49 151 98765432");
    await page.keyboard.press("Enter");
    await page.locator("#hand-title", { hasText: "right" }).waitFor();
    await page.locator("#hand-title", { hasText: "left" }).waitFor({ timeout: CAPTURES_DEADLINE_MS });
    await page.locator("#done-step").waitFor({ timeout: CAPTURES_DEADLINE_MS });
    const pairwiseId = await page.locator("#pairwise-id").innerText();
    expect(await presentHand()).toMatchObject({ outcome: "MATCH", granted: true, pairwiseId });
    const memberId = await page.locator("#member-id").innerText();
    expect(await site.api.get(`/api/v1/members/${memberId}`)).toMatchObject({
      ok: true,
      body: { phoneEnding: "32", consents: ["ENTRY"], templates: { length: 6 } },
    });
    expect(watched.problems).toEqual([]);
  });

  it("is forgotten at their own wish, and saves a receipt that verifies", async () => {
    await page.locator("#forget").click();
    await page.locator("#forgotten-step").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#receipt").click()]);
    const receipt: unknown = JSON.parse(readFileSync(await download.path(), "utf8"));
    const key = await site.api.get<{ publicKey: string }>("/api/v1/receipt-key");
    const publicKey = key.ok ? publicKeyFromBase64(key.body.publicKey) : undefined;
    if (!publicKey) throw new Error("no receipt key");
    expect(verifyReceipt([publicKey], receipt)).toMatchObject({ ok: true });
    expect(await presentHand()).toMatchObject({ outcome: "NO_MATCH", granted: false });
  });
});
