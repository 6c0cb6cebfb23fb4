// Detection error tradeoff (ISO/IEC 19795-1) of a table of similarities, and its plot as SVG. Pure.
//
// Invariants: a point is counted, not fitted; a curve ends where fewer than three non-mated comparisons (rule of three)
// or no mated one is behind it; a curve falls.
import { RULE_OF_THREE, type SimilarityTable } from "./rates.js";

export interface DetPoint {
  /** Shares, 0..1. */
  fmr: number;
  fnmr: number;
}

export interface DetCurve {
  name: string;
  points: readonly DetPoint[];
}

const POINTS_PER_DECADE = 16;

/** FNMR at falling FMR, at most POINTS_PER_DECADE in a decade. */
export function detPoints({ probePalms, galleryPalms, similarities }: SimilarityTable): DetPoint[] {
  const columns = galleryPalms.length;
  const isMated = (at: number) => probePalms[Math.floor(at / columns)] === galleryPalms[at % columns];
  const mated = similarities.filter((_, at) => isMated(at)).sort();
  const nonMated = similarities.filter((_, at) => !isMated(at)).sort();
  const points: DetPoint[] = [];
  let missed = 0;
  for (let step = 0; ; step++) {
    const above = Math.floor(nonMated.length * 10 ** (-step / POINTS_PER_DECADE));
    if (above < RULE_OF_THREE) return points;
    // The lowest threshold that no more than `above` non-mated comparisons reach or pass.
    const threshold = nonMated[nonMated.length - above - 1] ?? Number.NEGATIVE_INFINITY;
    while (missed < mated.length && (mated[missed] as number) <= threshold) missed++;
    if (step > 0 && missed > 0) points.push({ fmr: above / nonMated.length, fnmr: missed / mated.length });
  }
}

const WIDTH_PX = 560;
const HEIGHT_PX = 470;
const MARGIN = { left: 62, right: 24, top: 40, bottom: 106 };
const LEGEND_COLUMN_PX = 240;
const LEGEND_ROW_PX = 16;
const LOWEST = 1e-5;
const HIGHEST = 1;
const DECADES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1];
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

const share = (rate: number) =>
  (Math.log10(Math.max(rate, LOWEST)) - Math.log10(LOWEST)) / (Math.log10(HIGHEST) - Math.log10(LOWEST));
const x = (fmr: number) => MARGIN.left + share(fmr) * (WIDTH_PX - MARGIN.left - MARGIN.right);
const y = (fnmr: number) =>
  HEIGHT_PX - MARGIN.bottom - share(fnmr) * (HEIGHT_PX - MARGIN.top - MARGIN.bottom);
const px = (value: number) => value.toFixed(1);
const percent = (rate: number) => `${Number((100 * rate).toPrecision(1))} %`;
const escapeXml = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");

/** One plot: FMR across, FNMR up, both logarithmic; the dashed line is where both are equal. */
export function detSvg(title: string, caption: string, curves: readonly DetCurve[]): string {
  const [left, right, top, bottom] = [x(LOWEST), x(HIGHEST), y(HIGHEST), y(LOWEST)];
  const grid = DECADES.flatMap((rate) => [
    `<path class="grid" d="M${px(x(rate))} ${px(top)}V${px(bottom)}M${px(left)} ${px(y(rate))}H${px(right)}"/>`,
    `<text x="${px(x(rate))}" y="${px(bottom + 16)}" text-anchor="middle">${percent(rate)}</text>`,
    `<text x="${px(left - 6)}" y="${px(y(rate) + 4)}" text-anchor="end">${percent(rate)}</text>`,
  ]);
  const lines = curves.flatMap(({ name, points }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = points.map(({ fmr, fnmr }) => `${px(x(fmr))} ${px(y(fnmr))}`).join("L");
    // Below the plot: a curve may lie anywhere in it.
    const legendX = left + LEGEND_COLUMN_PX * (i % 2);
    const legendY = bottom + 60 + LEGEND_ROW_PX * Math.floor(i / 2);
    const label = points.length > 0 ? name : `${name}: none missed`;
    return [
      ...(path ? [`<path d="M${path}" fill="none" stroke="${colour}" stroke-width="2"/>`] : []),
      `<path d="M${px(legendX)} ${px(legendY - 4)}h22" stroke="${colour}" stroke-width="3"/>`,
      `<text x="${px(legendX + 28)}" y="${px(legendY)}">${escapeXml(label)}</text>`,
    ];
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH_PX} ${HEIGHT_PX}" role="img" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title><desc>${escapeXml(caption)}</desc>`,
    `<style>text{fill:#333}.grid{stroke:#ccc;fill:none}</style>`,
    `<rect width="${WIDTH_PX}" height="${HEIGHT_PX}" fill="#fff"/>`,
    `<text x="${px(left)}" y="18" font-size="14" font-weight="bold">${escapeXml(title)}</text>`,
    `<text x="${px(left)}" y="33" font-size="11">${escapeXml(caption)}</text>`,
    ...grid,
    `<path d="M${px(left)} ${px(bottom)}L${px(right)} ${px(top)}" stroke="#888" stroke-dasharray="4 4"/>`,
    ...lines,
    `<text x="${px((left + right) / 2)}" y="${px(bottom + 36)}" text-anchor="middle">false match rate</text>`,
    `<text transform="rotate(-90 14 ${px((top + bottom) / 2)})" x="14" y="${px((top + bottom) / 2)}" text-anchor="middle">false non-match rate</text>`,
    "</svg>",
  ].join("\n")}\n`;
}
