// What a handler of the operator API answers: a body, or a code of the catalogue (wire/errors.ts) with a sentence.
import { API_ERRORS, type ApiCode } from "../../wire/errors.js";

export type Answer = Done | Refused;

export interface Done {
  ok: true;
  status: number;
  body: object;
}

export interface Refused {
  ok: false;
  code: ApiCode;
  /** What happened, for the operator's eyes; never echoes what was sent. */
  message: string;
}

export const done = (body: object, status = 200): Done => ({ ok: true, status, body });
export const refuse = (code: ApiCode, message: string): Refused => ({ ok: false, code, message });

/** By status. */
const RETRY_AFTER_SECONDS: Record<number, number> = { 429: 60, 503: 1 };

export interface WireAnswer {
  status: number;
  headers: readonly (readonly [string, string])[];
  body: string;
}

const REASON_PHRASES: Record<number, string> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
  507: "Insufficient Storage",
};

export const statusLine = (status: number): string => `${status} ${REASON_PHRASES[status] ?? ""}`.trim();

/** The answer as it goes over the wire. */
export function onWire(answer: Answer): WireAnswer {
  const headers: [string, string][] = [
    ["content-type", "application/json; charset=utf-8"],
    ["cache-control", "no-store"],
    ["x-content-type-options", "nosniff"],
  ];
  if (answer.ok) return { status: answer.status, headers, body: JSON.stringify(answer.body) };
  const { status, next } = API_ERRORS[answer.code];
  const retryAfterSeconds = RETRY_AFTER_SECONDS[status];
  if (retryAfterSeconds !== undefined) headers.push(["retry-after", String(retryAfterSeconds)]);
  if (status === 401) headers.push(["www-authenticate", "Bearer"]);
  return { status, headers, body: JSON.stringify({ code: answer.code, message: answer.message, next }) };
}
