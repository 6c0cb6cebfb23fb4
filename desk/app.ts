// The web server behind API and pages: one Fastify, its limits, its way of saying no, and the document of its API.
//
// Invariants (test/desk/http.test.ts):
// - an unauthorised request is answered before a byte of its body is kept; what comes too slowly is cut off;
// - every refusal is a problem of the catalogue; a bug is logged by where it happened, never with what was sent;
// - HEAD, OPTIONS, unknown paths and wrong methods are answered, under /api as problems, elsewhere with a page;
// - a route that does not say who may ask for it does not come up.
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import fastifyHelmet from "@fastify/helmet";
import fastifyRateLimit from "@fastify/rate-limit";
import fastifySwagger from "@fastify/swagger";
import {
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  type RouteOptions,
} from "fastify";
import {
  hasZodFastifySchemaValidationErrors,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import { UsageError } from "../wire/config.js";
import type { Log } from "../wire/log.js";
import type { Access } from "./access.js";
import { watchBodies } from "./bodies.js";
import type { App } from "./fastify.js";
import type { DeskMetrics } from "./metrics.js";
import { allowedBy, type KnownRoute, notFoundPage } from "./not-found.js";
import { documentOptions } from "./openapi.js";
import { headersOf, problemOf, Refusal, refuse, sendProblem } from "./problem.js";
import { addressKey } from "./throttle.js";

/** From the first byte of a request to the last one of its body. */
const REQUEST_TIMEOUT_MS = 15_000;
const HEADERS_TIMEOUT_MS = 10_000;
const CHECK_INTERVAL_MS = 1000;
const KEEP_ALIVE_MS = 30_000;
/** Of routes that take no body of note. */
const DEFAULT_BODY_BYTES = 4096;
const MAX_PARAMETER_CHARS = 128;
const MINUTE_MS = 60_000;

export interface AppOptions {
  log: Log;
  metrics: Pick<DeskMetrics, "apiRequest">;
  access: Access;
  tls?: { certFile: string; keyFile: string } | undefined;
  trustedProxies: readonly string[];
  requestsPerMinute: number;
  /** Default REQUEST_TIMEOUT_MS. */
  requestTimeoutMs?: number;
}

/** Opens the server without routes. `listen` is the caller's. */
export async function openApp(options: AppOptions): Promise<App> {
  const { access, requestsPerMinute } = options;
  const app = newFastify(options);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  const routes: KnownRoute[] = [];
  app.addHook("onRoute", (route) => keepRoute(route, routes));
  await app.register(fastifySwagger, documentOptions);
  await app.register(fastifyHelmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        frameAncestors: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
      },
    },
    frameguard: { action: "deny" },
    crossOriginResourcePolicy: { policy: "same-origin" },
    referrerPolicy: { policy: "no-referrer" },
    strictTransportSecurity: options.tls !== undefined,
  });
  await app.register(fastifyRateLimit, {
    max: requestsPerMinute,
    timeWindow: MINUTE_MS,
    cache: 10_000,
    keyGenerator: (request) => addressKey(request.ip),
    allowList: (request) => access.isOperator(request),
    errorResponseBuilder: () => refuse("TOO_MANY_REQUESTS", "Too many requests came from this address."),
  });
  guard(app, options);
  app.setErrorHandler((error: FastifyError | Error, request, reply) =>
    sendProblem(reply, refusalOf(error, request, options.log)),
  );
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) =>
    notFound(request, reply, routes),
  );
  return app;
}

function newFastify({ tls, trustedProxies, requestTimeoutMs = REQUEST_TIMEOUT_MS }: AppOptions): App {
  const common = {
    logger: false,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    bodyLimit: DEFAULT_BODY_BYTES,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARS },
    forceCloseConnections: true,
    return503OnClosing: false,
    clientErrorHandler: refuseUnread,
    frameworkErrors: (_error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
      void sendProblem(reply, refuse("BAD_REQUEST", "The address cannot be read."));
    },
  };
  const timing = {
    headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const made = tls
    ? fastify({ ...common, https: { ...timing, cert: readable(tls.certFile), key: readable(tls.keyFile) } })
    : fastify({ ...common, http: timing });
  return made.withTypeProvider<ZodTypeProvider>() as unknown as App;
}

/** What cannot be read as a request, or comes too slowly, gets to no route. */
function refuseUnread(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const refusal =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? refuse("REQUEST_TIMEOUT", "The request did not arrive in time.")
      : refuse("BAD_REQUEST", "The request cannot be read.");
  const problem = problemOf(refusal);
  const body = JSON.stringify(problem);
  const headers = Object.entries(headersOf(refusal)).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = `content-length: ${Buffer.byteLength(body)}`;
  const head = `HTTP/1.1 ${problem.status} ${problem.title}\r\n${headers.join("")}${length}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
}

function readable(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`TLS file ${file} cannot be read: ${(error as Error).message}`);
  }
}

function keepRoute(route: RouteOptions, routes: KnownRoute[]): void {
  if (route.config?.access === undefined) throw new Error(`${route.url} does not say who may ask for it`);
  const methods = Array.isArray(route.method) ? route.method : [route.method];
  routes.push({ methods, url: route.url });
}

/** Who may ask, how much may be received, and what becomes of it. */
function guard(app: App, { access, metrics }: AppOptions): void {
  app.decorateRequest("bodyBytes", undefined);
  app.addHook("onRequest", async (request, reply) => {
    if (request.routeOptions.config.access === "operator") {
      try {
        access.demandOperator(request);
      } catch (error) {
        // The rest of the request is not read.
        reply.header("connection", "close");
        throw error;
      }
    }
  });
  watchBodies(app);
  app.addHook("onSend", async (_request, reply) => {
    if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store");
  });
  app.addHook("onResponse", async (request, reply) => {
    metrics.apiRequest(request.routeOptions.url ?? "unknown", reply.statusCode);
  });
}

/** What Fastify and its plugins say, in words of the catalogue. */
function refusalOf(error: FastifyError | Error, request: FastifyRequest, log: Log): Refusal {
  if (error instanceof Refusal) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const fields = error.validation.map(({ instancePath, message = "is wrong" }) => ({
      field: instancePath.slice(1).replaceAll("/", ".") || "body",
      problem: message,
    }));
    const words = fields.map(({ field, problem }) => `${field}: ${problem}`).join("; ");
    return new Refusal("BAD_REQUEST", words, fields);
  }
  const code = "code" in error ? error.code : "";
  const status = "statusCode" in error ? error.statusCode : undefined;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE")
    return refuse("TOO_LARGE", "The body is larger than is taken here.");
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    return refuse("UNSUPPORTED_MEDIA", "This content type is not taken here.");
  if (code === "FST_ERR_CTP_INVALID_JSON_BODY" || code === "FST_ERR_CTP_EMPTY_JSON_BODY") {
    return refuse("BAD_REQUEST", "The body is not JSON.");
  }
  if (status !== undefined && status >= 400 && status < 500)
    return refuse("BAD_REQUEST", "The request cannot be read.");
  // The stack names our code; the message of a parser could quote what was sent, so it stays out.
  const where = (error.stack ?? "").split("\n").slice(1, 5).join(" ");
  log.error({ route: request.routeOptions.url, kind: error.name, code, where }, "a request failed");
  return refuse("INTERNAL", "The desk failed on this request.");
}

function notFound(request: FastifyRequest, reply: FastifyReply, routes: readonly KnownRoute[]): FastifyReply {
  const path = request.url.split("?", 1)[0] ?? "";
  const allowed = allowedBy(routes, path);
  if (allowed.length > 0) {
    reply.header("allow", allowed.join(", "));
    if (request.method === "OPTIONS") return reply.code(204).send();
    return sendProblem(reply, refuse("METHOD_NOT_ALLOWED", "This method is not served here."));
  }
  const wantsPage = !path.startsWith("/api/") && /text\/html/.test(request.headers.accept ?? "");
  if (wantsPage) return notFoundPage(reply);
  return sendProblem(reply, refuse("NOT_FOUND", "There is no such address."));
}
