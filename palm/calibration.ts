// What a similarity means: how often two different palms are at least that similar (false match rate, ISO/IEC 19795-1).
//
// The file beside the model holds counted rates: similarity at fmr 1e-1, 10^-1.5, .. as far down as the pairs allow
// (never below 3 / pairs: the rule of three), and the tail fitted to the most alike pairs. Between two points the logarithm
// of the rate is linear in the similarity; below the last one it falls as the tail does. A file without a tail goes on as
// it fell over the last whole decade.
//
// Invariants: a smaller rate never gives a smaller similarity; thresholdFor and fmrAt are each other's inverse; no rate is
// lower than the one counted or the one fitted.
import { readFile } from "node:fs/promises";
import { z } from "zod";

const pointSchema = z.object({
  /** 0..1 */
  fmr: z.number().positive().max(1),
  /** As palm/signature.ts has it, -1..1. */
  similarity: z.number().min(-1).max(1),
});

/** Generalised Pareto: rate(s) = fmr * (1 + shape * (s - similarity) / scale) ^ (-1 / shape); exponential at shape 0. */
const tailSchema = pointSchema.extend({
  /** Not negative: a negative shape would claim that no two palms are more alike than some similarity. */
  shape: z.number().min(0).max(1),
  scale: z.number().positive(),
  /** Pairs that it was fitted to. */
  pairs: z.number().int().positive(),
});

const calibrationSchema = z.object({
  /** Model it was made for. */
  modelId: z.string().min(1),
  /** From what, by which command. */
  source: z.string(),
  identities: z.number().int().positive(),
  /** Non-mated pairs counted. */
  pairs: z.number().int().positive(),
  /** Stated rates are so many times those counted. */
  times: z.number().min(1),
  /** Lowest rate that is stated from counting; below it rates are extrapolated. */
  countedDownTo: z.number().positive().max(1),
  /** Falling fmr, rising similarity; at least two. */
  points: z.array(pointSchema).min(2),
  /** Fitted to the pairs beyond one of the points. */
  tail: tailSchema.optional(),
});

export type CalibrationPoint = z.infer<typeof pointSchema>;
export type CalibrationTail = z.infer<typeof tailSchema>;
export type Calibration = z.infer<typeof calibrationSchema>;

/**
 * Reads and checks a calibration.
 * @param modelId the model whose similarities it is asked about
 * @throws Error that says what is wrong with the file
 */
export async function loadCalibration(path: string, modelId: string): Promise<Calibration> {
  const text = await readFile(path, "utf8");
  try {
    const calibration = calibrationSchema.parse(JSON.parse(text));
    checkOrder(calibration.points);
    checkTail(calibration);
    if (calibration.modelId !== modelId) {
      throw new Error(`it was made for ${calibration.modelId}, and the model is ${modelId}`);
    }
    return calibration;
  } catch (error) {
    const problem = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`${path} cannot be used: ${problem}. Make it with 'node dist/bench/calibrate.js'.`);
  }
}

/**
 * Similarity that two different palms reach with probability `fmr`, at most 1.
 * @param fmr above 0
 */
export function thresholdFor({ points, tail }: Calibration, fmr: number): number {
  if (!tail || fmr >= tail.fmr) return Math.min(1, countedThreshold(points, fmr));
  const last = lastOf(points);
  const fitted = tailThreshold(tail, fmr);
  if (fmr < last.fmr) return Math.min(1, fitted + liftOf(last, tail));
  return Math.min(1, Math.max(countedThreshold(points, fmr), fitted));
}

/** Probability that two different palms are at least this similar, at most 1. */
export function fmrAt({ points, tail }: Calibration, similarity: number): number {
  if (!tail || similarity <= tail.similarity) return Math.min(1, countedFmr(points, similarity));
  const last = lastOf(points);
  const lift = liftOf(last, tail);
  if (similarity > tailThreshold(tail, last.fmr) + lift) return tailFmr(tail, similarity - lift);
  return Math.max(countedFmr(points, similarity), tailFmr(tail, similarity));
}

/** Similarity that the tail alone gives a rate of at most its own. */
export function tailThreshold({ fmr: from, similarity, shape, scale }: CalibrationTail, fmr: number): number {
  const fall = Math.log(from) - Math.log(fmr);
  return similarity + scale * (shape === 0 ? fall : Math.expm1(shape * fall) / shape);
}

function tailFmr({ fmr, similarity: from, shape, scale }: CalibrationTail, similarity: number): number {
  const rise = (similarity - from) / scale;
  return fmr * Math.exp(shape === 0 ? -rise : -Math.log1p(shape * rise) / shape);
}

/** What the last counted pairs were more alike than the tail has it: it goes on from there. */
const liftOf = (last: CalibrationPoint, tail: CalibrationTail) =>
  Math.max(0, last.similarity - tailThreshold(tail, last.fmr));

function countedThreshold(points: readonly CalibrationPoint[], fmr: number): number {
  const [a, b] = segmentOf(points, (point) => fmr >= point.fmr);
  const share = (Math.log(fmr) - Math.log(a.fmr)) / (Math.log(b.fmr) - Math.log(a.fmr));
  return a.similarity + share * (b.similarity - a.similarity);
}

function countedFmr(points: readonly CalibrationPoint[], similarity: number): number {
  const [a, b] = segmentOf(points, (point) => similarity <= point.similarity);
  const share = (similarity - a.similarity) / (b.similarity - a.similarity);
  return Math.exp(Math.log(a.fmr) + share * (Math.log(b.fmr) - Math.log(a.fmr)));
}

function lastOf(points: readonly CalibrationPoint[]): CalibrationPoint {
  const last = points.at(-1);
  if (!last) throw new Error("a calibration has two points or more");
  return last;
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

/** @throws Error when the tail does not begin at a point */
function checkTail({ points, tail }: Calibration): void {
  const isAt = (point: CalibrationPoint) => point.fmr === tail?.fmr && point.similarity === tail.similarity;
  if (tail && !points.some(isAt)) throw new Error("the tail does not begin at one of the points");
}
