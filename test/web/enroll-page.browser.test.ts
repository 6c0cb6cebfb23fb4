// The enrolment page in real Chromium, before a real desk: every step up to the camera, which sees no hand
// here. (Hands before its camera: test/system/enroll-page.test.ts.)
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type DeskRig, GALLERY, openDeskRig } from "../desk/support.js";
import { openChromium, type Watched, watchPage } from "./chromium.js";

const MEASURE = readFileSync(new URL("../desk/pages.measure.js", import.meta.url), "utf8");
const measured = z.object({
  sticksOut: z.array(z.string()),
  contrasts: z.array(z.object({ text: z.string(), ratio: z.number() })),
});

let rig: DeskRig;
let browser: Browser;
let page: Page;
let watched: Watched;

beforeAll(async () => {
  browser = await openChromium();
  rig = await openDeskRig();
});
afterAll(async () => {
  await browser?.close();
  await rig?.close();
});
beforeEach(() => newPage());

async function newPage(options: Parameters<Browser["newContext"]>[0] = {}): Promise<void> {
  await page?.context().close();
  page = await (await browser.newContext(options)).newPage();
  watched = watchPage(page);
}

async function newPass(consents: string[] = ["ENTRY", "PAY"]): Promise<string> {
  const order = { kind: "ENROL", site: "north", gallery: GALLERY, consents };
  return String((await rig.call("POST", "/api/v1/passes", { body: order })).body.code);
}

const url = (fragment = "") => `${rig.desks[0]?.url}/enrol${fragment}`;
const open = async (consents?: string[]) => page.goto(url(`#pass=${await newPass(consents)}`));
const step = (name: string) => page.locator(`#${name}-step`);
const why = (name: string) => page.locator(`#${name}-why`);
const enter = () => page.keyboard.press("Enter");

async function agree(...purposes: string[]): Promise<void> {
  await step("consent").waitFor();
  for (const purpose of purposes) await page.locator(`input[value="${purpose}"]`).check();
  await step("consent").locator("button").click();
}

async function givePhone(phone = "+49 151 2345678"): Promise<void> {
  await page.locator("#phone").fill(phone);
  await enter();
}

describe("the way to the camera", () => {
  it("begins with the text to agree to, and nothing ticked", async () => {
    await open();
    await step("consent").waitFor();
    const text = await step("consent").innerText();
    for (const heading of ["What is kept", "What it is for", "How to be forgotten"])
      expect(text).toContain(heading);
    expect(await page.locator("input[type=checkbox]:checked").count()).toBe(0);
    expect(page.url()).toBe(url());
    expect(await page.evaluate("document.activeElement.id")).toBe("consent-title");
  });

  it("does not go on without consent", async () => {
    await open();
    await agree();
    await why("consent").filter({ hasText: "Please tick" }).waitFor();
    expect(await step("phone").isVisible()).toBe(false);
  });

  it("asks for a card only when palms may pay, and offers test cards only", async () => {
    await open();
    await agree("ENTRY", "PAY");
    await givePhone();
    await step("card").waitFor();
    expect(await page.locator('#cards input[type="radio"]').count()).toBeGreaterThan(1);
    expect(await step("card").locator("input:not([type=radio])").count()).toBe(0);
    await newPage();
    await open();
    await agree("ENTRY");
    await givePhone();
    await step("hand").waitFor();
  });

  it("offers no more than the pass allows", async () => {
    await open(["ENTRY"]);
    await step("consent").waitFor();
    expect(await page.locator("input[type=checkbox]").count()).toBe(1);
  });

  it("says what is wrong with a phone number", async () => {
    await open();
    await agree("ENTRY");
    await givePhone("12");
    await why("phone").filter({ hasText: "country code" }).waitFor();
    await givePhone("0049 151 2345678");
    await step("hand").waitFor();
  });

  it("shows the camera, asks for the right hand first, and lets one hand be left out but not both", async () => {
    await open();
    await agree("ENTRY");
    await givePhone();
    await page.locator('body[data-tone="ready"]').waitFor();
    expect(await page.locator("#hand-title").innerText()).toBe("Your right hand");
    await page.locator("#skip").click();
    await page.locator("#hand-title", { hasText: "left" }).waitFor();
    expect(await page.locator("#skip").isVisible()).toBe(false);
    expect(watched.problems).toEqual([]);
  });

  it("can be walked with the keyboard alone", async () => {
    await open();
    await step("consent").waitFor();
    for (const key of ["Tab", "Space", "Tab", "Tab", "Enter"]) await page.keyboard.press(key);
    await step("phone").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type("+4915123456789");
    await enter();
    await step("hand").waitFor();
  });
});

describe("a pass", () => {
  it("may be typed in, as a code or as the whole link, after one that will not do", async () => {
    await page.goto(url("#pass=00000-00000"));
    await why("pass").filter({ hasText: "There is no such pass." }).waitFor();
    await page.locator("#pass").fill(url(`#pass=${await newPass()}`));
    await enter();
    await step("consent").waitFor();
  });

  it("outlives a reload of the tab", async () => {
    await open();
    await step("consent").waitFor();
    await page.reload();
    await step("consent").waitFor();
  });
});

describe("the enrolment page", () => {
  it.each(["light", "dark"] as const)("is legible on a phone, %s", async (colorScheme) => {
    await newPage({ colorScheme, viewport: { width: 360, height: 740 } });
    await open();
    await step("consent").waitFor();
    const check = async () => {
      const { sticksOut, contrasts } = measured.parse(await page.evaluate(MEASURE));
      expect(sticksOut).toEqual([]);
      for (const { text, ratio } of contrasts) expect(ratio, text).toBeGreaterThanOrEqual(4.5);
    };
    await check();
    await agree("ENTRY", "PAY");
    await check();
    await givePhone();
    await step("card").waitFor();
    await check();
  });

  it("loads nothing from elsewhere, and sends nobody the pass", async () => {
    const pass = await newPass();
    await page.goto(url(`#pass=${pass}`));
    await agree("ENTRY");
    await givePhone();
    await page.locator('body[data-tone="ready"]').waitFor();
    for (const request of watched.requests) {
      expect(new URL(request).origin).toBe(new URL(url()).origin);
      expect(request).not.toContain(pass);
    }
  });
});
