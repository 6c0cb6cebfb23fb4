// What this desk adds to Fastify's types, and the type of the server that routes are registered with.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, RawServerBase } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may ask: whoever has the operator token, or everybody. */
    access?: "operator" | "anybody";
    /** Fields of the body that hold random letters and digits, kept nowhere: they are not looked through for card numbers. */
    random?: readonly string[];
  }
  interface FastifyRequest {
    /** The body as it came; zeroed when its handler has answered. */
    bodyBytes: Buffer | undefined;
  }
}

export type App = FastifyInstance<
  RawServerBase,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;
