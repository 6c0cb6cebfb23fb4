// The live page and its feed: static files from this folder, decisions over the WebSocket /live. The pages that run in
// a browser (lane, enrolment) are served beside it.
//
// Invariants:
// - the page loads nothing from anywhere else and runs no inline code: its Content-Security-Policy says so;
// - viewers cost the hot path nothing but a push into a bounded list: decisions go out in batches, once for all viewers;
// - a viewer that does not read is dropped at MAX_BACKPRESSURE_BYTES; there are at most MAX_VIEWERS;
// - with `livePage: "token"` nothing of the feed is sent before the operator token was seen;
// - a browser on another site cannot read the feed: the Origin must be our own host.

import type { HttpRequest, HttpResponse, TemplatedApp, WebSocket } from "uWebSockets.js";
import { readFileSync } from "node:fs";
import { tokenCheck } from "../api/http.js";
import type { Closable, GatewayDeps, LiveDecision } from "../seams.js";
import { LiveStats } from "./live-stats.js";
import { registerWebFiles } from "./web-files.js";

const MAX_VIEWERS = 100;
const MAX_BACKPRESSURE_BYTES = 1024 * 1024;
/** A viewer has nothing to say. */
const MAX_VIEWER_MESSAGE_BYTES = 1024;
const VIEWER_IDLE_SECONDS = 32;
const BATCH_INTERVAL_MS = 100;
const STATUS_INTERVAL_MS = 2000;
/** More decisions than these between two batches are counted, not shown. */
const MAX_BATCH_DECISIONS = 60;

const TOPIC = "live";
const PROTOCOL = "palmgate-live";
const TOKEN_PREFIX = "token.";
export const CLOSED_UNAUTHORISED = 4401;
export const CLOSED_FULL = 4429;

const FILES = [
  { path: "/", file: "live.html", type: "text/html; charset=utf-8" },
  { path: "/live/live.js", file: "live.js", type: "text/javascript; charset=utf-8" },
  { path: "/live/live.css", file: "live.css", type: "text/css; charset=utf-8" },
  { path: "/live/decisions.css", file: "decisions.css", type: "text/css; charset=utf-8" },
  { path: "/live/texts.json", file: "texts.json", type: "application/json; charset=utf-8" },
  { path: "/live/icon.svg", file: "icon.svg", type: "image/svg+xml" },
] as const;

const SECURITY_HEADERS = [
  [
    "content-security-policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-opener-policy", "same-origin"],
  ["cross-origin-resource-policy", "same-origin"],
  ["cache-control", "no-cache"],
] as const;

export type PagesDeps = Pick<GatewayDeps, "liveFeed" | "status" | "operatorToken" | "livePage"> & {
  members: Pick<GatewayDeps["members"], "count">;
};

interface Viewer {
  welcome: boolean;
}

/** Registers the pages and the feed; close() ends the feed. */
export function registerPages(app: TemplatedApp, deps: PagesDeps): Closable {
  for (const each of FILES) serveFile(app, each);
  registerWebFiles(app);
  return serveFeed(app, deps);
}

function serveFile(app: TemplatedApp, { path, file, type }: (typeof FILES)[number]): void {
  // Read once, at start: a missing file is a broken installation and must be seen there and then.
  const content = readFileSync(new URL(`./${file}`, import.meta.url));
  app.get(path, (response) => {
    response.writeStatus("200 OK").writeHeader("content-type", type);
    for (const [name, value] of SECURITY_HEADERS) response.writeHeader(name, value);
    response.end(content);
  });
}

function serveFeed(app: TemplatedApp, deps: PagesDeps): Closable {
  const stats = new LiveStats();
  for (const decision of deps.liveFeed.recent()) stats.add(decision);
  const viewers = new Set<WebSocket<Viewer>>();
  let waiting: LiveDecision[] = [];
  const overview = () => ({
    status: deps.status(),
    stats: { ...stats.now(), members: deps.members.count() },
  });

  const unsubscribe = deps.liveFeed.subscribe((decision) => {
    stats.add(decision);
    if (viewers.size === 0) return;
    waiting.push(decision);
    if (waiting.length > MAX_BATCH_DECISIONS) waiting.shift();
  });
  const batches = setInterval(() => {
    if (waiting.length === 0) return;
    app.publish(TOPIC, JSON.stringify({ kind: "decisions", decisions: waiting }));
    waiting = [];
  }, BATCH_INTERVAL_MS);
  const statuses = setInterval(() => {
    if (viewers.size > 0) app.publish(TOPIC, JSON.stringify({ kind: "status", ...overview() }));
  }, STATUS_INTERVAL_MS);

  const mayWatch = viewerCheck(deps);
  app.ws<Viewer>("/live", {
    maxPayloadLength: MAX_VIEWER_MESSAGE_BYTES,
    maxBackpressure: MAX_BACKPRESSURE_BYTES,
    closeOnBackpressureLimit: 1,
    idleTimeout: VIEWER_IDLE_SECONDS,
    upgrade: (response, request, context) => {
      if (!sameOrigin(request)) {
        response.writeStatus("403 Forbidden").end("The live feed is for pages of this gateway.");
        return;
      }
      upgrade(response, request, context, { welcome: mayWatch(request) });
    },
    open: (socket) => {
      if (!socket.getUserData().welcome) return socket.end(CLOSED_UNAUTHORISED, "operator token needed");
      if (viewers.size >= MAX_VIEWERS) return socket.end(CLOSED_FULL, "too many viewers");
      viewers.add(socket);
      socket.send(JSON.stringify({ kind: "snapshot", decisions: deps.liveFeed.recent(), ...overview() }));
      socket.subscribe(TOPIC);
    },
    close: (socket) => {
      viewers.delete(socket);
    },
  });

  return {
    close: async () => {
      unsubscribe();
      clearInterval(batches);
      clearInterval(statuses);
      for (const socket of [...viewers]) socket.end(1001, "the gateway is stopping");
    },
  };
}

/** Browsers name where a page came from; programs need not. */
function sameOrigin(request: HttpRequest): boolean {
  const origin = request.getHeader("origin");
  if (origin === "") return true;
  try {
    return new URL(origin).host === request.getHeader("host");
  } catch {
    return false;
  }
}

function viewerCheck({ livePage, operatorToken }: PagesDeps): (request: HttpRequest) => boolean {
  if (livePage === "open") return () => true;
  const isOperator = tokenCheck(operatorToken);
  return (request) => {
    const offered = request.getHeader("sec-websocket-protocol").split(",");
    const token = offered.map((each) => each.trim()).find((each) => each.startsWith(TOKEN_PREFIX)) ?? "";
    const given = Buffer.from(token.slice(TOKEN_PREFIX.length), "base64url").toString("utf8");
    return isOperator(`Bearer ${given}`);
  };
}

function upgrade(
  response: HttpResponse,
  request: HttpRequest,
  context: Parameters<HttpResponse["upgrade"]>[4],
  viewer: Viewer,
): void {
  const offered = request.getHeader("sec-websocket-protocol");
  response.upgrade(
    viewer,
    request.getHeader("sec-websocket-key"),
    offered === "" ? "" : PROTOCOL,
    request.getHeader("sec-websocket-extensions"),
    context,
  );
}
