// The live page's server side: what is served, who may watch, and that a slow viewer costs nobody anything.
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { LiveStats } from "../../gateway/pages/live-stats.js";
import { CLOSED_UNAUTHORISED, registerPages } from "../../gateway/pages/pages.js";
import { DECISION_KEYS, GUIDE_KEYS } from "../../gateway/presentation/display.js";
import type { Closable } from "../../gateway/seams.js";
import { listen, openApp } from "../../gateway/transport.js";
import { edge } from "../../wire/codec.js";
import { decision, FakeFeed, status } from "./pages.fake-feed.js";

let feed: FakeFeed;
let pages: Closable;
let app: ReturnType<typeof openApp>;
let port: number;
const sockets: WebSocket[] = [];

async function serve(livePage: "open" | "token"): Promise<void> {
  feed = new FakeFeed();
  app = openApp(undefined);
  pages = registerPages(app, {
    liveFeed: feed,
    status: () => status(),
    operatorToken: "operator-secret",
    livePage,
    members: { count: () => 42 },
  });
  port = (await listen(app, "127.0.0.1", 0)).port;
}

beforeEach(() => serve("open"));
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await pages.close();
  app.close();
});

interface Viewer {
  socket: WebSocket;
  next(): Promise<Record<string, unknown>>;
  closed: Promise<number>;
}

function watch(protocols: string[] = ["palmgate-live"], headers: Record<string, string> = {}): Viewer {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, protocols, { headers });
  sockets.push(socket);
  const messages: Record<string, unknown>[] = [];
  const waiting: ((message: Record<string, unknown>) => void)[] = [];
  socket.on("message", (data) => {
    const message = JSON.parse(String(data)) as Record<string, unknown>;
    const taker = waiting.shift();
    if (taker) taker(message);
    else messages.push(message);
  });
  socket.on("error", () => {});
  return {
    socket,
    next: async () => messages.shift() ?? new Promise((resolve) => waiting.push(resolve)),
    closed: new Promise((resolve) => socket.on("close", resolve)),
  };
}

/** The next message of that kind. */
async function nextOf(viewer: Viewer, kind: string): Promise<Record<string, unknown>> {
  for (;;) {
    const message = await viewer.next();
    if (message.kind === kind) return message;
  }
}

describe("the page", () => {
  it.each([
    "/",
    "/live/live.js",
    "/live/live.css",
    "/live/decisions.css",
    "/live/texts.json",
    "/live/icon.svg",
  ])("serves %s with a policy that allows nothing from elsewhere and no inline code", async (path) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
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
      readFileSync(new URL("../../gateway/pages/texts.json", import.meta.url), "utf8"),
    ) as {
      display: Record<string, string>;
      reason: Record<string, string>;
    };
    const keys = [...Object.values(DECISION_KEYS), ...Object.values(GUIDE_KEYS)];
    expect(Object.keys(texts.display).sort()).toEqual([...new Set(keys)].sort());
    const reasons = Object.keys(edge.Reason).filter((name) => Number.isNaN(Number(name)));
    expect(Object.keys(texts.reason).sort()).toEqual(reasons.sort());
    for (const text of [...Object.values(texts.display), ...Object.values(texts.reason)])
      expect(text).not.toBe("");
  });
});

describe("the live feed", () => {
  it("begins with what happened before, then sends each decision once, in order", async () => {
    feed.say(decision({ pairwiseId: "before" }));
    const viewer = watch();
    const snapshot = await nextOf(viewer, "snapshot");
    expect(snapshot).toMatchObject({
      decisions: [{ pairwiseId: "before" }],
      status: { modelId: "palm-256-v3" },
      stats: { members: 42 },
    });
    for (const pairwiseId of ["a", "b", "c"]) feed.say(decision({ pairwiseId }));
    const seen: string[] = [];
    while (seen.length < 3) {
      const { decisions } = (await nextOf(viewer, "decisions")) as { decisions: { pairwiseId: string }[] };
      seen.push(...decisions.map((each) => each.pairwiseId));
    }
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("refuses pages of other sites, and takes its own", async () => {
    const stranger = watch(["palmgate-live"], { origin: "https://elsewhere.example" });
    await stranger.closed;
    expect(stranger.socket.readyState).toBe(WebSocket.CLOSED);
    const own = watch(["palmgate-live"], { origin: `http://127.0.0.1:${port}` });
    expect(await nextOf(own, "snapshot")).toBeDefined();
  });

  it("shows nothing without the operator token when it is asked for", async () => {
    await pages.close();
    app.close();
    await serve("token");
    const token = (text: string) => `token.${Buffer.from(text).toString("base64url")}`;
    for (const protocols of [["palmgate-live"], ["palmgate-live", token("wrong")]]) {
      const viewer = watch(protocols);
      let heard = 0;
      viewer.socket.on("message", () => heard++);
      expect(await viewer.closed).toBe(CLOSED_UNAUTHORISED);
      expect(heard).toBe(0);
    }
    const operator = watch(["palmgate-live", token("operator-secret")]);
    expect(await nextOf(operator, "snapshot")).toBeDefined();
    expect(operator.socket.protocol).toBe("palmgate-live");
  });

  it("drops a viewer that does not read, and goes on for the others", async () => {
    const slow = connect(port, "127.0.0.1", () => {
      slow.write(
        `GET /live HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
    });
    slow.on("error", () => {});
    const gone = new Promise((resolve) => slow.on("close", resolve));
    await new Promise((resolve) => slow.once("data", resolve));
    slow.pause();

    const reader = watch();
    let receivedBytes = 0;
    reader.socket.on("message", (data) => {
      receivedBytes += String(data).length;
    });
    await nextOf(reader, "snapshot");
    const long = decision({ pairwiseId: "x".repeat(40_000) });
    // More than the kernel's buffers and ours take together.
    while (receivedBytes < 40_000_000) {
      for (let index = 0; index < 60; index++) feed.say(long);
      await nextOf(reader, "decisions");
    }
    // A socket that does not read does not see its own end either.
    slow.resume();
    await gone;
    feed.say(decision({ pairwiseId: "after" }));
    let last = "";
    while (last !== "after") {
      const { decisions } = (await nextOf(reader, "decisions")) as { decisions: { pairwiseId: string }[] };
      last = decisions.at(-1)?.pairwiseId ?? "";
    }
  });

  it("lets go of the feed when it is closed", async () => {
    expect(feed.listeners).toBe(1);
    const viewer = watch();
    await nextOf(viewer, "snapshot");
    await pages.close();
    expect(await viewer.closed).toBe(1001);
    expect(feed.listeners).toBe(0);
  });
});

describe("the counters", () => {
  it("count since start and look back one minute, by nearest rank", () => {
    const stats = new LiveStats();
    const now = 1_700_000_000_000;
    const at = (atUnixMs: number, totalMs: number, granted: boolean) =>
      stats.add(decision({ atUnixMs, granted, stages: { ...decision().stages, totalMs } }));
    expect(stats.now(now)).toEqual({ decisions: 0, granted: 0, p50Ms: null, p95Ms: null });
    at(now - 61_000, 9999, true);
    for (let ms = 1; ms <= 100; ms++) at(now - 1000, ms, ms % 2 === 0);
    expect(stats.now(now)).toEqual({ decisions: 101, granted: 51, p50Ms: 50, p95Ms: 95 });
  });
});
