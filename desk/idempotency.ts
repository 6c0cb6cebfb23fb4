// What makes asking twice the same as asking once: the Idempotency-Key of a request, and what it was asked with.
//
// Invariants (test/desk/enrolment.test.ts):
// - one key of one organisation is one request, at whichever desk; without a key each request is one of its own;
// - what was asked is compared by a MAC under a key of the organisation: nothing of a body can be told from it.
import { createHash, createHmac, randomUUID } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Keyring } from "../wire/keyring.js";

const ID_HEX_CHARS = 32;

export const idempotencyHeaders = z.object({
  "idempotency-key": z
    .string()
    .min(1)
    .max(255)
    .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces")
    .optional()
    .meta({ description: "Your own name for this request: asked again with it, it is the same request" }),
});

/** The key that was sent, or a new one, which the answer tells. */
export function keyOf(
  headers: z.output<typeof idempotencyHeaders>,
  reply: Pick<FastifyReply, "header">,
): string {
  const key = headers["idempotency-key"] ?? randomUUID();
  reply.header("idempotency-key", key);
  return key;
}

/** @param attempt later ones follow one that was refused for a passing reason */
export function requestId(organisation: string, key: string, attempt = 0): string {
  const text = attempt === 0 ? `${organisation}|${key}` : `${organisation}|${key}|${attempt}`;
  return createHash("sha256").update(text).digest("hex").slice(0, ID_HEX_CHARS);
}

/** @param what the kind of request, so that one body sent to two addresses is not one request */
export function macOfBody(
  keyring: Pick<Keyring, "busKey">,
  organisation: string,
  what: string,
  request: Pick<FastifyRequest, "bodyBytes">,
): Uint8Array {
  const mac = createHmac("sha256", keyring.busKey("requests", organisation));
  return mac
    .update(`${what}\0`)
    .update(request.bodyBytes ?? new Uint8Array())
    .digest();
}
