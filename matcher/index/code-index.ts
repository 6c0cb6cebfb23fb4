// The engine that misses nearly nobody: codes of every template are compared, in two steps, and line maps of the nearest.
//
// Exact search over compact codes (palm/codes): near words of all templates first, a fifth of a kilobyte each; then far
// words of the nearest of these. What is lost is lost by codes, never by a graph that was not walked far enough.
//
// Invariants (beside those of template-index.ts):
// - the same templates and probe give the same list, whatever the order in which they came and went;
// - several indexes searched together give the list of one that has all their templates.
import { BLOCK_ROWS, type CodeComparer, withProbe } from "../../palm/codes/compare.js";
import { compareFrames } from "../../palm/lines/frames.js";
import type { Signature } from "../../palm/signature.js";
import { type CodeRows, NO_LABEL, openCodeRows } from "./code-rows.js";
import { openLineShelf } from "./line-shelf.js";
import { type Near, SCALES, type TemplateIndex } from "./template-index.js";

/** Templates of a gallery whose far words are compared: so many, or a share of all where that is more. */
export const FAR_TEMPLATES = 512;
const FAR_SHARE = 0.04;
/** The least of one part of a gallery: among fewer templates the right palm is nearer. */
const FAR_TEMPLATES_OF_PART = 64;
/** Near distances are below this: three times 512 spectrum bits, and 256 signs. */
const MAX_DISTANCE = 4096;

export interface CodeIndex extends TemplateIndex {
  readonly rows: CodeRows;
  /** The bytes it holds, by block: for tests that look at every one of them. */
  bytes(): Uint8Array[];
}

/** @param parts indexes that a search of the gallery asks, each for itself */
export function openCodeIndex(parts = 1): CodeIndex {
  const rows = openCodeRows();
  const shelf = openLineShelf();
  return {
    scale: SCALES.codes,
    hasLines: true,
    rows,
    get size() {
      return rows.size;
    },
    add(label, { lines, codes }) {
      rows.add(label, codes);
      try {
        shelf.add(label, lines);
      } catch (error) {
        rows.erase(label);
        throw error;
      }
    },
    erase(label) {
      shelf.erase(label);
      return rows.erase(label);
    },
    shortlist: (probe, k) =>
      listed([rows], probe, k, parts).map(({ label, distance }) => ({ label, distance })),
    compare: (probe, labels) =>
      compareFrames(
        probe.lines,
        labels.map((label) => shelf.mapOf(label)),
      ),
    bytes: () => [...rows.bytes(), ...shelf.bytes()],
  };
}

export interface NearIn extends Near {
  /** Which of the indexes has it. */
  index: number;
}

/**
 * The nearest of several indexes as if they were one: near words of all first, then far words of the nearest of all.
 * @param parts such calls that a search of the gallery makes, each for its own indexes
 */
export function shortlistTogether(
  indexes: readonly CodeIndex[],
  probe: Signature,
  k: number,
  parts = 1,
): NearIn[] {
  const all = indexes.map(({ rows }) => rows);
  return listed(all, probe, k, parts);
}

function listed(indexes: readonly CodeRows[], probe: Signature, k: number, parts: number): NearIn[] {
  const size = indexes.reduce((sum, rows) => sum + rows.size, 0);
  const wanted = Math.min(k, size);
  if (wanted <= 0) return [];
  const least = Math.max(FAR_TEMPLATES_OF_PART, Math.ceil(FAR_TEMPLATES / parts));
  const surviving = Math.max(wanted, least, Math.ceil(FAR_SHARE * size));
  return withProbe(probe.codes, (comparer) => {
    const distances = indexes.map((rows) => nearDistances(comparer, rows));
    const farthest = cutOff(distances, surviving);
    return distances
      .flatMap((near, index) => farDistances(comparer, indexes[index] as CodeRows, index, near, farthest))
      .sort(byDistance)
      .slice(0, wanted);
  });
}

/** By row; MAX_DISTANCE where nobody is. */
function nearDistances(comparer: CodeComparer, rows: CodeRows): Uint16Array {
  const distances = new Uint16Array(rows.used);
  for (let first = 0; first < rows.used; first += BLOCK_ROWS) {
    const found = comparer.near(rows.nearFrom(first));
    for (let i = 0; i < found.length; i++) {
      const isNobody = rows.labelAt(first + i) === NO_LABEL;
      distances[first + i] = isNobody ? MAX_DISTANCE : (found[i] as number);
    }
  }
  return distances;
}

/** The distance of the `wanted`-th nearest. Those that equal it are near too: the order of rows never shows. */
function cutOff(distances: readonly Uint16Array[], wanted: number): number {
  const counts = new Uint32Array(MAX_DISTANCE + 1);
  for (const each of distances) {
    for (let row = 0; row < each.length; row++) {
      const distance = each[row] as number;
      counts[distance] = (counts[distance] as number) + 1;
    }
  }
  let farthest = 0;
  for (let reached = counts[0] as number; reached < wanted && farthest < MAX_DISTANCE - 1; ) {
    reached += counts[++farthest] as number;
  }
  return farthest;
}

/** Of the rows that are not farther by their near words. */
function farDistances(
  comparer: CodeComparer,
  rows: CodeRows,
  index: number,
  distances: Uint16Array,
  farthest: number,
): NearIn[] {
  const found: NearIn[] = [];
  for (let row = 0; row < distances.length; row++) {
    if ((distances[row] as number) > farthest) continue;
    const { near, far } = rows.at(row);
    found.push({ index, label: rows.labelAt(row), distance: comparer.far(near, far) });
  }
  return found;
}

const byDistance = (a: NearIn, b: NearIn): number =>
  a.distance - b.distance || a.index - b.index || a.label - b.label;
