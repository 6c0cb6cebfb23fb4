// Error rates from a table of similarities, intervals are in rate-intervals.ts. Pure.
//
// Verification (ISO/IEC 19795-1): every probe against every template. FAR(t) is the share of non-mated comparisons at or
// above t, TAR(t) that of mated ones, FRR = 1 - TAR. EER: where FAR and FRR cross, on straight lines between the
// thresholds that occur. TAR at a FAR: at the lowest threshold whose FAR is not above it; counted only where there are
// 3 / FAR non-mated comparisons (rule of three), else null. Comparisons are sorted once; each walk goes down from the top
// only as far as the largest FAR and the crossing need.
// Identification: every probe searches the whole gallery, which may compare only the nearest templates (searched.ts); a
// palm's similarity is that of its best template. FNIR at FPIR (open set): the same probes serve twice. With its own palm
// left out of the gallery, a probe is a stranger, and a false positive when its best similarity reaches the threshold. With
// it, a probe is missed when its own palm stays below the threshold, at whatever rank. The threshold is the lowest at which
// not more than FPIR of the strangers are false positives: with fewer than 1 / FPIR probes it lies above all of them.
// Rank-1: share of probes whose own palm is strictly more similar than any stranger that the search without it compares.
//
// Invariant: the same table gives the same rates and intervals (seeded).

/** Who is compared with whom. */
export interface SimilarityOwners {
  /** Identities, numbered from 0; two at least. */
  palms: number;
  /** Whose each probe is. */
  probePalms: readonly number[];
  /** Whose each template of the gallery is; every probe's palm has one. */
  galleryPalms: readonly number[];
}

/** Everything that was compared. */
export interface SimilarityTable extends SimilarityOwners {
  /** Row-major [probe][template], larger is more alike. */
  similarities: Float32Array;
  /** The same as a search of the gallery finds them (identification only), where it does not compare everything. */
  searched?: Float32Array;
  /** By probe: how alike the most alike palm is that is enrolled besides (identification only). */
  strangers?: Float32Array;
}

export const FARS = ["1e-2", "1e-3", "1e-4", "1e-5", "1e-6"] as const;
export const FPIR = "3e-3";
export type Far = (typeof FARS)[number];

/** Shares, 0..1; null where the pairs do not allow a count. */
export interface Rates {
  eer: number;
  tarAtFar: Record<Far, number | null>;
  rank1: number;
  /** The same where every template is compared; null where that was not done. */
  rank1Exhaustive: number | null;
  fnirAtFpir: Record<typeof FPIR, number>;
  fnirAtFpirExhaustive: Record<typeof FPIR, number | null>;
}

/** Rule of three: with n trials and no error, the rate is below 3 / n (95 %). */
export const RULE_OF_THREE = 3;

/**
 * Sorts once, then counts as often as asked.
 * @returns the rates when each palm counts as often as `drawn` says; two palms must be drawn at least
 */
export function openRates(table: SimilarityTable): (drawn: Float64Array) => Rates {
  const comparisons = sortComparisons(table);
  const searches = searchAll(table);
  const exhaustive = table.strangers ? undefined : searchAll({ ...table, searched: table.similarities });
  return (drawn) => {
    const everything = exhaustive && identification(exhaustive, drawn);
    return {
      ...verification(comparisons, drawn),
      ...identification(searches, drawn),
      rank1Exhaustive: everything?.rank1 ?? null,
      fnirAtFpirExhaustive: everything?.fnirAtFpir ?? { [FPIR]: null },
    };
  };
}

/** Mated and non-mated comparisons of a table. */
export function countPairs({ palms, probePalms, galleryPalms }: SimilarityOwners): {
  mated: number;
  nonMated: number;
} {
  const templates = perPalm(galleryPalms, palms);
  const mated = probePalms.reduce((sum, palm) => sum + (templates[palm] as number), 0);
  return { mated, nonMated: probePalms.length * galleryPalms.length - mated };
}

interface Comparisons {
  /** Falling. */
  similarities: Float32Array;
  /** Palm of the probe and of the template, of each. */
  probePalms: Uint32Array;
  galleryPalms: Uint32Array;
  /** By palm. */
  probes: Float64Array;
  templates: Float64Array;
  /** Those that the comparisons allow. */
  fars: readonly Far[];
}

function sortComparisons(table: SimilarityTable): Comparisons {
  const { palms, probePalms, galleryPalms, similarities } = table;
  const columns = galleryPalms.length;
  const order = Uint32Array.from(similarities.keys()).sort(
    (a, b) => (similarities[b] as number) - (similarities[a] as number),
  );
  const { nonMated } = countPairs(table);
  return {
    similarities: Float32Array.from(order, (at) => similarities[at] as number),
    probePalms: order.map((at) => probePalms[Math.floor(at / columns)] as number),
    galleryPalms: order.map((at) => galleryPalms[at % columns] as number),
    probes: perPalm(probePalms, palms),
    templates: perPalm(galleryPalms, palms),
    fars: FARS.filter((far) => nonMated * Number(far) >= RULE_OF_THREE),
  };
}

function perPalm(owners: readonly number[], palms: number): Float64Array {
  const counts = new Float64Array(palms);
  for (const palm of owners) counts[palm] = (counts[palm] as number) + 1;
  return counts;
}

/** One probe's search of the whole gallery. */
interface Search {
  palm: number;
  /** Best similarity to its own palm, and to any other. */
  mated: number;
  nonMated: number;
}

/** Sorted: the most alike strangers first. */
function searchAll({ probePalms, galleryPalms, strangers, ...table }: SimilarityTable): Search[] {
  const similarities = table.searched ?? table.similarities;
  const searches = probePalms.map((palm, probe) => {
    const nonMated = strangers?.[probe] ?? Number.NEGATIVE_INFINITY;
    const search: Search = { palm, mated: Number.NEGATIVE_INFINITY, nonMated };
    for (const [template, owner] of galleryPalms.entries()) {
      const kind = owner === palm ? "mated" : "nonMated";
      search[kind] = Math.max(search[kind], similarities[probe * galleryPalms.length + template] as number);
    }
    return search;
  });
  return searches.sort((a, b) => b.nonMated - a.nonMated);
}

/** Weighted comparisons: k for a palm with itself, k * l for two. */
function totalsOf({ probes, templates }: Comparisons, drawn: Float64Array) {
  let [mated, sameSquared, allProbes, allTemplates] = [0, 0, 0, 0];
  for (const [palm, times] of drawn.entries()) {
    const own = (probes[palm] as number) * (templates[palm] as number);
    mated += times * own;
    sameSquared += times * times * own;
    allProbes += times * (probes[palm] as number);
    allTemplates += times * (templates[palm] as number);
  }
  return { mated, nonMated: allProbes * allTemplates - sameSquared };
}

/** Walks down the thresholds, until the curves have crossed and the largest FAR is passed. */
function verification(comparisons: Comparisons, drawn: Float64Array): Pick<Rates, "eer" | "tarAtFar"> {
  const { similarities, probePalms, galleryPalms, fars } = comparisons;
  const totals = totalsOf(comparisons, drawn);
  const tarAtFar: Rates["tarAtFar"] = {
    "1e-2": null,
    "1e-3": null,
    "1e-4": null,
    "1e-5": null,
    "1e-6": null,
  };
  const targets = fars.map(Number);
  const largestFar = Math.max(0, ...targets);
  const tars = targets.map(() => 0);
  let eer: number | undefined;
  let [mated, nonMated, farBefore, frrBefore] = [0, 0, 0, 1];
  for (let at = 0; at < similarities.length && (eer === undefined || farBefore <= largestFar); at++) {
    const [probe, template] = [probePalms[at] as number, galleryPalms[at] as number];
    if (probe === template) mated += drawn[probe] as number;
    else nonMated += (drawn[probe] as number) * (drawn[template] as number);
    // Equal similarities stand or fall together.
    if (similarities[at] === similarities[at + 1]) continue;
    const [far, frr] = [nonMated / totals.nonMated, 1 - mated / totals.mated];
    if (eer === undefined && far >= frr) eer = crossing(farBefore, frrBefore, far, frr);
    for (let i = 0; i < targets.length; i++) if (far <= (targets[i] as number)) tars[i] = 1 - frr;
    [farBefore, frrBefore] = [far, frr];
  }
  if (eer === undefined) throw new Error("FAR and FRR do not cross: a similarity is not a number");
  for (const [i, far] of fars.entries()) tarAtFar[far] = tars[i] as number;
  return { eer, tarAtFar };
}

/** Where the straight lines from one threshold to the next meet. */
function crossing(farBefore: number, frrBefore: number, far: number, frr: number): number {
  const gapBefore = frrBefore - farBefore;
  const share = gapBefore / (gapBefore + far - frr);
  return farBefore + share * (far - farBefore);
}

/** @param searches by falling nonMated */
function identification(
  searches: readonly Search[],
  drawn: Float64Array,
): Pick<Rates, "rank1" | "fnirAtFpir"> {
  const weightOf = ({ palm }: Search) => drawn[palm] as number;
  const total = searches.reduce((sum, search) => sum + weightOf(search), 0);
  const shareOf = (isSo: (search: Search) => boolean) =>
    searches.reduce((sum, search) => sum + (isSo(search) ? weightOf(search) : 0), 0) / total;
  const stranger = mostAlikeRefused(searches, weightOf, Number(FPIR) * total);
  return {
    rank1: shareOf(({ mated, nonMated }) => mated > nonMated),
    fnirAtFpir: { [FPIR]: shareOf(({ mated }) => mated <= stranger) },
  };
}

/** Similarity of the most alike stranger who has to stay below the threshold, when the others may pass. */
function mostAlikeRefused(
  searches: readonly Search[],
  weightOf: (search: Search) => number,
  allowed: number,
): number {
  let passed = 0;
  for (const search of searches) {
    passed += weightOf(search);
    if (passed > allowed) return search.nonMated;
  }
  throw new Error("more strangers may pass than there are");
}
