// What a similarity means: how often two different palms are at least that similar (false match rate, ISO/IEC 19795-1).
//
// The file beside the model holds counted rates: similarity at fmr 1e-1, 10^-1.5, .. as far down as the pairs allow
// (never below 3 / pairs: the rule of three). Between two points the logarithm of the rate is linear in the similarity;
// below the last one it goes on as it fell over the last whole decade. Similarity distributions of unit vectors fall
// faster than that, so a stated rate in this extrapolated zone is an upper one.
//
// Invariants: a smaller rate never gives a smaller similarity; thresholdFor and fmrAt are each other's inverse.
import { readFile } from "node:fs/promises";
import { z } from "zod";

const pointSchema = z.object({
  /** 0..1 */
  fmr: z.number().positive().max(1),
  /** Dot product of unit vectors, -1..1. */
  similarity: z.number().min(-1).max(1),
});

const calibrationSchema = z.object({
  /** Model it was made for. */
  modelId: z.string().min(1),
  /** From what, by which command. */
  source: z.string(),
  identities: z.number().int().positive(),
  /** Non-mated pairs counted. */
  pairs: z.number().int().positive(),
  /** Lowest rate that was counted; below it rates are extrapolated. */
  countedDownTo: z.number().positive().max(1),
  /** Falling fmr, rising similarity; at least two. */
  points: z.array(pointSchema).min(2),
});

export type CalibrationPoint = z.infer<typeof pointSchema>;
export type Calibration = z.infer<typeof calibrationSchema>;

/**
 * Reads and checks a calibration.
 * @throws Error that says what is wrong with the file
 */
export async function loadCalibration(path: string): Promise<Calibration> {
  const text = await readFile(path, "utf8");
  try {
    const calibration = calibrationSchema.parse(JSON.parse(text));
    checkOrder(calibration.points);
    return calibration;
  } catch (error) {
    const problem = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`${path} is no calibration: ${problem}. Make it with 'node dist/bench/calibrate.js'.`);
  }
}

/**
 * Similarity that two different palms reach with probability `fmr`, at most 1.
 * @param fmr above 0
 */
export function thresholdFor({ points }: Calibration, fmr: number): number {
  const [a, b] = segmentOf(points, (point) => fmr >= point.fmr);
  const share = (Math.log(fmr) - Math.log(a.fmr)) / (Math.log(b.fmr) - Math.log(a.fmr));
  return Math.min(1, a.similarity + share * (b.similarity - a.similarity));
}

/** Probability that two different palms are at least this similar, at most 1. */
export function fmrAt({ points }: Calibration, similarity: number): number {
  const [a, b] = segmentOf(points, (point) => similarity <= point.similarity);
  const share = (similarity - a.similarity) / (b.similarity - a.similarity);
  return Math.min(1, Math.exp(Math.log(a.fmr) + share * (Math.log(b.fmr) - Math.log(a.fmr))));
}

/** The two points to go by: around the place, else the first two, else those of the last decade. */
function segmentOf(
  points: readonly CalibrationPoint[],
  isPast: (point: CalibrationPoint) => boolean,
): [CalibrationPoint, CalibrationPoint] {
  const at = points.findIndex(isPast);
  const last = points.length - 1;
  const [from, to] = at < 0 ? [decadeAbove(points), last] : [Math.max(0, at - 1), Math.max(1, at)];
  const [a, b] = [points[from], points[to]];
  if (!a || !b) throw new Error("a calibration has two points or more");
  return [a, b];
}

/** Index of the last point whose rate is a decade or more above the lowest. */
function decadeAbove(points: readonly CalibrationPoint[]): number {
  const lowest = points.at(-1)?.fmr ?? 0;
  const at = points.findLastIndex((point) => point.fmr >= 9.9 * lowest);
  return Math.max(0, at);
}

/** @throws Error naming the point that breaks the order */
function checkOrder(points: readonly CalibrationPoint[]): void {
  for (const [index, point] of points.entries()) {
    const before = points[index - 1];
    if (before && !(point.fmr < before.fmr && point.similarity > before.similarity)) {
      throw new Error(`point ${index} does not go on from the one before (fmr falls, similarity rises)`);
    }
  }
}
