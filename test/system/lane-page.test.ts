// A lane in a browser against a whole Palmgate of real processes: a pass, real Chromium, its camera fed with films of
// drawn hands with synthetic palms. The member was enrolled through crops that the same code found and cut, from other
// images of the hand.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page, WebSocket } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { enrolRequest } from "../../cli/demo/enrol.js";
import { passLink } from "../../cli/operator-api.js";
import { GALLERY } from "../../cli/stack/stack.js";
import { HandSight } from "../../palm/hand/index.js";
import { openNodeHandNetworks } from "../../palm/hand/node-networks.js";
import { decode, edge } from "../../wire/codec.js";
import { openChromium, watchPage } from "../web/chromium.js";
import { drawnHand } from "../web/drawn-hand.js";
import { emptyScene, lasting, makeFilm } from "../web/film.js";
import { gatewayMetric, openSite, type Site } from "./support.js";

const FILM_FPS = 30;
const PAGE_DEADLINE_MS = 60_000;

const MEMBER = 1;
const STRANGER = 2;
const DECLINED = 3;
/** Images the member is enrolled with; films show another one. */
const ENROLLED_SAMPLES = [0, 1, 2];
const FILMED_SAMPLE = 100;
/** Of the drawing: the palm is some thirty pixels wide. */
const FAR_SCALE = 0.22;
const ROI_SIDE_PX = 128;

let site: Site;
let pairwiseId: string;
let dir: string;
let browser: Browser | undefined;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "palmgate-lane-page-"));
  site = await openSite();
  pairwiseId = await enrol(MEMBER, "tok_approve");
  await enrol(DECLINED, "tok_decline");
});
afterEach(async () => {
  await browser?.close();
  browser = undefined;
});
afterAll(async () => {
  await site?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** @returns the pseudonym at the lanes' site */
async function enrol(person: number, card: string): Promise<string> {
  const enrolled = await site.api.enrol(enrolRequest(await cropsOf(person), card));
  if (!enrolled.ok) throw new Error(`enrolment refused: ${enrolled.code} ${enrolled.message}`);
  return enrolled.body.pairwiseIds.north ?? "";
}

async function cropsOf(person: number) {
  const sight = new HandSight(await openNodeHandNetworks());
  const crops = [];
  for (const sample of ENROLLED_SAMPLES) {
    const look = await sight.lookAtStill(drawnHand(person, sample));
    if (look.kind !== "palm") throw new Error(`no palm in the drawing, but ${look.kind} ${look.reason}`);
    crops.push(look.roi);
  }
  return crops;
}

async function lanePass(purpose: "ENTRY" | "PAY"): Promise<string> {
  const pass = await site.api.issuePass({ kind: "LANE", site: "north", gallery: GALLERY, purpose });
  if (!pass.ok) throw new Error(`no pass: ${pass.code} ${pass.message}`);
  return passLink(pass.body, site.stack.deskUrl);
}

async function openPage(film: string): Promise<Page> {
  browser = await openChromium({ film });
  const page = await browser.newPage();
  page.setDefaultTimeout(PAGE_DEADLINE_MS);
  return page;
}

const nobody = () => makeFilm(join(dir, "nobody.mjpeg"), lasting(emptyScene(640, 480), FILM_FPS));
/** A hand that comes, stays for a while, and goes. */
function visitOf(person: number): Promise<string> {
  const hand = drawnHand(person, FILMED_SAMPLE);
  const empty = emptyScene(hand.width, hand.height);
  const frames = [...lasting(empty, 2 * FILM_FPS), ...lasting(hand, 6 * FILM_FPS)];
  return makeFilm(join(dir, `${person}.mjpeg`), frames);
}

async function enterAmount(page: Page): Promise<void> {
  await page.locator("#amount").fill("4.20");
  await page.keyboard.press("Enter");
}
const laneId = (page: Page) => page.locator("#facts dd").first().innerText();
const decisions = (page: Page) => page.locator("#facts", { hasText: "Answered in" }).count();

describe("a lane in a browser", () => {
  it("welcomes a member by the palm, and sends nothing of the hand but the palm", async () => {
    const page = await openPage(await visitOf(MEMBER));
    const { problems } = watchPage(page);
    const sent: Buffer[] = [];
    page.on("websocket", (socket: WebSocket) => {
      socket.on("framesent", ({ payload }) => sent.push(Buffer.from(payload)));
    });
    await page.goto(await lanePass("ENTRY"));
    await page.locator('body[data-tone="granted"]').waitFor();
    expect(await page.locator("#headline").innerText()).toBe("Welcome");
    expect(await page.locator("#detail").innerText()).toBe(`You are ${pairwiseId.slice(0, 6)} here`);
    const messages = sent.map((bytes) => decode(edge.ClientMessage, bytes));
    const frames = messages.flatMap((message) => message?.frame ?? []);
    expect(frames.length).toBeGreaterThan(0);
    const roi = {
      stage: edge.Stage.ROI,
      encoding: edge.Encoding.GRAY8,
      widthPx: ROI_SIDE_PX,
      heightPx: ROI_SIDE_PX,
    };
    for (const frame of frames) {
      expect(frame).toMatchObject(roi);
      expect(frame.image).toHaveLength(ROI_SIDE_PX ** 2);
    }
    expect(sent.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(
      frames.length * 2 * ROI_SIDE_PX ** 2,
    );
    expect(problems).toEqual([]);
  });

  it("opens once for a visit, however long the hand stays", async () => {
    const series = 'palmgate_decisions_total{purpose="ENTRY",outcome="MATCH",reason="WELCOME_MEMBER"}';
    const page = await openPage(await visitOf(MEMBER));
    const before = await gatewayMetric(site.stack, series);
    await page.goto(await lanePass("ENTRY"));
    await page.locator('body[data-tone="granted"]').waitFor();
    await page.locator('body[data-tone="ready"]').waitFor();
    expect(await gatewayMetric(site.stack, series)).toBe(before + 1);
  });

  it("does not let a stranger in", async () => {
    const page = await openPage(await visitOf(STRANGER));
    await page.goto(await lanePass("ENTRY"));
    await page.locator('body[data-tone="refused"]').waitFor();
    expect(await page.locator("#headline").innerText()).toBe("We do not know this palm");
  });

  it("takes a payment by the palm", async () => {
    const page = await openPage(await visitOf(MEMBER));
    await page.goto(await lanePass("PAY"));
    await enterAmount(page);
    await page.locator('body[data-tone="granted"]').waitFor();
    expect(await page.locator("#headline").innerText()).toBe("Payment approved. Thank you");
    expect(await page.locator("#detail").innerText()).toBe("4.20 EUR, visa ending in 4242");
  });

  it("asks for a payment that was declined once, however long the hand stays", async () => {
    const series = 'palmgate_decisions_total{purpose="PAY",outcome="MATCH",reason="PAYMENT_DECLINED"}';
    const page = await openPage(await visitOf(DECLINED));
    await page.goto(await lanePass("PAY"));
    await enterAmount(page);
    await page.locator('body[data-tone="refused"]').waitFor();
    await page.locator('body[data-tone="ready"]').waitFor();
    expect(await gatewayMetric(site.stack, series)).toBe(1);
  });

  it("guides a hand that is too far away, and presents nothing", async () => {
    const film = await makeFilm(
      join(dir, "far.mjpeg"),
      lasting(drawnHand(MEMBER, FILMED_SAMPLE, FAR_SCALE), FILM_FPS),
    );
    const page = await openPage(film);
    await page.goto(await lanePass("ENTRY"));
    await page.locator('body[data-tone="guide"]').waitFor();
    // So far away it is too small and too blurred at once.
    expect(await page.locator("#headline").innerText()).toMatch(/^(A little closer|Hold still, please)$/);
    expect(await decisions(page)).toBe(0);
  });

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
    await enterAmount(page);
    await page.locator("#detail", { hasText: "To pay 4.20 EUR" }).waitFor();
    const before = await laneId(page);
    await Promise.all(site.stack.of("gateway").map((gateway) => gateway.stop()));
    await page.locator('#link[data-link="away"]').waitFor();
    await Promise.all([site.stack.start("gateway-1"), site.stack.start("gateway-2")]);
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
