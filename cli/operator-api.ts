// A client of the desk's API, for commands, demo, drills and tests.
import { z } from "zod";
import { bus, encode } from "../wire/codec.js";
import type { Settings } from "../wire/config.js";

/** Where the desk is, who asks, and about whose members: of every command that asks it. */
export const OPERATOR_SETTINGS = {
  desk: {
    option: "desk",
    help: "address of the desk",
    schema: z.url({ protocol: /^https?$/ }).default("http://127.0.0.1:8080"),
    value: "URL",
  },
  operatorToken: {
    option: "operator-token",
    help: "the desk's operator token",
    schema: z.string({ error: "is needed" }).min(1),
    value: "TOKEN",
  },
  organisation: {
    option: "organisation",
    help: "whose; needed where there are several",
    schema: z.string().min(1).optional(),
    value: "NAME",
  },
} satisfies Settings;

export interface OperatorApi {
  /** @property idempotencyKey asked again with the same one, it is the same enrolment */
  enrol(
    request: bus.EnrolRequest.$Properties,
    options?: { idempotencyKey?: string },
  ): Promise<ApiAnswer<Enrolment>>;
  get<T>(path: string): Promise<ApiAnswer<T>>;
  post<T>(path: string): Promise<ApiAnswer<T>>;
  remove<T>(path: string): Promise<ApiAnswer<T>>;
  erase(memberId: string): Promise<ApiAnswer<unknown>>;
  issuePass(order: PassOrder): Promise<ApiAnswer<IssuedPass>>;
  /** A device: from here on it is nobody. */
  revoke(deviceId: string): Promise<ApiAnswer<unknown>>;
}

/** The body of POST /api/v1/passes. */
export type PassOrder = { site: string; gallery: string; validMinutes?: number; uses?: number } & (
  | { kind: "LANE"; purpose: "ENTRY" | "PAY" }
  | { kind: "ENROL"; consents: ("ENTRY" | "PAY")[] }
);

/** What it answers. */
export interface IssuedPass {
  /** In groups, as people read it. */
  code: string;
  /** Without a host, where the desk does not know its own. */
  url: string;
  expiresAtUnixMs: number;
  uses: number;
}

/** @param desk where we reach it */
export const passLink = ({ url }: IssuedPass, desk: string): string => new URL(url, desk).href;

/** What POST /api/v1/members answers. */
export interface Enrolment {
  memberId: string;
  gallery: string;
  templates: number;
  /** Site name -> the member's pseudonym there. */
  pairwiseIds: Record<string, string>;
}

export type ApiAnswer<T> =
  | { ok: true; status: number; body: T }
  /** `status` 0, NO_ANSWER: there was none. */
  | { ok: false; status: number; code: string; message: string; next: string };

/** Longer than a desk takes for anything it is asked. */
const REQUEST_DEADLINE_MS = 60_000;

/** fetch() says "fetch failed" and keeps the reason one level down. */
function whyOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

const contentTypeOf = (body: Uint8Array | string): string =>
  typeof body === "string" ? "application/json" : "application/x-protobuf";

interface Question {
  method: string;
  path: string;
  body?: Uint8Array<ArrayBuffer> | string;
  idempotencyKey?: string | undefined;
}

/**
 * @param url e.g. http://127.0.0.1:8080
 * @param organisation whose; needed where the fleet has several
 */
export function operatorApi(url: string, token: string, organisation?: string): OperatorApi {
  const call = <T>(question: Question): Promise<ApiAnswer<T>> => {
    const address = new URL(question.path, url);
    if (organisation !== undefined) address.searchParams.set("organisation", organisation);
    return ask(address, token, question);
  };
  return {
    enrol: (request, { idempotencyKey } = {}) =>
      call({
        method: "POST",
        path: "/api/v1/members",
        body: Uint8Array.from(encode(bus.EnrolRequest, request)),
        idempotencyKey,
      }),
    get: (path) => call({ method: "GET", path }),
    post: (path) => call({ method: "POST", path }),
    remove: (path) => call({ method: "DELETE", path }),
    erase: (memberId) => call({ method: "DELETE", path: `/api/v1/members/${memberId}` }),
    issuePass: (order) => call({ method: "POST", path: "/api/v1/passes", body: JSON.stringify(order) }),
    revoke: (deviceId) => call({ method: "DELETE", path: `/api/v1/devices/${deviceId}` }),
  };
}

async function ask<T>(
  address: URL,
  token: string,
  { method, body, idempotencyKey }: Question,
): Promise<ApiAnswer<T>> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body ? { "content-type": contentTypeOf(body) } : {}),
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
      },
      ...(body ? { body } : {}),
      signal: AbortSignal.timeout(REQUEST_DEADLINE_MS),
    });
    text = await response.text();
  } catch (error) {
    return {
      ok: false,
      status: 0,
      code: "NO_ANSWER",
      message: `${address.origin} did not answer: ${whyOf(error)}.`,
      next: "Check the address and that the desk runs.",
    };
  }
  return answerIn(response, text);
}

function answerIn<T>(response: Response, text: string): ApiAnswer<T> {
  const { status } = response;
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return {
      ok: false,
      status,
      code: "NOT_JSON",
      message: text.slice(0, 200),
      next: "Is this a Palmgate desk?",
    };
  }
  // What is refused, and what goes on by itself (202), carries a code.
  if (response.ok && status !== 202) return { ok: true, status, body: answer as T };
  const { code = "UNKNOWN", detail = "", next = "" } = answer as Record<string, string>;
  return { ok: false, status, code, message: detail, next };
}
