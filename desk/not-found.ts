// What is answered where nothing is: which methods an address takes, and a page for people.
import { readFileSync } from "node:fs";
import type { FastifyReply } from "fastify";
import { PAGE_POLICY } from "./pages/policy.js";

export interface KnownRoute {
  methods: readonly string[];
  /** As it was registered, e.g. "/api/v1/members/:id". */
  url: string;
}

const page = readFileSync(new URL("./pages/not-found.html", import.meta.url));

/** Methods that this path takes, in order; empty: there is no such address. */
export function allowedBy(routes: readonly KnownRoute[], path: string): string[] {
  const methods = routes.filter(({ url }) => fits(url, path)).flatMap((route) => route.methods);
  return methods.length === 0 ? [] : [...new Set([...methods, "OPTIONS"])].sort();
}

function fits(url: string, path: string): boolean {
  const wanted = url.split("/");
  const given = path.split("/");
  return (
    (wanted.length === given.length || wanted.at(-1) === "*") &&
    wanted.every(
      (part, at) =>
        part === "*" ||
        (part.startsWith(":") ? given[at] !== "" && given[at] !== undefined : part === given[at]),
    )
  );
}

export const notFoundPage = (reply: FastifyReply): FastifyReply =>
  reply.code(404).type("text/html; charset=utf-8").header("content-security-policy", PAGE_POLICY).send(page);
