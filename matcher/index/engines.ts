// The engines an operator can choose from.
import { openExactIndex } from "./exact-index.js";
import { openHnswIndex } from "./hnsw-index.js";
import type { SignatureIndex } from "./signature-index.js";

export const ENGINES = ["hnsw", "exact"] as const;
export type Engine = (typeof ENGINES)[number];

export function openIndex(engine: Engine, dimension: number): SignatureIndex {
  return engine === "exact" ? openExactIndex(dimension) : openHnswIndex(dimension);
}
