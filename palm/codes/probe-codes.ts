// From what a model says of a palm to the codes of a probe, laid out as layout.ts says. Its first words are a template's.
//
// Invariant: codes depend on vector, spectra and fields only, and on no length: all of them are signs.
import { gridCodes } from "./grid-codes.js";
import {
  CODE_FRAMES,
  FRAME_BITS,
  gridAt,
  maskAt,
  PROBE_CODE_WORDS,
  SIGN_BITS,
  SIGNS_AT,
  SPECTRUM_LOOKS,
  spectrumAt,
} from "./layout.js";

/** Numbers of the model's output `spectra`: [frame, look, bit]. */
export const SPECTRA_NUMBERS = CODE_FRAMES * SPECTRUM_LOOKS * FRAME_BITS;

/**
 * @param vector SIGN_BITS numbers
 * @param spectra SPECTRA_NUMBERS
 * @param fields of each frame what gridCodes() takes, one after another
 * @returns PROBE_CODE_WORDS; the caller's to wipe
 * @throws RangeError for a length that is not so
 */
export function probeCodes(vector: Float32Array, spectra: Float32Array, fields: Float32Array): Uint32Array {
  if (vector.length !== SIGN_BITS) throw new RangeError(`codes are made of a vector of ${SIGN_BITS} numbers`);
  if (spectra.length !== SPECTRA_NUMBERS) throw new RangeError(`spectra have ${SPECTRA_NUMBERS} numbers`);
  const codes = new Uint32Array(PROBE_CODE_WORDS);
  writeSigns(vector, codes, SIGNS_AT);
  for (let frame = 0; frame < CODE_FRAMES; frame++) {
    for (let look = 0; look < SPECTRUM_LOOKS; look++) {
      const from = (frame * SPECTRUM_LOOKS + look) * FRAME_BITS;
      writeSigns(spectra.subarray(from, from + FRAME_BITS), codes, spectrumAt(look, frame));
    }
    const numbers = fields.length / CODE_FRAMES;
    const field = fields.subarray(frame * numbers, (frame + 1) * numbers);
    const mask = gridCodes(field, (look, bits) => codes.set(bits, gridAt(look, frame)));
    codes.set(mask, maskAt(frame));
    mask.fill(0);
  }
  return codes;
}

/** A bit for each number: whether it is above 0. */
function writeSigns(numbers: Float32Array, words: Uint32Array, at: number): void {
  for (let word = 0; word * 32 < numbers.length; word++) {
    let bits = 0;
    for (let bit = 0; bit < 32; bit++) bits |= ((numbers[word * 32 + bit] as number) > 0 ? 1 : 0) << bit;
    words[at + word] = bits;
  }
}
