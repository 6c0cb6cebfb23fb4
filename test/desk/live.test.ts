// The live page's server side: what is served, who may watch, and that a slow viewer costs nobody anything.
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { DecisionFeed } from "../../desk/live/feed.js";
import { CLOSED_UNAUTHORISED } from "../../desk/live/live.js";
import { LiveStats } from "../../desk/live/stats.js";
import { encodeLive } from "../../wire/live.js";
import { liveSubject } from "../../wire/subjects.js";
import { openBusRig } from "../wire/support/rig.js";
import { decision, OPERATOR_TOKEN, type ServedPages, servePagesOf } from "./live.support.js";

let feed: DecisionFeed;
let pages: ServedPages;
const sockets: WebSocket[] = [];

async function serve(livePage: "open" | "token"): Promise<void> {
  feed = new DecisionFeed();
  pages = await servePagesOf(feed, { livePage });
}

beforeEach(() => serve("open"));
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await pages.close();
});

interface Viewer {
  socket: WebSocket;
  next(): Promise<Record<string, unknown>>;
  closed: Promise<number>;
}

function watch(protocols: string[] = ["palmgate-live"], headers: Record<string, string> = {}): Viewer {
  const socket = new WebSocket(`ws://127.0.0.1:${pages.port}/live`, protocols, { headers });
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

describe("the live feed", () => {
  it("begins with what happened before, then sends each decision once, in order", async () => {
    feed.say(decision({ pairwiseId: "before" }));
    const viewer = watch();
    const snapshot = await nextOf(viewer, "snapshot");
    expect(snapshot).toMatchObject({
      decisions: [{ pairwiseId: "before" }],
      status: { modelId: "palm-256-v3" },
      stats: { members: 1234 },
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
    const own = watch(["palmgate-live"], { origin: `http://127.0.0.1:${pages.port}` });
    expect(await nextOf(own, "snapshot")).toBeDefined();
  });

  it("shows nothing without the operator token when it is asked for", async () => {
    await pages.close();
    await serve("token");
    const token = (text: string) => `token.${Buffer.from(text).toString("base64url")}`;
    for (const protocols of [["palmgate-live"], ["palmgate-live", token("wrong")]]) {
      const viewer = watch(protocols);
      let heard = 0;
      viewer.socket.on("message", () => heard++);
      expect(await viewer.closed).toBe(CLOSED_UNAUTHORISED);
      expect(heard).toBe(0);
    }
    const operator = watch(["palmgate-live", token(OPERATOR_TOKEN)]);
    expect(await nextOf(operator, "snapshot")).toBeDefined();
    expect(operator.socket.protocol).toBe("palmgate-live");
  });

  it("drops a viewer that does not read, and goes on for the others", async () => {
    const slow = connect(pages.port, "127.0.0.1", () => {
      slow.write(
        `GET /live HTTP/1.1\r\nHost: 127.0.0.1:${pages.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
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

  it("says farewell to its viewers when it is closed", async () => {
    const viewer = watch();
    await nextOf(viewer, "snapshot");
    expect(pages.live.viewers()).toBe(1);
    await pages.close();
    expect(await viewer.closed).toBe(1001);
    expect(pages.live.viewers()).toBe(0);
  });

  it("is of what gateways say on the bus, whatever else is said there", async () => {
    const rig = await openBusRig();
    const { feed: heard, stop } = DecisionFeed.follow(rig.nc);
    const next = new Promise((resolve) => heard.subscribe(resolve));
    rig.nc.publish(liveSubject("acme"), "not a decision");
    rig.nc.publish(liveSubject("acme"), encodeLive(decision({ pairwiseId: "heard" })));
    expect(await next).toMatchObject({ pairwiseId: "heard", organisation: "acme" });
    expect(heard.stats()).toMatchObject({ decisions: 1, granted: 1 });
    stop();
    await rig.close();
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
