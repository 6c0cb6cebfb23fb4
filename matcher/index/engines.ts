// The engines an operator can choose from.
import { openCodeIndex } from "./code-index.js";
import { openExactIndex } from "./exact-index.js";
import { openHnswIndex } from "./hnsw-index.js";
import { openLineShelf } from "./line-shelf.js";
import type { SignatureIndex } from "./signature-index.js";
import type { TemplateIndex } from "./template-index.js";
import { openVectorIndex } from "./vector-index.js";

/** Those that go by vectors. */
export const VECTOR_ENGINES = ["hnsw", "exact"] as const;
export const ENGINES = ["codes", ...VECTOR_ENGINES] as const;
export type Engine = (typeof ENGINES)[number];

export interface SignatureKind {
  /** Numbers in the vector. */
  dimension: number;
  /** There are line maps, and codes. */
  lineMaps: boolean;
}

export function openIndex(engine: (typeof VECTOR_ENGINES)[number], dimension: number): SignatureIndex {
  return engine === "exact" ? openExactIndex(dimension) : openHnswIndex(dimension);
}

/**
 * Of a model without codes, `codes` compares every vector.
 * @param parts indexes that a search of the gallery asks, each for itself
 */
export function openTemplateIndex(
  engine: Engine,
  { dimension, lineMaps }: SignatureKind,
  parts = 1,
): TemplateIndex {
  if (engine === "codes" && lineMaps) return openCodeIndex(parts);
  const index = openIndex(engine === "codes" ? "exact" : engine, dimension);
  return openVectorIndex(index, lineMaps ? openLineShelf() : undefined);
}
