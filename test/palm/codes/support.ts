// Codes without a palm behind them, and a plain oracle of how far two are apart. Seeded.
import {
  CODE_FRAMES,
  FRAME_WORDS,
  GRID_LOOKS,
  gridAt,
  gridOfTemplateAt,
  maskAt,
  NEAR_WORDS,
  PROBE_CODE_WORDS,
  SIGN_WORDS,
  SIGNS_AT,
  SPECTRUM_LOOKS,
  spectrumAt,
  TEMPLATE_CODE_WORDS,
} from "../../../palm/codes/layout.js";
import { seededRandom } from "../../../palm/synthetic/random.js";

export function anyWords(count: number, seed: number): Uint32Array {
  const random = seededRandom(seed);
  return Uint32Array.from({ length: count }, () => Math.floor(random.next() * 2 ** 32));
}

export const anyProbe = (seed: number): Uint32Array => anyWords(PROBE_CODE_WORDS, seed);
export const anyTemplate = (seed: number): Uint32Array => anyWords(TEMPLATE_CODE_WORDS, seed);

const ones = (word: number) => [...word.toString(2)].filter((digit) => digit === "1").length;

function differing(
  a: Uint32Array,
  from: number,
  b: Uint32Array,
  at: number,
  words: number,
  mask?: Uint32Array,
): number {
  let count = 0;
  for (let i = 0; i < words; i++) {
    const differs = ((a[from + i] as number) ^ (b[at + i] as number)) >>> 0;
    count += ones((differs & (mask?.[i] ?? 0xffffffff)) >>> 0);
  }
  return count;
}

const both = ([straight = 0, came = 0]: number[]) => straight + came + Math.min(straight, came);
const frames = Array.from({ length: CODE_FRAMES }, (_, frame) => frame);
const looks = (count: number) => Array.from({ length: count }, (_, look) => look);

/** The law of palm/codes/compare.ts, bit by bit. */
export function plainDistances(probe: Uint32Array, template: Uint32Array): { near: number; far: number } {
  const spectra = both(
    frames.map((frame) =>
      Math.min(
        ...looks(SPECTRUM_LOOKS).map((look) =>
          differing(probe, spectrumAt(look, frame), template, frame * FRAME_WORDS, FRAME_WORDS),
        ),
      ),
    ),
  );
  const grids = both(
    frames.map((frame) => {
      const mask = template.subarray(maskAt(frame), maskAt(frame) + FRAME_WORDS);
      const distances = looks(GRID_LOOKS).map((look) =>
        differing(probe, gridAt(look, frame), template, gridOfTemplateAt(frame), FRAME_WORDS, mask),
      );
      return Math.min(...distances);
    }),
  );
  const signs = differing(probe, SIGNS_AT, template, NEAR_WORDS - SIGN_WORDS, SIGN_WORDS);
  return { near: spectra + signs, far: spectra + grids };
}
