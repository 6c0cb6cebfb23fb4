// The live page as a person sees it: real Chromium, the real served page, decisions by hand.
import { existsSync, readFileSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { DecisionFeed } from "../../desk/live/feed.js";
import { afternoon, decision, OPERATOR_TOKEN, type ServedPages, servePagesOf } from "./live.support.js";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const MEASURE = readFileSync(new URL("./pages.measure.js", import.meta.url), "utf8");
const measured = z.object({
  sticksOut: z.array(z.string()),
  contrasts: z.array(z.object({ text: z.string(), ratio: z.number() })),
});

let browser: Browser;
let feed: DecisionFeed;
let pages: ServedPages;
let page: Page;
let problems: string[];

beforeAll(async () => {
  if (!existsSync(executablePath)) {
    throw new Error(
      `no Chromium at ${executablePath}: run 'node scripts/setup.mjs --tests', or set CHROMIUM`,
    );
  }
  browser = await chromium.launch({ executablePath, args: FLAGS });
});
afterAll(() => browser?.close());

async function serve(livePage: "open" | "token", port = 0): Promise<void> {
  pages = await servePagesOf(feed, { livePage, port });
}

async function openPage(options: Parameters<Browser["newPage"]>[0] = {}): Promise<void> {
  page = await browser.newPage(options);
  problems = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(pages.url);
}

beforeEach(async () => {
  feed = new DecisionFeed();
  await serve("open");
});
afterEach(async () => {
  await page?.close();
  await pages.close();
});

const rows = () => page.locator("#rows tr");
const lane = (deviceId: string) => page.locator(`#lanes [data-lane="${deviceId}"]`);

describe("the live page", () => {
  it("shows what happened before and what happens now, lane by lane, and loads cleanly", async () => {
    for (const each of afternoon()) feed.say(each);
    await openPage();
    await rows().first().waitFor();
    expect(await rows().count()).toBe(24);
    expect(await lane("turnstile-7").innerText()).toContain("Not connected");
    expect(await page.locator("#counters").innerText()).toContain("1,234");
    feed.say(
      decision({
        deviceId: "till-1",
        purpose: "PAY",
        pairwiseId: "newcomer22222222",
        displayKey: "decision.payment_approved",
        reason: "PAYMENT_APPROVED",
      }),
    );
    await page.locator("#rows tr", { hasText: "newcomer22222222" }).waitFor();
    expect(await rows().first().innerText()).toContain("Payment authorised");
    expect(await lane("till-1").getAttribute("data-verdict")).toBe("granted");
    expect(await lane("till-1").innerText()).toContain("Payment approved. Thank you");
    expect(problems).toEqual([]);
  });

  it.each([
    [decision({ granted: false, reason: "CONSENT_MISSING" }), "refused", "Refused"],
    [
      decision({ outcome: "NO_MATCH", granted: false, reason: "NOT_RECOGNISED", pairwiseId: "" }),
      "unknown",
      "Not recognised",
    ],
    [
      decision({ outcome: "AMBIGUOUS", granted: false, reason: "TWO_CANDIDATES", pairwiseId: "" }),
      "again",
      "Try again",
    ],
    [
      decision({ outcome: "UNDECIDED", granted: false, reason: "SHARD_MISSING", pairwiseId: "" }),
      "undecided",
      "Undecided",
    ],
  ])("says in words what the colour says: %#", async (each, verdict, words) => {
    await openPage();
    await lane("gate-1").waitFor();
    feed.say(each);
    await page.locator(`#lanes [data-verdict="${verdict}"]`).waitFor();
    expect(await lane("gate-1").locator(".verdict").innerText()).toBe(words);
  });

  it("puts everything in as text, never as markup", async () => {
    await openPage();
    await lane("gate-1").waitFor();
    feed.say(decision({ pairwiseId: "<img src=x onerror=alert(1)>" }));
    await page.locator("#rows tr", { hasText: "<img src=x" }).waitFor();
    expect(await page.locator("#rows img").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  it("can be paused and filtered from the keyboard", async () => {
    feed.say(decision({ pairwiseId: "first" }));
    feed.say(decision({ pairwiseId: "", outcome: "NO_MATCH", granted: false, reason: "NOT_RECOGNISED" }));
    await openPage();
    await rows().first().waitFor();
    await page.locator("#show").selectOption("granted");
    expect(await rows().count()).toBe(1);
    await page.locator("#pause").focus();
    await page.keyboard.press("Enter");
    expect(await page.locator("#pause").getAttribute("aria-pressed")).toBe("true");
    feed.say(decision({ pairwiseId: "while-paused", deviceId: "till-1" }));
    await lane("till-1").locator(".who", { hasText: "while-paused" }).waitFor();
    expect(await rows().count()).toBe(1);
    await page.keyboard.press("Enter");
    expect(await rows().count()).toBe(2);
  });

  it("says when the link is lost, and comes back by itself", async () => {
    await openPage();
    await page.locator('#health[data-health="ready"]').waitFor();
    const port = Number(new URL(pages.url).port);
    await pages.close();
    await page.locator('#health[data-health="away"]').waitFor();
    await serve("open", port);
    await page.locator('#health[data-health="ready"]').waitFor();
  });

  it("asks for the operator token where one is needed, and takes only the right one", async () => {
    await pages.close();
    feed.say(decision({ pairwiseId: "secret" }));
    await serve("token");
    await openPage();
    await page.locator("#token").fill("wrong");
    await page.keyboard.press("Enter");
    await page.locator("#access-why", { hasText: "not the operator token" }).waitFor();
    expect(await rows().count()).toBe(0);
    await page.locator("#token").fill(OPERATOR_TOKEN);
    await page.keyboard.press("Enter");
    await page.locator("#rows tr", { hasText: "secret" }).waitFor();
    expect(await page.locator("#access").isVisible()).toBe(false);
  });

  it.each(["light", "dark"] as const)(
    "is readable in the %s scheme, on a phone too, without sideways scrolling",
    async (colorScheme) => {
      for (const each of afternoon()) feed.say(each);
      await openPage({ colorScheme, viewport: { width: 360, height: 740 } });
      await rows().first().waitFor();
      const { sticksOut, contrasts } = measured.parse(await page.evaluate(MEASURE));
      expect(sticksOut).toEqual([]);
      expect(contrasts.length).toBeGreaterThan(20);
      for (const { text, ratio } of contrasts) expect(ratio, text).toBeGreaterThanOrEqual(4.5);
    },
  );
});
