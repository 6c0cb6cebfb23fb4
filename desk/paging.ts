// Lists come in pages: so many entries, and a cursor that begins the next page. Pure.
import { z } from "zod";
import { refuse } from "./problem.js";

const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;
const MAX_CURSOR_CHARS = 256;

export const limitField = z.coerce
  .number()
  .int()
  .min(1)
  .max(MAX_PAGE)
  .default(DEFAULT_PAGE)
  .meta({ description: "Entries of a page" });

export const pageQuery = z.object({
  limit: limitField,
  cursor: z
    .string()
    .max(MAX_CURSOR_CHARS)
    .optional()
    .meta({ description: "`nextCursor` of the page before; left out: the first page" }),
});

export const nextCursorField = z
  .string()
  .nullable()
  .meta({ description: "Begins the next page; null on the last one" });

export interface Page<T> {
  entries: T[];
  nextCursor: string | null;
}

const toCursor = (key: string): string => Buffer.from(key, "utf8").toString("base64url");

/**
 * One page of what is in memory, in the order of its keys. What came or went meanwhile moves no other entry.
 * @throws Refusal for a cursor that is none
 */
export function pageOf<T>(
  all: readonly T[],
  keyOf: (entry: T) => string,
  { limit, cursor }: z.output<typeof pageQuery>,
): Page<T> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const left = all
    .filter((entry) => after === undefined || keyOf(entry) > after)
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const entries = left.slice(0, limit);
  const last = entries.at(-1);
  return { entries, nextCursor: left.length > limit && last !== undefined ? toCursor(keyOf(last)) : null };
}

function readCursor(cursor: string): string {
  const key = Buffer.from(cursor, "base64url").toString("utf8");
  if (key === "" || toCursor(key) !== cursor)
    throw refuse("BAD_REQUEST", "cursor must be the nextCursor of a page.");
  return key;
}
