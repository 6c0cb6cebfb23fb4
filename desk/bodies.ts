// What is received: how much at once, as what, and that nothing of it is left behind.
//
// Invariants (test/desk/http.test.ts):
// - a body is bounded by its route, in bytes and in time, and over all requests by MAX_HELD_BYTES; requests that need no
//   token have a bound of their own, so that nobody without one keeps operators out;
// - its bytes are zeroed when its handler has answered, and when it never got to one;
// - JSON that holds a card number is refused before anybody looks at it.
import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { valueHoldsCardNumber } from "../wire/card-number.js";
import type { App } from "./fastify.js";
import { refuse } from "./problem.js";

export const PROTOBUF_TYPE = "application/x-protobuf";
/** Bytes of bodies held at once, over all requests. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const MAX_HELD_OPEN_BYTES = 16 * 1024 * 1024;

interface Held {
  bytes: number;
  readonly maxBytes: number;
}

/** Adds the hooks and parsers. */
export function watchBodies(app: App): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(PROTOBUF_TYPE, async (request: FastifyRequest, payload: IncomingMessage) => {
    const isTaken = request.routeOptions.schema?.consumes?.includes(PROTOBUF_TYPE);
    if (!isTaken) throw refuse("UNSUPPORTED_MEDIA", "This address takes JSON.");
    return receive(request, payload);
  });
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: IncomingMessage) =>
    jsonIn(await receive(request, payload)),
  );
  const held: Record<"operator" | "anybody", Held> = {
    operator: { bytes: 0, maxBytes: MAX_HELD_BYTES },
    anybody: { bytes: 0, maxBytes: MAX_HELD_OPEN_BYTES },
  };
  const leave = new WeakMap<FastifyRequest, () => void>();
  app.addHook("onRequest", async (request: FastifyRequest, reply: FastifyReply) => {
    const bytes = bytesToHold(request, reply);
    const own = held[request.routeOptions.config.access ?? "anybody"];
    if (own.bytes + bytes > own.maxBytes)
      throw closing(reply, refuse("BUSY", "Too many requests are being received."));
    own.bytes += bytes;
    let isHeld = true;
    leave.set(request, () => {
      if (isHeld) own.bytes -= bytes;
      isHeld = false;
      request.bodyBytes?.fill(0);
      request.bodyBytes = undefined;
    });
    // Whoever goes away before the body is whole gets to no handler.
    reply.raw.once("close", () => {
      if (request.bodyBytes === undefined) leave.get(request)?.();
    });
  });
  app.addHook("preValidation", async (request: FastifyRequest) => refuseCardNumbers(request));
  app.addHook("onSend", async (request: FastifyRequest) => leave.get(request)?.());
}

/** @throws Refusal for more than the route takes */
function bytesToHold(request: FastifyRequest, reply: FastifyReply): number {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  const limit = request.routeOptions.bodyLimit ?? 0;
  if (length === undefined) return encoding === undefined ? 0 : limit;
  // Node refuses a length that is no number.
  const bytes = Number(length);
  if (bytes > limit) throw closing(reply, refuse("TOO_LARGE", `At most ${limit} bytes are taken here.`));
  return bytes;
}

/** The rest of the request is not read. */
function closing(reply: FastifyReply, refusal: Error): Error {
  reply.header("connection", "close");
  return refusal;
}

/** Reads the body into one buffer of ours; what lies in between is overwritten. */
function receive(request: FastifyRequest, payload: IncomingMessage): Promise<Buffer> {
  const { "content-length": length } = request.headers;
  const limit = request.routeOptions.bodyLimit ?? 0;
  const body = Buffer.alloc(length === undefined ? limit : Math.min(Number(length), limit));
  let at = 0;
  return new Promise((resolve, reject) => {
    const fail = (refusal: Error) => {
      payload.removeAllListeners("data");
      body.fill(0);
      reject(refusal);
    };
    payload.on("data", (chunk: Buffer) => {
      if (at + chunk.length > body.length)
        return fail(refuse("TOO_LARGE", `At most ${limit} bytes are taken here.`));
      body.set(chunk, at);
      at += chunk.length;
      chunk.fill(0);
    });
    payload.once("end", () => {
      request.bodyBytes = body.subarray(0, at);
      resolve(request.bodyBytes);
    });
    payload.once("close", () => {
      if (!payload.readableEnded) fail(refuse("REQUEST_TIMEOUT", "The body did not arrive whole."));
    });
  });
}

/** For routes that take protobuf too: turns such a body into the shape of its JSON sibling. */
export const protobufBody =
  (read: (bytes: Uint8Array) => unknown) =>
  async (request: FastifyRequest): Promise<void> => {
    if (!(request.body instanceof Uint8Array)) return;
    request.body = read(request.body);
    refuseCardNumbers(request);
  };

function jsonIn(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw refuse("BAD_REQUEST", "The body is not JSON.");
  }
}

function refuseCardNumbers(request: FastifyRequest): void {
  const { body } = request;
  if (typeof body !== "object" || body === null || body instanceof Uint8Array) return;
  const random = request.routeOptions.config.random ?? [];
  const told = Object.fromEntries(Object.entries(body).filter(([name]) => !random.includes(name)));
  if (valueHoldsCardNumber(told)) {
    throw refuse("CARD_NUMBER_REFUSED", "Something in the request looks like a card number.");
  }
}
