// The report of `palmgate bench roi`, and its table for people. Pure.
import type { NotFound } from "../palm/hand/index.js";
import type { MeasuredRates } from "./rate-intervals.js";
import { FARS } from "./rates.js";

export interface RoiReport {
  /** Folder measured. */
  data: string;
  images: number;
  palms: number;
  /** Palms of one session: half of its images against the others, which is easier than another day. */
  splitPalms: number;
  foundRate: number;
  /** Found, and good enough for a lane to send. */
  sentRate: number;
  notFound: Partial<Record<NotFound, number>>;
  /** One crop's deviation, pixels of a crop of 128; null where no two crops of a palm could be registered. */
  cornerSpreadPx: number | null;
  cornerSpread: { pairs: number; registered: number; medianPx: number | null; p95Px: number | null };
  /** Of one frame, median; null where the path was never gone. */
  cpuMsSearch: number | null;
  cpuMsTrack: number | null;
  /** Root mean square way of a corner from where it truly is, pixels of a crop of 128; after the constant offset. */
  truthErrorPx?: { rms: number | null; spread: number | null; compared: number };
  endToEnd: Pick<MeasuredRates, "eer" | "tarAtFar" | "rank1" | "ci95">;
}

const LABEL_WIDTH = 30;

export function roiTable(report: RoiReport): string {
  const { endToEnd, cornerSpread, truthErrorPx } = report;
  const { eer, tarAtFar, rank1, ci95 } = endToEnd;
  const reasons = Object.entries(report.notFound).map(([reason, count]) => `${count} ${reason}`);
  const row = (label: string, value: string, more = "") =>
    `  ${label.padEnd(LABEL_WIDTH)} ${value.padStart(9)}   ${more}`.trimEnd();
  const between = ([low, high]: readonly [number, number]) => `95 %: ${percent(low)} .. ${percent(high)}`;
  const lines = [
    `${report.data}: ${report.images} images of ${report.palms} whole hands, ${report.splitPalms} of one session only`,
    row("found", percent(report.foundRate), reasons.length > 0 ? `not: ${reasons.join(", ")}` : ""),
    row("good enough to send", percent(report.sentRate)),
    row(
      "spread of the corners",
      pixels(report.cornerSpreadPx),
      `median ${pixels(cornerSpread.medianPx)}, 95 % ${pixels(cornerSpread.p95Px)}; ` +
        `${cornerSpread.registered} of ${cornerSpread.pairs} pairs registered`,
    ),
    ...(truthErrorPx
      ? [row("from the true corners", pixels(truthErrorPx.rms), `spread ${pixels(truthErrorPx.spread)}`)]
      : []),
    row("CPU of a frame, searched", milliseconds(report.cpuMsSearch)),
    row("CPU of a frame, tracked", milliseconds(report.cpuMsTrack)),
    row("EER", percent(eer), between(ci95.eer)),
    ...FARS.map((far) => {
      const [rate, interval] = [tarAtFar[far], ci95.tarAtFar[far]];
      const label = `TAR at FAR ${far}`;
      if (rate === null) return row(label, "null", "too few pairs");
      return row(label, percent(rate), interval ? between(interval) : "");
    }),
    row("rank-1", percent(rank1), between(ci95.rank1)),
  ];
  return `${lines.join("\n")}\n`;
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const pixels = (px: number | null) => (px === null ? "null" : `${px.toFixed(2)} px`);
const milliseconds = (ms: number | null) => (ms === null ? "null" : `${ms.toFixed(1)} ms`);
