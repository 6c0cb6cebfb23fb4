// Where the corners of made-up hands truly are: truth.json beside the palms, written by who rendered them.
//
// Invariants: a file that is there must be right, else the run ends and says so; corners are compared in pixels of a crop
// of 128 whose sides are the true ones.
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { z } from "zod";
import type { Point, Quad } from "../palm/hand/index.js";
import { UsageError } from "../wire/config.js";
import { CROP_SIDE_PX } from "./roi-register.js";
import type { RoiReport } from "./roi-report.js";

const CORNER = z.tuple([z.number(), z.number()]);
const TRUTH = z.record(z.string(), z.object({ corners: z.tuple([CORNER, CORNER, CORNER, CORNER]) }));
export type Truth = z.infer<typeof TRUTH>;

/** @returns undefined where there is none @throws UsageError when it cannot be read */
export async function readTruth(data: string): Promise<Truth | undefined> {
  const file = join(data, "truth.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UsageError(`--data: ${(error as Error).message}. Make truth.json readable or remove it.`);
  }
  try {
    return TRUTH.parse(JSON.parse(text));
  } catch (error) {
    throw new UsageError(`--data: ${file} is no truth: ${(error as Error).message}. Mend or remove it.`);
  }
}

/**
 * rms: ways of the corners from the truth, all in all. spread: the same after the mean way of each corner in the true
 * crop's own frame is taken off, for where a crop lies by convention is no error.
 */
export function truthErrorPx(
  hands: readonly { file: string; cut?: { corners: Quad } }[],
  truth: Truth,
  data: string,
): NonNullable<RoiReport["truthErrorPx"]> {
  const ways = hands.flatMap(({ file, cut }) => {
    const known = truth[relative(data, file).replaceAll("\\", "/")];
    if (!cut || !known) return [];
    return [inTrueFrame(cut.corners, known.corners)];
  });
  if (ways.length === 0) return { rms: null, spread: null, compared: 0 };
  const rms = (all: readonly Point[][]) =>
    Math.sqrt(all.flat().reduce((sum, { x, y }) => sum + x * x + y * y, 0) / all.flat().length);
  const mean = [0, 1, 2, 3].map((corner) => ({
    x: ways.reduce((sum, way) => sum + (way[corner]?.x ?? 0), 0) / ways.length,
    y: ways.reduce((sum, way) => sum + (way[corner]?.y ?? 0), 0) / ways.length,
  }));
  const without = ways.map((way) =>
    way.map(({ x, y }, corner) => ({ x: x - (mean[corner]?.x ?? 0), y: y - (mean[corner]?.y ?? 0) })),
  );
  return { rms: rms(ways), spread: rms(without), compared: ways.length };
}

/** Way of each corner from its true place, along the true crop's own right and down. */
function inTrueFrame(found: Quad, truth: Truth[string]["corners"]): Point[] {
  const [[ax, ay], [bx, by]] = truth;
  const side = Math.hypot(bx - ax, by - ay);
  const [rightX, rightY] = [(bx - ax) / side, (by - ay) / side];
  const scale = CROP_SIDE_PX / side;
  return found.map((corner, i) => {
    const [trueX, trueY] = truth[i] ?? [Number.NaN, Number.NaN];
    const [dx, dy] = [corner.x - trueX, corner.y - trueY];
    return { x: scale * (dx * rightX + dy * rightY), y: scale * (dy * rightX - dx * rightY) };
  });
}
