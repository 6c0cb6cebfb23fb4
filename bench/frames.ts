// Several frames of one presentation as one probe. Pure.
import type { SimilarityTable } from "./rates.js";

/**
 * Rows of one palm, in their order, taken `frames` at a time; a similarity is the best of its frames, as the gateway's
 * policy has it. Rows that are left over are left out.
 * @throws RangeError when no palm has so many probes
 */
export function fuseFrames(table: SimilarityTable, frames: number): SimilarityTable {
  const { palms, probePalms, galleryPalms, similarities, searched, strangers } = table;
  const groups = presentations(probePalms, frames);
  if (groups.length === 0) throw new RangeError(`no palm has ${frames} probes`);
  const columns = galleryPalms.length;
  return {
    palms,
    probePalms: groups.map((group) => probePalms[group[0] as number] as number),
    galleryPalms,
    similarities: best(similarities, columns, groups),
    ...(searched && { searched: best(searched, columns, groups) }),
    ...(strangers && { strangers: best(strangers, 1, groups) }),
  };
}

/** By group and column, the most of the group's rows. */
function best(values: Float32Array, columns: number, groups: readonly number[][]): Float32Array {
  const most = new Float32Array(groups.length * columns).fill(Number.NEGATIVE_INFINITY);
  for (const [to, group] of groups.entries()) {
    for (const from of group) {
      for (let column = 0; column < columns; column++) {
        const at = to * columns + column;
        most[at] = Math.max(most[at] as number, values[from * columns + column] as number);
      }
    }
  }
  return most;
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
