// The report of `palmgate bench quality`, and its table for people. Pure.
import type { errorVersusDiscard, QualityBin } from "./quality-rates.js";

export interface QualityReport {
  /** Folder measured, or "synthetic". */
  data: string;
  palms: number;
  matedPairs: number;
  /** Of images as they are. */
  nonMatedPairs: number;
  fmr: number;
  /** Similarity at which the images as they are reach `fmr`. */
  threshold: number;
  /** Score below which nothing is sent. */
  floor: number;
  /** Spearman's, of score and similarity of mated comparisons. */
  rankCorrelation: number;
  bins: QualityBin[];
  errorVersusDiscard: ReturnType<typeof errorVersusDiscard>;
  kinds: KindReport[];
}

/** One way in which probes were made worse. */
export interface KindReport {
  kind: string;
  images: number;
  notFound: number;
  /** Found, and below the floor. */
  refused: number;
  /** Misses among comparisons at and above the floor, and below; null where there are none. */
  fnmrSent: number | null;
  fnmrRefused: number | null;
}

export function qualityTable(report: QualityReport): string {
  const { data, palms, matedPairs, nonMatedPairs, fmr, threshold, floor, rankCorrelation } = report;
  return [
    `${data}: ${palms} palms, ${matedPairs} mated and ${nonMatedPairs} non-mated pairs`,
    `misses at FMR ${fmr} (similarity ${threshold.toFixed(3)}); rank correlation of score and similarity ` +
      `${rankCorrelation.toFixed(2)}; floor ${floor}`,
    "",
    "  score      pairs   similarity      FNMR   95 % interval",
    ...report.bins.map(
      ({ from, to, comparisons, meanSimilarity, fnmr, ci95 }) =>
        `  ${`${from} - ${to}`.padEnd(9)} ${String(comparisons).padStart(6)} ` +
        `${(meanSimilarity?.toFixed(3) ?? "-").padStart(12)} ${percent(fnmr).padStart(9)}   ` +
        (ci95?.map(percent).join(" .. ") ?? ""),
    ),
    "",
    "  worst thrown away   FNMR of the rest",
    ...report.errorVersusDiscard.map(
      ({ discarded, fnmr }) => `  ${percent(discarded).padStart(17)} ${percent(fnmr).padStart(18)}`,
    ),
    "",
    "  probes      images   not found   refused   FNMR sent   FNMR refused",
    ...report.kinds.map(
      ({ kind, images, notFound, refused, fnmrSent, fnmrRefused }) =>
        `  ${kind.padEnd(9)} ${String(images).padStart(8)} ${String(notFound).padStart(11)} ` +
        `${String(refused).padStart(9)} ${percent(fnmrSent).padStart(11)} ${percent(fnmrRefused).padStart(14)}`,
    ),
    "",
  ].join("\n");
}

const percent = (share: number | null) => (share === null ? "-" : `${(100 * share).toFixed(1)} %`);
