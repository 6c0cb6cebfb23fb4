// What the API answers when it refuses: problem details (RFC 9457) from the one catalogue of errors (wire/errors.ts).
//
// Invariant (test/desk/http.test.ts): every refusal is one of the catalogue, as application/problem+json, and never
// quotes what was sent.
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { API_ERRORS, type ApiCode } from "../wire/errors.js";

export const PROBLEM_TYPE = "application/problem+json";
const TYPE_PREFIX = "urn:palmgate:problem:";
/** By status, where waiting helps. */
const RETRY_AFTER_SECONDS: Record<number, number> = { 429: 60, 503: 1 };

const codes = Object.keys(API_ERRORS) as [ApiCode, ...ApiCode[]];

export const problemSchema = z
  .object({
    type: z.string().meta({ description: "URN of the code" }),
    title: z.string().meta({ description: "The code in words" }),
    status: z.int().meta({ description: "HTTP status" }),
    code: z.enum(codes).meta({ description: "Of the catalogue; programs look at this" }),
    detail: z.string().meta({ description: "What happened, for people" }),
    next: z.string().meta({ description: "What to do next" }),
    fields: z
      .array(z.object({ field: z.string(), problem: z.string() }))
      .optional()
      .meta({ description: "BAD_REQUEST: which parts of the request are wrong" }),
  })
  .meta({ id: "Problem", description: "RFC 9457 problem details" });

export type Problem = z.infer<typeof problemSchema>;

/** A handler stops by throwing one: it is an answer, not a bug. */
export class Refusal extends Error {
  readonly code: ApiCode;
  readonly fields: Problem["fields"];

  /** @param detail what happened, for people; never echoes what was sent */
  constructor(code: ApiCode, detail: string, fields?: Problem["fields"]) {
    super(detail);
    this.code = code;
    this.fields = fields;
  }
}

export const refuse = (code: ApiCode, detail: string): Refusal => new Refusal(code, detail);

export function problemOf({ code, message, fields }: Refusal): Problem {
  const { status, next } = API_ERRORS[code];
  const words = code.toLowerCase().replaceAll("_", " ");
  return {
    type: `${TYPE_PREFIX}${code.toLowerCase().replaceAll("_", "-")}`,
    title: `${words.slice(0, 1).toUpperCase()}${words.slice(1)}`,
    status,
    code,
    detail: message,
    next,
    ...(fields ? { fields } : {}),
  };
}

/** Headers that go with a refusal. */
export function headersOf({ code }: Refusal): Record<string, string> {
  const { status } = API_ERRORS[code];
  const retryAfterSeconds = RETRY_AFTER_SECONDS[status];
  return {
    "content-type": `${PROBLEM_TYPE}; charset=utf-8`,
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
    ...(status === 401 ? { "www-authenticate": 'Bearer realm="palmgate"' } : {}),
  };
}

/** Answers with the problem. Written here, whole: what a route promises of its answers does not come in between. */
export function sendProblem(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const problem = problemOf(refusal);
  return reply
    .code(problem.status)
    .headers(headersOf(refusal))
    .serializer((value: unknown) => JSON.stringify(value))
    .send(problem);
}
