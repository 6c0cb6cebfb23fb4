// The lane page in real Chromium, before a desk's real pages and a gateway that the test plays: pairing, camera, link,
// money, and what the page keeps of passages. (Hands of members before its camera: test/system/lane-page.test.ts.)
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { edge } from "../../wire/codec.js";
import type { FakeConnection } from "../edge-agent/fake-gateway.js";
import { openChromium, type Watched, watchPage } from "./chromium.js";
import { drawnHand } from "./drawn-hand.js";
import { emptyScene, lasting, makeFilm } from "./film.js";
import { GOOD_PASS, type LaneFront, openLaneFront } from "./lane-front.js";

/** Every page compiles the WebAssembly runtime anew: on a busy machine of two cores that takes its time. */
const PAGE_DEADLINE_MS = 60_000;
vi.setConfig({ testTimeout: 2 * PAGE_DEADLINE_MS });

const MEASURE = readFileSync(new URL("../desk/pages.measure.js", import.meta.url), "utf8");
const measured = z.object({
  sticksOut: z.array(z.string()),
  contrasts: z.array(z.object({ text: z.string(), ratio: z.number() })),
});

let browser: Browser;
let front: LaneFront;
let page: Page;
let watched: Watched;

beforeAll(async () => {
  browser = await openChromium();
});
afterAll(() => browser?.close());

beforeEach(async () => {
  front = await openLaneFront();
  await newPage();
});
afterEach(async () => {
  await page.context().close();
  await front.close();
});

async function newPage(options: Parameters<Browser["newContext"]>[0] = {}, of = browser): Promise<void> {
  await page?.context().close();
  page = await (await of.newContext(options)).newPage();
  page.setDefaultTimeout(PAGE_DEADLINE_MS);
  watched = watchPage(page);
}

const url = (fragment = "") => `http://127.0.0.1:${front.port}/lane${fragment}`;
const goto = (fragment = "") => page.goto(url(fragment));
const isReady = () => page.locator('body[data-tone="ready"]').waitFor();
const setup = () => page.locator("#setup");
async function enterAmount(text: string): Promise<void> {
  await page.locator("#amount").fill(text);
  await page.keyboard.press("Enter");
}
const linkIs = (phase: string) => page.locator(`#link[data-link="${phase}"]`).waitFor();
const refuse = (connection: FakeConnection, code: edge.ErrorCode) =>
  connection.send({ error: { code, fatal: true, message: "no" } });

describe("pairing", () => {
  it("says what to do when there is neither a pass nor a device, and takes a pass that is typed in", async () => {
    await goto();
    await setup().waitFor();
    expect(await setup().innerText()).toContain("palmgate pass --kind lane");
    await page.locator("#pass").fill(GOOD_PASS);
    await page.keyboard.press("Enter");
    await isReady();
    expect(await setup().isVisible()).toBe(false);
  });

  it("takes the pass of the link, keeps it out of the address, and needs none when it is opened again", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    expect(page.url()).toBe(url());
    await page.reload();
    await isReady();
    expect(front.keys).toHaveLength(1);
    expect(watched.problems).toEqual([]);
  });

  it("says why a pass was not taken, and lets another be tried", async () => {
    await goto("#pass=OLD");
    await page.locator("#setup-why", { hasText: "This pass is not known. Ask for a new one." }).waitFor();
    await page.locator("#pass").fill(url(`#pass=${GOOD_PASS}`));
    await page.keyboard.press("Enter");
    await isReady();
  });

  it("makes a key that no script can take out of the browser", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    const taken = await page.evaluate(`(async () => {
      const done = (request) => new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
      const database = await done(indexedDB.open("palmgate-lane"));
      const { privateKey } = await done(database.transaction("device").objectStore("device").get("this"));
      return crypto.subtle.exportKey("pkcs8", privateKey).then(() => "taken", ({ name }) => name);
    })()`);
    expect(taken).toBe("InvalidAccessError");
  });

  it("offers to pair again when the gateway does not know the device any more", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    front.gateway.greets = false;
    refuse(await front.gateway.connection(), edge.ErrorCode.UNAUTHENTICATED);
    await page.locator("#setup-why", { hasText: "does not know this lane any more" }).waitFor();
    expect(await page.evaluate(`document.getElementById("video").srcObject`)).toBeNull();
    front.gateway.greets = true;
    await page.locator("#pass").fill(GOOD_PASS);
    await page.keyboard.press("Enter");
    await isReady();
    expect(new Set(front.keys).size).toBe(2);
  });

  it("spends no pass in a browser that cannot keep a key", async () => {
    await page.addInitScript(`IDBObjectStore.prototype.put = () => {
      throw new DOMException("no keys in private windows", "DataCloneError");
    };`);
    await goto(`#pass=${GOOD_PASS}`);
    await page.locator("#setup-why", { hasText: "a window that is not private" }).waitFor();
    expect(front.keys).toEqual([]);
  });

  it("forgets the device when it is told to", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    await page.locator("#unpair").click();
    await setup().waitFor();
  });
});

describe("the lane page", () => {
  it("loads everything from its own gateway, and keeps it", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    expect(watched.requests.filter((each) => !each.startsWith(`http://127.0.0.1:${front.port}/`))).toEqual(
      [],
    );
    const model = watched.requests.find((each) => each.endsWith(".onnx")) ?? "";
    const answer = await fetch(model);
    expect(answer.headers.get("cache-control")).toContain("immutable");
    const lane = await fetch(url());
    expect(lane.headers.get("cache-control")).toBe("no-cache");
    const policy = lane.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
    expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'|\*|http|data:|blob:/);
    expect(lane.headers.get("permissions-policy")).toContain("camera=(self)");
  });

  it("sends what was compressed at build to whoever takes it, and the same bytes to the others", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    const runtime = watched.requests.find((each) => each.endsWith(".wasm")) ?? "";
    const [packed, plain] = await Promise.all(
      ["br", "identity"].map((encoding) => fetch(runtime, { headers: { "accept-encoding": encoding } })),
    );
    expect(packed?.headers.get("content-encoding")).toBe("br");
    expect(plain?.headers.get("content-encoding")).toBeNull();
    expect(await packed?.arrayBuffer()).toEqual(await plain?.arrayBuffer());
  });

  it("shows nobody a hand that is not there: an empty scene stays ready", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    await page.locator("#facts", { hasText: "Each look" }).waitFor();
    expect(await page.locator("#headline").innerText()).toBe("Hold your hand over the reader");
    expect((await front.gateway.connection()).unreadFrames()).toBe(0);
  });

  it("lets the camera go while the page is hidden, and takes it again", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    await page.locator("#facts", { hasText: "Each look" }).waitFor();
    await page.evaluate(`window.track = document.getElementById("video").srcObject.getTracks()[0]`);
    const hide = (isHidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));`);
    await hide(true);
    expect(await page.evaluate("window.track.readyState")).toBe("ended");
    expect(await page.evaluate(`document.getElementById("video").srcObject`)).toBeNull();
    await hide(false);
    // The page's policy lets no test wait inside it: that would take eval.
    await expect
      .poll(() => page.evaluate(`document.getElementById("video").srcObject?.active`), {
        timeout: PAGE_DEADLINE_MS,
      })
      .toBe(true);
  });

  it("keeps its camera when it is turned while the picture is about to begin", async () => {
    await page.addInitScript(`{
      const play = HTMLVideoElement.prototype.play;
      HTMLVideoElement.prototype.play = function () {
        HTMLVideoElement.prototype.play = play;
        const began = play.call(this);
        document.getElementById("turn").click();
        return began;
      };
    }`);
    await goto(`#pass=${GOOD_PASS}`);
    await page.locator("#facts", { hasText: "Each look" }).waitFor();
    await isReady();
    expect(watched.problems).toEqual([]);
  });

  it("says for as long as it lasts that it is open in another window as well", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    const second = await page.context().newPage();
    await second.goto(url());
    await second.locator('body[data-tone="ready"]').waitFor();
    refuse(await front.gateway.connection(), edge.ErrorCode.DUPLICATE_DEVICE);
    await page.locator("#detail", { hasText: "open in another tab" }).waitFor();
    // A look at what moves (Chromium's test picture does) leaves it standing.
    const looks = () => page.locator("#facts").evaluate((facts) => facts.innerHTML);
    const before = await looks();
    await expect.poll(looks, { timeout: PAGE_DEADLINE_MS }).not.toBe(before);
    expect(await page.locator("#detail").innerText()).toContain("open in another tab");
  });

  it("says when the gateway is away, and comes back by itself", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    const connection = await front.gateway.connection();
    front.gateway.greets = false;
    refuse(connection, edge.ErrorCode.SHUTTING_DOWN);
    await page.locator("#link:not([data-link=open])").waitFor();
    front.gateway.greets = true;
    (await front.gateway.connection()).socket.terminate();
    await linkIs("open");
    await isReady();
  });

  it("charges nothing that nobody entered: until there is an amount its camera is off", async () => {
    front.purpose("PAY");
    await goto(`#pass=${GOOD_PASS}`);
    await page.locator("#headline", { hasText: "What is to pay?" }).waitFor();
    expect(await page.evaluate(`document.getElementById("video").srcObject`)).toBeNull();
    await enterAmount("0");
    await page.locator("#charge-why", { hasText: "Please enter an amount" }).waitFor();
    await enterAmount("4.20");
    await page.locator("#detail", { hasText: "To pay 4.20 EUR" }).waitFor();
    await enterAmount("1.234");
    await page.locator("#charge-why", { hasText: "Please enter an amount" }).waitFor();
    expect(await page.locator("#detail").innerText()).toBe("To pay 4.20 EUR");
    await enterAmount("13,5");
    await page.locator("#detail", { hasText: "To pay 13.50 EUR" }).waitFor();
    await page.reload();
    await page.locator("#detail", { hasText: "To pay 13.50 EUR" }).waitFor();
  });

  it("has no amount on a lane that only opens", async () => {
    await goto(`#pass=${GOOD_PASS}`);
    await isReady();
    expect(await page.locator("#charge").isVisible()).toBe(false);
  });

  it.each(["light", "dark"] as const)(
    "is readable in the %s scheme, on a phone too, without sideways scrolling",
    async (colorScheme) => {
      front.purpose("PAY");
      await newPage({ colorScheme, viewport: { width: 360, height: 740 } });
      await goto(`#pass=${GOOD_PASS}`);
      await page.locator("#headline", { hasText: "What is to pay?" }).waitFor();
      await enterAmount("4.20");
      await isReady();
      const { sticksOut, contrasts } = measured.parse(await page.evaluate(MEASURE));
      expect(sticksOut).toEqual([]);
      expect(contrasts.length).toBeGreaterThan(8);
      for (const { text, ratio } of contrasts) expect(ratio, text).toBeGreaterThanOrEqual(4.5);
    },
  );
});

describe("a payment at the lane page", () => {
  const FILM_FPS = 30;
  let dir: string;
  let filmed: Browser;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "palmgate-lane-film-"));
    const hand = drawnHand(1, 100);
    const frames = [
      ...lasting(emptyScene(hand.width, hand.height), 2 * FILM_FPS),
      ...lasting(hand, 6 * FILM_FPS),
    ];
    filmed = await openChromium({ film: await makeFilm(join(dir, "visit.mjpeg"), frames) });
  });
  afterAll(async () => {
    await filmed?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it("says one moment while the money is awaited, and reports what was served until it is on record, over reloads", async () => {
    await newPage({}, filmed);
    front.purpose("PAY");
    front.gateway.acks = false;
    await goto(`#pass=${GOOD_PASS}`);
    await enterAmount("4.20");
    const connection = await front.gateway.connection();
    const frame = await connection.frame();
    const progress = { presentationId: frame.presentationId ?? null, displayKey: "progress.one_moment" };
    connection.send({ progress: { ...progress, decisionByUnixMs: front.gateway.nowMs() + 60_000 } });
    await page.locator("#headline", { hasText: "One moment, please" }).waitFor();
    connection.decide(frame, { displayKey: "decision.payment_approved" });
    await page.locator('body[data-tone="granted"]').waitFor();
    const report = await connection.report();
    expect(report).toMatchObject({ passage: edge.Passage.OPENED, presentationId: frame.presentationId });

    await page.reload();
    const second = await front.gateway.connection();
    expect(await second.report()).toEqual(report);
    second.acknowledge(report);
    await expect
      .poll(() => page.evaluate(`JSON.stringify(Object.keys(localStorage))`))
      .toBe('["palmgate-amount"]');
    expect(watched.problems).toEqual([]);
  });
});

describe("a camera that may not be used", () => {
  it("is asked for in words that a person understands", async () => {
    const shy = await openChromium({ answer: "deny" });
    try {
      const refused = await shy.newPage();
      await refused.goto(url(`#pass=${GOOD_PASS}`));
      await refused.locator("#headline", { hasText: "Please allow the camera" }).waitFor();
      expect(await refused.locator("#detail").innerText()).toContain("Pictures stay in this browser");
    } finally {
      await shy.close();
    }
  });
});
