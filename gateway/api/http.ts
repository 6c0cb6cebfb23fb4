// The operator API's way in: one route at a time from uWebSockets.js to a handler and back.
//
// Invariants:
// - no token, no body: an unauthorised request is answered before a byte of its body is kept;
// - a body is bounded in size (per route, and over all requests) and in time; requests that need no token have a bound
//   of their own, so that nobody without one can keep operators out;
// - a body's bytes are zeroed when its handler has ended, and when it never got to one;
// - a request whose client went away is never written to; its handler runs to its end, so that what it began is whole;
// - every answer is JSON; every refusal is one of the catalogue; what was sent is never echoed and never logged.

import type { HttpRequest, HttpResponse, TemplatedApp } from "uWebSockets.js";
import { createHash, timingSafeEqual } from "node:crypto";
import type { Log } from "../../wire/log.js";
import type { GatewayMetrics } from "../metrics.js";
import { type Answer, onWire, refuse, statusLine } from "./answer.js";

const BODY_TIMEOUT_MS = 10_000;
/** Bytes of bodies held at once, over all requests. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const MAX_HELD_OPEN_BYTES = 16 * 1024 * 1024;

export interface ApiRequest {
  /** Of the path, in order. */
  parameters: readonly string[];
  query: URLSearchParams;
  body: Buffer;
}

export interface Route {
  method: "get" | "post" | "put" | "del";
  /** uWebSockets.js pattern, e.g. "/api/members/:id". */
  path: string;
  /** 0: a body is refused. */
  maxBodyBytes: number;
  /** Needs no operator token. */
  open?: boolean;
  handle(request: ApiRequest): Promise<Answer> | Answer;
}

export interface HttpDeps {
  log: Log;
  metrics: Pick<GatewayMetrics, "apiRequest">;
  operatorToken: string;
  /** How long a body may take to arrive; default BODY_TIMEOUT_MS. */
  bodyTimeoutMs?: number;
}

/** Registers the routes, and an answer for every other path under /api. */
export function registerRoutes(app: TemplatedApp, deps: HttpDeps, routes: readonly Route[]): void {
  const isOperator = tokenCheck(deps.operatorToken);
  const heldBy = {
    operators: { bytes: 0, maxBytes: MAX_HELD_BYTES },
    anybody: { bytes: 0, maxBytes: MAX_HELD_OPEN_BYTES },
  };
  const { bodyTimeoutMs = BODY_TIMEOUT_MS } = deps;
  for (const route of routes) {
    const held = route.open ? heldBy.anybody : heldBy.operators;
    const parameterCount = route.path.split("/:").length - 1;
    app[route.method](route.path, (response, request) => {
      const exchange = openExchange(response, route.path, deps);
      if (!route.open && !isOperator(request.getHeader("authorization"))) {
        return exchange.refuseAndClose(refuse("UNAUTHORISED", "The operator token is missing or wrong."));
      }
      const admission = admitBody(request, route.maxBodyBytes, held);
      if (!admission.ok) return exchange.refuseAndClose(admission.refused);
      const parameters = Array.from({ length: parameterCount }, (_, index) => request.getParameter(index));
      const query = new URLSearchParams(request.getQuery());
      held.bytes += admission.reservedBytes;
      readBody(response, exchange, { maxBytes: admission.reservedBytes, bodyTimeoutMs }, (body) => {
        const answered = run(route, { parameters, query, body }, deps);
        void answered.then((answer) => exchange.answer(answer));
        return answered;
      }).finally(() => {
        held.bytes -= admission.reservedBytes;
      });
    });
  }
  app.any("/api/*", (response) => {
    openExchange(response, "/api/*", deps).refuseAndClose(refuse("NOT_FOUND", "There is no such address."));
  });
}

/** Compares in constant time, whatever is sent. */
export function tokenCheck(operatorToken: string): (authorization: string) => boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const wanted = digest(`Bearer ${operatorToken}`);
  return (authorization) => timingSafeEqual(digest(authorization), wanted);
}

type Admission = { ok: true; reservedBytes: number } | { ok: false; refused: Answer };

function admitBody(
  request: HttpRequest,
  maxBodyBytes: number,
  held: { readonly bytes: number; readonly maxBytes: number },
): Admission {
  const declared = request.getHeader("content-length");
  const bytes =
    declared === "" ? (request.getHeader("transfer-encoding") ? maxBodyBytes : 0) : Number(declared);
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    return { ok: false, refused: refuse("BAD_REQUEST", "Content-Length is not a number.") };
  }
  if (bytes > maxBodyBytes) {
    return { ok: false, refused: refuse("TOO_LARGE", `At most ${maxBodyBytes} bytes are taken here.`) };
  }
  if (held.bytes + bytes > held.maxBytes) {
    return { ok: false, refused: refuse("BUSY", "Too many requests are being received.") };
  }
  return { ok: true, reservedBytes: bytes };
}

interface Exchange {
  /** The client is gone or has its answer. */
  isOver(): boolean;
  answer(answer: Answer): void;
  /** Answers and closes: the rest of the request is not read. */
  refuseAndClose(answer: Answer): void;
  onGone(listener: () => void): void;
}

function openExchange(response: HttpResponse, routePath: string, { metrics }: HttpDeps): Exchange {
  let over = false;
  let whenGone = () => {};
  response.onAborted(() => {
    over = true;
    whenGone();
  });
  const send = (answer: Answer, close: boolean) => {
    const { status, headers, body } = onWire(answer);
    metrics.apiRequest(routePath, status);
    if (over) return;
    over = true;
    response.cork(() => {
      response.writeStatus(statusLine(status));
      for (const [name, value] of headers) response.writeHeader(name, value);
      response.end(body, close);
    });
  };
  return {
    isOver: () => over,
    answer: (answer) => send(answer, false),
    refuseAndClose: (answer) => send(answer, true),
    onGone: (listener) => {
      whenGone = listener;
    },
  };
}

/** Reads the body and hands it on. Resolves when nothing of it is needed any more. */
function readBody(
  response: HttpResponse,
  exchange: Exchange,
  { maxBytes, bodyTimeoutMs }: { maxBytes: number; bodyTimeoutMs: number },
  onBody: (body: Buffer) => Promise<unknown>,
): Promise<void> {
  return new Promise((resolve) => {
    const body = Buffer.allocUnsafe(maxBytes);
    let length = 0;
    const end = () => {
      clearTimeout(timer);
      body.fill(0);
      resolve();
    };
    const timer = setTimeout(() => {
      exchange.refuseAndClose(refuse("BAD_REQUEST", `The body did not arrive within ${bodyTimeoutMs} ms.`));
      end();
    }, bodyTimeoutMs);
    exchange.onGone(end);
    response.onData((chunk, isLast) => {
      if (exchange.isOver()) return;
      if (length + chunk.byteLength > maxBytes) {
        exchange.refuseAndClose(
          refuse("TOO_LARGE", "The body is larger than it said or than is taken here."),
        );
        return end();
      }
      body.set(new Uint8Array(chunk), length);
      length += chunk.byteLength;
      if (!isLast) return;
      clearTimeout(timer);
      exchange.onGone(() => {});
      void onBody(body.subarray(0, length)).then(end, end);
    });
  });
}

async function run(route: Route, request: ApiRequest, { log }: HttpDeps): Promise<Answer> {
  try {
    return await route.handle(request);
  } catch (error) {
    // The stack names our code; the message of a parser could quote what was sent, so it stays out.
    const where = error instanceof Error ? (error.stack ?? "").split("\n").slice(1, 4).join(" ") : "";
    log.error({ route: route.path, kind: (error as Error)?.name, where }, "an API request failed");
    return refuse("INTERNAL", "The gateway failed on this request.");
  }
}
