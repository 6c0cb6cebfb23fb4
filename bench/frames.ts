// Several frames of one presentation as one probe. Pure.
import type { SimilarityTable } from "./rates.js";

/**
 * Rows of one palm, in their order, taken `frames` at a time; a similarity is the best of its frames, as the gateway's
 * policy has it. Rows that are left over are left out.
 * @throws RangeError when no palm has so many probes
 */
export function fuseFrames(table: SimilarityTable, frames: number): SimilarityTable {
  const { palms, probePalms, galleryPalms, similarities, strangers } = table;
  const columns = galleryPalms.length;
  const groups = presentations(probePalms, frames);
  if (groups.length === 0) throw new RangeError(`no palm has ${frames} probes`);
  const fused = new Float32Array(groups.length * columns).fill(Number.NEGATIVE_INFINITY);
  for (const [row, group] of groups.entries()) {
    for (const probe of group) {
      for (let column = 0; column < columns; column++) {
        const at = row * columns + column;
        fused[at] = Math.max(fused[at] as number, similarities[probe * columns + column] as number);
      }
    }
  }
  return {
    palms,
    probePalms: groups.map((group) => probePalms[group[0] as number] as number),
    galleryPalms,
    similarities: fused,
    ...(strangers && {
      strangers: Float32Array.from(groups, (group) =>
        Math.max(...group.map((probe) => strangers[probe] as number)),
      ),
    }),
  };
}

/** Row numbers, `frames` of one palm each. */
function presentations(probePalms: readonly number[], frames: number): number[][] {
  const open = new Map<number, number[]>();
  const whole: number[][] = [];
  for (const [probe, palm] of probePalms.entries()) {
    const group = [...(open.get(palm) ?? []), probe];
    if (group.length === frames) whole.push(group);
    open.set(palm, group.length === frames ? [] : group);
  }
  return whole;
}
