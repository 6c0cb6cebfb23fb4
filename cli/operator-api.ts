// A client of the gateway's operator API, for commands, demo and tests.
import { z } from "zod";
import { bus, encode } from "../wire/codec.js";
import type { Settings } from "../wire/config.js";

/** Where the gateway is, and who asks: of every command that asks it. */
export const OPERATOR_SETTINGS = {
  gateway: {
    option: "gateway",
    help: "address of the gateway",
    schema: z.url({ protocol: /^https?$/ }).default("http://127.0.0.1:8080"),
    value: "URL",
  },
  operatorToken: {
    option: "operator-token",
    help: "the gateway's operator token",
    schema: z.string({ error: "is needed" }).min(1),
    value: "TOKEN",
  },
} satisfies Settings;

export interface OperatorApi {
  enrol(request: bus.EnrolRequest.$Properties): Promise<ApiAnswer<Enrolment>>;
  get<T>(path: string): Promise<ApiAnswer<T>>;
  erase(memberId: string): Promise<ApiAnswer<unknown>>;
  issuePass(order: PassOrder): Promise<ApiAnswer<IssuedPass>>;
  /** A device that was paired with a pass. */
  revoke(deviceId: string): Promise<ApiAnswer<unknown>>;
}

/** The body of POST /api/passes. */
export type PassOrder = { site: string; gallery: string; validMinutes?: number; uses?: number } & (
  | { kind: "LANE"; purpose: "ENTRY" | "PAY" }
  | { kind: "ENROL"; consents: ("ENTRY" | "PAY")[] }
);

/** What it answers. */
export interface IssuedPass {
  /** In groups, as people read it. */
  code: string;
  /** Without a host, where the gateway does not know its own. */
  url: string;
  expiresAtUnixMs: number;
  uses: number;
}

/** @param gateway where we reach it */
export const passLink = ({ url }: IssuedPass, gateway: string): string => new URL(url, gateway).href;

/** What POST /api/members answers. */
export interface Enrolment {
  memberId: string;
  gallery: string;
  partition: number;
  templates: number;
  /** Site name -> the member's pseudonym there. */
  pairwiseIds: Record<string, string>;
}

export type ApiAnswer<T> =
  | { ok: true; status: number; body: T }
  /** `status` 0, NO_ANSWER: there was none. */
  | { ok: false; status: number; code: string; message: string; next: string };

/** Longer than the gateway takes for anything it is asked. */
const REQUEST_DEADLINE_MS = 60_000;

/** fetch() says "fetch failed" and keeps the reason one level down. */
function whyOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

const contentTypeOf = (body: Uint8Array | string): string =>
  typeof body === "string" ? "application/json" : "application/x-protobuf";

/** @param url e.g. http://127.0.0.1:8080 */
export function operatorApi(url: string, token: string): OperatorApi {
  async function call<T>(
    method: string,
    path: string,
    body?: Uint8Array<ArrayBuffer> | string,
  ): Promise<ApiAnswer<T>> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(new URL(path, url), {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body ? { "content-type": contentTypeOf(body) } : {}),
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
        message: `${new URL(url).origin} did not answer: ${whyOf(error)}.`,
        next: "Check the address and that the gateway runs.",
      };
    }
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
        next: "Is this a Palmgate gateway?",
      };
    }
    // An error body carries a code; 202 (erasure under way) is one of them.
    if (response.ok && status !== 202) return { ok: true, status, body: answer as T };
    const { code = "UNKNOWN", message = "", next = "" } = answer as Record<string, string>;
    return { ok: false, status, code, message, next };
  }
  return {
    enrol: (request) => call("POST", "/api/members", Uint8Array.from(encode(bus.EnrolRequest, request))),
    get: (path) => call("GET", path),
    erase: (memberId) => call("DELETE", `/api/members/${memberId}`),
    issuePass: (order) => call("POST", "/api/passes", JSON.stringify(order)),
    revoke: (deviceId) => call("DELETE", `/api/devices/${deviceId}`),
  };
}
