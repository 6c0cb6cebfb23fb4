// What is received: how much at once, as what, and that nothing of it is left behind.
//
// Invariants (test/desk/http.test.ts): at most MAX_HELD_BYTES of bodies at once, and of requests that need no token at
// most MAX_HELD_OPEN_BYTES; bytes of a body are zeroed when its answer is out; JSON that holds a card number is refused
// before anybody looks at it.
import type { FastifyInstance, FastifyRequest } from "fastify";
import { valueHoldsCardNumber } from "../wire/card-number.js";
import type { App } from "./app.js";
import { refuse } from "./problem.js";

export const PROTOBUF_TYPE = "application/x-protobuf";
/** Bytes of bodies held at once, over all requests. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const MAX_HELD_OPEN_BYTES = 16 * 1024 * 1024;

interface Held {
  bytes: number;
  readonly maxBytes: number;
}

export class Bodies {
  readonly #held: Record<"operator" | "anybody", Held> = {
    operator: { bytes: 0, maxBytes: MAX_HELD_BYTES },
    anybody: { bytes: 0, maxBytes: MAX_HELD_OPEN_BYTES },
  };

  /** Adds the hooks and parsers. */
  watch(app: App): void {
    app.removeAllContentTypeParsers();
    const keep = (request: FastifyRequest, body: Buffer) => {
      request.bodyBytes = body;
      return body;
    };
    app.addContentTypeParser(
      PROTOBUF_TYPE,
      { parseAs: "buffer" },
      async (request: FastifyRequest, body: Buffer) => keep(request, body),
    );
    app.addContentTypeParser(
      "application/json",
      { parseAs: "buffer" },
      async (request: FastifyRequest, body: Buffer) => jsonIn(keep(request, body)),
    );
    this.#bound(app as unknown as FastifyInstance);
    app.addHook("preValidation", async (request) => refuseCardNumbers(request));
    app.addHook("onResponse", async (request) => {
      request.bodyBytes?.fill(0);
      request.bodyBytes = undefined;
    });
  }

  #bound(app: FastifyInstance): void {
    const reserved = new WeakMap<FastifyRequest, () => void>();
    app.addHook("onRequest", async (request, reply) => {
      const bytes = announcedBytes(request);
      const held = this.#held[request.routeOptions.config.access ?? "anybody"];
      if (held.bytes + bytes > held.maxBytes) {
        reply.header("connection", "close");
        throw refuse("BUSY", "Too many requests are being received.");
      }
      held.bytes += bytes;
      const giveBack = () => {
        held.bytes -= bytes;
        reserved.delete(request);
      };
      reserved.set(request, giveBack);
      // Once, however the exchange ends: also when the client is gone before its answer.
      reply.raw.once("close", () => reserved.get(request)?.());
    });
  }
}

/** What the body may take; the route's own bound where its length is not told. */
function announcedBytes(request: FastifyRequest): number {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  const limit = request.routeOptions.bodyLimit ?? 0;
  if (length === undefined) return encoding === undefined ? 0 : limit;
  return Math.min(Number(length) || 0, limit);
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
