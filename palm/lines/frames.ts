// Line maps of a palm in both of its frames: the crop as it was straightened, and as it came. An aligner errs, and where
// it errs badly the crop as it came is the better one; nobody knows which, so both are kept and both are compared.
//
// Layout, of a probe: for each pose, the map of each frame, MAP_WORDS each. A template is the first pose alone, so that
// it is the beginning of a probe.
//
// Invariants: frames are never compared with one another; nothing of a palm is left in what is made here for a comparison.
import { compareLines } from "./compare.js";
import { FIELD_NUMBERS, lineMaps, MAP_WORDS, PROBE_POSES, PROBE_WORDS } from "./line-map.js";

/** The straightened one, the one that came. */
export const FRAMES = 2;
/** Numbers of the fields of all frames, one after another. */
export const FRAMES_FIELD_NUMBERS = FRAMES * FIELD_NUMBERS;
export const TEMPLATE_LINES_WORDS = FRAMES * MAP_WORDS;
export const PROBE_LINES_WORDS = FRAMES * PROBE_WORDS;

/**
 * @param fields FRAMES_FIELD_NUMBERS: of each frame what lineMaps() takes
 * @returns PROBE_LINES_WORDS; the caller's to wipe
 */
export function framedLineMaps(fields: Float32Array): Uint32Array {
  if (fields.length !== FRAMES_FIELD_NUMBERS) {
    throw new RangeError(`the fields of ${FRAMES} frames have ${FRAMES_FIELD_NUMBERS} numbers`);
  }
  const lines = new Uint32Array(PROBE_LINES_WORDS);
  for (let frame = 0; frame < FRAMES; frame++) {
    const maps = lineMaps(fields.subarray(frame * FIELD_NUMBERS, (frame + 1) * FIELD_NUMBERS));
    for (let pose = 0; pose < PROBE_POSES; pose++) {
      lines.set(maps.subarray(pose * MAP_WORDS, (pose + 1) * MAP_WORDS), wordOf(pose, frame));
    }
    maps.fill(0);
  }
  return lines;
}

/**
 * How alike a probe is to each of some templates: in the frame in which it is more alike, -1 .. 1.
 * @param probe PROBE_LINES_WORDS
 * @param templates of each the first TEMPLATE_LINES_WORDS count
 * @throws RangeError for a length that is not so
 */
export function compareFrames(probe: Uint32Array, templates: readonly Uint32Array[]): Float32Array {
  if (probe.length !== PROBE_LINES_WORDS) {
    throw new RangeError(`a probe's line maps have ${PROBE_LINES_WORDS} words`);
  }
  if (templates.some(({ length }) => length < TEMPLATE_LINES_WORDS)) {
    throw new RangeError(`a template's line maps have ${TEMPLATE_LINES_WORDS} words`);
  }
  const best = new Float32Array(templates.length).fill(-1);
  const maps = new Uint32Array(PROBE_WORDS);
  try {
    for (let frame = 0; frame < FRAMES; frame++) {
      for (let pose = 0; pose < PROBE_POSES; pose++) {
        const from = wordOf(pose, frame);
        maps.set(probe.subarray(from, from + MAP_WORDS), pose * MAP_WORDS);
      }
      const ofFrame = compareLines(
        maps,
        templates.map((lines) => lines.subarray(frame * MAP_WORDS, (frame + 1) * MAP_WORDS)),
      );
      for (let i = 0; i < best.length; i++) best[i] = Math.max(best[i] as number, ofFrame[i] as number);
    }
    return best;
  } finally {
    maps.fill(0);
  }
}

/** Where the map of a pose in a frame begins. */
const wordOf = (pose: number, frame: number): number => (pose * FRAMES + frame) * MAP_WORDS;
