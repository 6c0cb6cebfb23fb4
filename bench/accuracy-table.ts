// The report of `palmgate bench accuracy`, and its table for people. Pure.
import type { Interval, MeasuredRates } from "./rate-intervals.js";
import { FARS, FPIR } from "./rates.js";

export interface AccuracyReport {
  /** Folder measured. */
  data: string;
  palms: number;
  matedPairs: number;
  nonMatedPairs: number;
  /** The signature first, then the baselines. */
  results: ({ name: string; dimension: number; compared?: number; listed?: number } & MeasuredRates)[];
}

const LABEL_WIDTH = 30;
/** Where nothing went wrong, this share of palms may still be trouble at the usual confidence. */
const CONFIDENCE = 0.95;

export function accuracyTable({ data, palms, matedPairs, nonMatedPairs, results }: AccuracyReport): string {
  const lines = [`${data}: ${palms} palms, ${matedPairs} mated and ${nonMatedPairs} non-mated pairs`];
  for (const result of results) {
    const { name, dimension, eer, tarAtFar, ci95 } = result;
    lines.push(
      "",
      `${`${name} (${dimension} numbers)`.padEnd(LABEL_WIDTH + 2)}     rate   95 % interval over palms`,
    );
    lines.push(row("EER", eer, ci95.eer));
    for (const far of FARS) lines.push(row(`TAR at FAR ${far}`, tarAtFar[far], ci95.tarAtFar[far]));
    lines.push(...identification(result));
  }
  if (results.some(({ eer }) => eer === 0)) {
    const share = 1 - (1 - CONFIDENCE) ** (1 / palms);
    lines.push(
      "",
      `An EER of 0 on ${palms} palms: up to ${percent(share)} of all palms may still make errors ` +
        `(exact binomial bound, 95 %).`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function identification(result: AccuracyReport["results"][number]): string[] {
  const { compared, listed, rank1, rank1Exhaustive, fnirAtFpir, fnirAtFpirExhaustive, ci95 } = result;
  const rates = [
    row("rank-1", rank1, ci95.rank1),
    row(`FNIR at FPIR ${FPIR}`, fnirAtFpir[FPIR], ci95.fnirAtFpir[FPIR]),
  ];
  if (compared === undefined || listed === undefined) return rates;
  const lines = [row(`own palm among ${compared} compared`, listed, null), ...rates];
  if (rank1Exhaustive === null) return lines;
  return [
    ...lines,
    row("rank-1, all compared", rank1Exhaustive, null),
    row(`FNIR at FPIR ${FPIR}, all compared`, fnirAtFpirExhaustive[FPIR], null),
  ];
}

function row(label: string, rate: number | null, interval: Interval | null): string {
  const shown = rate === null ? "     null   (too few pairs)" : percent(rate).padStart(9);
  const range = interval ? `   ${interval.map(percent).join(" .. ")}` : "";
  return `  ${label.padEnd(LABEL_WIDTH)} ${shown}${range}`;
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
