// Who may ask for what: operators by their bearer token, others only what is open to them.
//
// Invariants (test/desk/http.test.ts):
// - no token, no body: an unauthorised request is answered before a byte of its body is kept;
// - tokens are compared in constant time, whatever is sent;
// - wrong tokens are bounded for each address, at all desks together; nobody else is kept out by them.
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import proxyAddress from "@fastify/proxy-addr";
import type { FastifyRequest } from "fastify";
import { refuse } from "./problem.js";
import { addressKey, type Throttle } from "./throttle.js";

export const WRONG_TOKENS = { maxWrong: 20, windowMs: 60_000 };

/** Compares in constant time, whatever is sent. */
export function tokenCheck(operatorToken: string): (authorization: string) => boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const wanted = digest(`Bearer ${operatorToken}`);
  return (authorization) => timingSafeEqual(digest(authorization), wanted);
}

/** Who asks, of a request that no route sees: as Fastify tells it of the others (`request.ip`). */
export function clientAddress(request: IncomingMessage, trustedProxies: readonly string[]): string {
  return proxyAddress(request, [...trustedProxies]) ?? "";
}

export interface Access {
  /** Whether this request brings the operator token. Counts nothing. */
  isOperator(request: FastifyRequest): boolean;
  /** @throws Refusal */
  demandOperator(request: FastifyRequest): void;
  /** For a token that came by another way than a header; @returns undefined when it may not be tried now */
  tokenHolds(address: string, token: string): boolean | undefined;
}

export function openAccess(operatorToken: string, throttle: Throttle): Access {
  const check = tokenCheck(operatorToken);
  const tried = (ip: string, authorization: string): boolean | undefined => {
    const address = addressKey(ip);
    if (!throttle.enter(address)) return undefined;
    const holds = check(authorization);
    // Nothing was tried where nothing was sent.
    throttle.leave(address, !holds && authorization !== "");
    return holds;
  };
  return {
    isOperator: (request) => check(request.headers.authorization ?? ""),
    demandOperator: (request) => {
      const holds = tried(request.ip, request.headers.authorization ?? "");
      if (holds === undefined)
        throw refuse("TOO_MANY_TRIES", "Too many wrong operator tokens came from this address.");
      if (!holds) throw refuse("UNAUTHORISED", "The operator token is missing or wrong.");
    },
    tokenHolds: (ip, token) => tried(ip, token === "" ? "" : `Bearer ${token}`),
  };
}
