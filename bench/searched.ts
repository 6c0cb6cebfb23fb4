// Which comparisons a search makes: those with the templates that the index of the product lists as nearest.
// All templates are in one index, and it is the one that matchers use (matcher/index/engines.ts).
//
// A search compares line maps with so many templates only, then with all of the few best members
// (matcher/index/search-members.ts). A palm that is not among them is missed, whatever its line maps would have said:
// identification is counted with what was compared.
import { NEAREST } from "../identify/messages.js";
import { openTemplateIndex } from "../matcher/index/engines.js";
import type { TemplateIndex } from "../matcher/index/template-index.js";
import { COMPARED_MEMBERS } from "../matcher/segment.js";
import { type ModelInfo, type Signature, templateOf } from "../palm/index.js";
import type { SimilarityTable } from "./rates.js";

/** All pairs, row-major [probe][template]. */
export function similaritiesOf<T>(
  probes: readonly T[],
  gallery: readonly T[],
  rowOf: (probe: T, gallery: readonly T[]) => ArrayLike<number>,
  onRow: () => void = () => {},
): Float32Array {
  const similarities = new Float32Array(gallery.length * probes.length);
  for (const [row, probe] of probes.entries()) {
    similarities.set(rowOf(probe, gallery), row * gallery.length);
    onRow();
  }
  return similarities;
}

/** The index of the product with the gallery in it: a template's label is its place in the gallery. */
export function indexOf(model: ModelInfo, gallery: readonly Signature[]): TemplateIndex {
  const index = openTemplateIndex("codes", model);
  for (const [label, signature] of gallery.entries()) index.add(label, templateOf(signature));
  return index;
}

export interface Searched {
  /** Similarities of what the searches compare, NOT_COMPARED elsewhere. */
  searched: Float32Array;
  /** By probe, the similarity of the most alike of those who are in the index and not in the gallery. */
  strangers: Float32Array;
  /** Share of probes with a template of their own palm among those compared. */
  listed: number;
}

/** What is not compared is not alike at all. */
const NOT_COMPARED = -1;

/**
 * A probe searches twice: for its own palm among all, and as a stranger without it. The second search is read off the same
 * list, asked for so much longer.
 * @param index with the gallery, and perhaps a crowd under labels beyond it
 * @param depth templates that a search compares
 */
export function searchedOf(
  { probePalms, galleryPalms, similarities }: SimilarityTable,
  probes: readonly Signature[],
  index: TemplateIndex,
  onProbe: () => void = () => {},
  depth = NEAREST,
): Searched {
  const columns = galleryPalms.length;
  const searched = new Float32Array(similarities.length).fill(NOT_COMPARED);
  const strangers = new Float32Array(probePalms.length).fill(NOT_COMPARED);
  let listed = 0;
  for (const [at, probe] of probes.entries()) {
    const palm = probePalms[at];
    const isOwn = (label: number) => galleryPalms[label] === palm;
    const own = galleryPalms.filter((owner) => owner === palm).length;
    const near = index.shortlist(probe, depth + own).map(({ label }) => label);
    const mated = near.slice(0, depth).filter(isOwn);
    const others = near.filter((label) => !isOwn(label)).slice(0, depth);
    const crowd = others.filter((label) => label >= columns);
    const ofCrowd = index.compare(probe, crowd);
    strangers[at] = Math.max(NOT_COMPARED, ...ofCrowd);
    const row = similarities.subarray(at * columns, (at + 1) * columns);
    const withOwn = near.slice(0, depth).filter((label) => label < columns);
    const withoutOwn = others.filter((label) => label < columns);
    const compared = [
      ...bestWhole(withOwn, ofCrowd, row, galleryPalms).filter(isOwn),
      ...bestWhole(withoutOwn, ofCrowd, row, galleryPalms),
    ];
    for (const label of [...mated, ...withoutOwn, ...compared]) {
      searched[at * columns + label] = row[label] as number;
    }
    if (mated.length > 0) listed++;
    onProbe();
  }
  return { searched, strangers, listed: listed / probes.length };
}

/**
 * All templates of the best palms, as many as a matcher answers; whom of the crowd is more alike takes a place.
 * @param labels of the gallery that were compared
 */
function bestWhole(
  labels: readonly number[],
  ofCrowd: Float32Array,
  row: Float32Array,
  galleryPalms: readonly number[],
): number[] {
  const best = new Map<number, number>();
  for (const label of labels) {
    const palm = galleryPalms[label] as number;
    best.set(palm, Math.max(best.get(palm) ?? NOT_COMPARED, row[label] as number));
  }
  const rank = (similarity: number) =>
    [...best.values(), ...ofCrowd].filter((other) => other > similarity).length;
  const whole = new Set(
    [...best].filter(([, similarity]) => rank(similarity) < COMPARED_MEMBERS).map(([palm]) => palm),
  );
  return galleryPalms.flatMap((palm, label) => (whole.has(palm) ? [label] : []));
}
