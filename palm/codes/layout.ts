// Codes: what a palm is found by among many. A few hundred bytes a template, compared bit by bit, so that a search can
// look at every template there is and at each in hundreds of ways, where a vector is looked at once.
//
// Three kinds of bits. Signs of the vector. Spectrum bits, of each frame: signs of combinations of how strong the waves of
// the line field are (model/spectra.py). Grid bits, of each frame: in which quadrant the doubled direction of the lines
// lies at 16 x 16 points of the blurred field, x > 0 and y > 0 (grid-codes.ts); a template's mask says which of them count.
// Frames: the straightened crop, then the crop as it came.
//
// Words of a template:
//   near   spectrum bits of both frames, signs of the vector      what every template is compared by
//   far    of each frame its grid bits, then its mask             what the nearest of these are compared by
// A probe begins with the words of a template, its first look at everything; then come the other looks: the spectrum bits
// of both frames for each, then the grid bits of both frames for each.
//
// Invariant: the layout is the same everywhere: in memory, in a message, on a disk, little-endian.

/** The straightened one, the one that came. */
export const CODE_FRAMES = 2;
/** Words of spectrum bits, of grid bits and of a mask, of one frame. */
export const FRAME_WORDS = 16;
export const FRAME_BITS = 32 * FRAME_WORDS;
/** Numbers of the vector whose signs are kept. */
export const SIGN_BITS = 256;
export const SIGN_WORDS = SIGN_BITS / 32;

const BOTH_WORDS = CODE_FRAMES * FRAME_WORDS;
export const NEAR_WORDS = BOTH_WORDS + SIGN_WORDS;
export const FAR_WORDS = 2 * BOTH_WORDS;
export const TEMPLATE_CODE_WORDS = NEAR_WORDS + FAR_WORDS;

/** Looks of a probe at spectrum and grid; the first is none. */
export const SPECTRUM_LOOKS = 9;
export const GRID_LOOKS = 333;
export const PROBE_CODE_WORDS = TEMPLATE_CODE_WORDS + (SPECTRUM_LOOKS - 1 + GRID_LOOKS - 1) * BOTH_WORDS;

/** Where in a template's words the signs of the vector are, and where in a probe's a look's spectrum bits of a frame. */
export const SIGNS_AT = BOTH_WORDS;
export const spectrumAt = (look: number, frame: number): number =>
  frame * FRAME_WORDS + (look === 0 ? 0 : TEMPLATE_CODE_WORDS + (look - 1) * BOTH_WORDS);

/** Where in a template's words the grid bits of a frame are, and its mask. */
export const gridOfTemplateAt = (frame: number): number => NEAR_WORDS + frame * BOTH_WORDS;
export const maskAt = (frame: number): number => gridOfTemplateAt(frame) + FRAME_WORDS;

/** Where in a probe's words a look's grid bits of a frame are. */
export const gridAt = (look: number, frame: number): number =>
  look === 0
    ? gridOfTemplateAt(frame)
    : spectrumAt(SPECTRUM_LOOKS, 0) + (look - 1) * BOTH_WORDS + frame * FRAME_WORDS;
