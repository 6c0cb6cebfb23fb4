// Which comparisons a search of a whole gallery makes: those with the templates whose vectors are nearest. Pure.
// The gallery is taken as one segment with an index that misses nothing.
//
// A search compares line maps with so many templates only (matcher/index/search-members.ts). A mated template that is
// not among them is missed, whatever its line map would have said: identification is counted with what was compared.

import { comparedTemplates } from "../matcher/index/search-members.js";
import { COMPARED_MEMBERS } from "../matcher/segment.js";
import { dot, type ModelInfo, type Signature } from "../palm/index.js";
import type { SimilarityOwners } from "./rates.js";

/** One of the crowd that is enrolled besides. */
export interface CrowdMember {
  /** Dot product of its vector with the probe's. */
  nearness: number;
  /** As compared. */
  similarity: number;
}

export interface TwoStages extends SimilarityOwners {
  /** Row-major [probe][template]: dot products of vectors, and similarities as compared. */
  nearness: Float32Array;
  similarities: Float32Array;
  /** By probe, the nearest of the crowd, as many as a search compares at least. */
  crowd?: readonly (readonly CrowdMember[])[];
}

/** All pairs, row-major [probe][template]. */
export function similaritiesOf<T>(
  probes: readonly T[],
  gallery: readonly T[],
  similarityOf: (probe: T, template: T) => number,
  onRow: () => void = () => {},
): Float32Array {
  const similarities = new Float32Array(gallery.length * probes.length);
  for (const [row, probe] of probes.entries()) {
    for (const [column, template] of gallery.entries()) {
      similarities[row * gallery.length + column] = similarityOf(probe, template);
    }
    onRow();
  }
  return similarities;
}

/** How near vectors are, of all pairs: what the first stage goes by. */
export const nearnessOf = (probes: readonly Signature[], gallery: readonly Signature[]): Float32Array =>
  similaritiesOf(probes, gallery, (probe, template) => dot(probe.vector, template.vector));

/**
 * Templates that a search compares in this gallery: as a gateway asks, of a palm with most templates; all of them where
 * the model makes no line maps.
 */
export function searchDepth(
  { lineMaps }: Pick<ModelInfo, "lineMaps">,
  { galleryPalms }: Pick<SimilarityOwners, "galleryPalms">,
): number {
  if (!lineMaps) return Number.POSITIVE_INFINITY;
  const templates = new Map<number, number>();
  for (const palm of galleryPalms) templates.set(palm, (templates.get(palm) ?? 0) + 1);
  return comparedTemplates(COMPARED_MEMBERS, Math.max(...templates.values()));
}

/** What is not compared is not alike at all. */
const NOT_COMPARED = -1;

/**
 * A probe searches twice: for its own palm in the whole gallery, and as a stranger in a gallery without it.
 * @param depth templates that a search compares
 * @returns `searched`: similarities of what the searches compare, NOT_COMPARED elsewhere; `strangers`: by probe, that of
 * the most alike of the crowd
 */
export function searchedOf(
  { probePalms, galleryPalms, nearness, similarities, crowd }: TwoStages,
  depth: number,
): { searched: Float32Array; strangers?: Float32Array } {
  const columns = galleryPalms.length;
  const searched = new Float32Array(similarities.length).fill(NOT_COMPARED);
  const strangers = new Float32Array(probePalms.length).fill(NOT_COMPARED);
  for (const [probe, palm] of probePalms.entries()) {
    const row = nearness.subarray(probe * columns, (probe + 1) * columns);
    const near = crowd?.[probe] ?? [];
    const ofCrowd = near.map((member) => member.nearness);
    const ofOthers = row.filter((_, template) => galleryPalms[template] !== palm);
    const farthest = farthestOf(depth, row, ofCrowd);
    const farthestOther = farthestOf(depth, ofOthers, ofCrowd);
    for (const [template, owner] of galleryPalms.entries()) {
      const at = probe * columns + template;
      const isCompared = (nearness[at] as number) >= (owner === palm ? farthest : farthestOther);
      if (isCompared) searched[at] = similarities[at] as number;
    }
    for (const { nearness: its, similarity } of near)
      if (its >= farthestOther) strangers[probe] = Math.max(strangers[probe] as number, similarity);
  }
  return { searched, ...(crowd && { strangers }) };
}

/** Nearness of the last one that is compared. */
function farthestOf(depth: number, ...rows: ArrayLike<number>[]): number {
  const all = Float64Array.from(rows.flatMap((row) => Array.from(row))).sort();
  return all[all.length - depth] ?? Number.NEGATIVE_INFINITY;
}
