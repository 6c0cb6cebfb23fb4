// What is known of one capture of a palm, and how alike two captures are.
//
// A search goes in two stages: codes find the few templates that are worth a look (codes/), or the vector does, in an
// index; line maps tell them apart (lines/). A model without these (gabor.onnx) has one stage: then the vectors are all
// there is.
//
// Invariant: signatures of different models are never compared.
import { TEMPLATE_CODE_WORDS } from "./codes/layout.js";
import { compareFrames, TEMPLATE_LINES_WORDS } from "./lines/frames.js";

export interface Signature {
  /** Unit length: two captures are as alike as their dot product says, roughly. */
  vector: Float32Array;
  /**
   * Line maps of both frames: PROBE_LINES_WORDS in a probe, the first TEMPLATE_LINES_WORDS of them in a template, none
   * where the model has none.
   */
  lines: Uint32Array;
  /** Codes: PROBE_CODE_WORDS in a probe, the first TEMPLATE_CODE_WORDS in a template, none where there are no line maps. */
  codes: Uint32Array;
}

/** What is kept of a capture when it is enrolled: views on its signature, no copies. */
export function templateOf({ vector, lines, codes }: Signature): Signature {
  return {
    vector,
    lines: lines.subarray(0, TEMPLATE_LINES_WORDS),
    codes: codes.subarray(0, TEMPLATE_CODE_WORDS),
  };
}

/** The same as a copy, for whoever keeps it longer than the signature, or the probe is large: the caller's to wipe. */
export function templateCopyOf(signature: Signature): Signature {
  const { vector, lines, codes } = templateOf(signature);
  return { vector: vector.slice(), lines: lines.slice(), codes: codes.slice() };
}

/**
 * -1 .. 1, the larger the more alike. The template may be a probe as well: its first maps count.
 * @throws RangeError when only one of them has line maps: they are of different models
 */
export function similarity(probe: Signature, template: Signature): number {
  return similarities(probe, [template])[0] as number;
}

/** similarity() with each of many templates, in less time. */
export function similarities(probe: Signature, templates: readonly Signature[]): Float32Array {
  if (probe.lines.length > 0 || templates.some(({ lines }) => lines.length > 0)) {
    return compareFrames(
      probe.lines,
      templates.map(({ lines }) => lines),
    );
  }
  return Float32Array.from(templates, ({ vector }) => dot(probe.vector, vector));
}

/** Of two vectors of one length. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Overwrites a signature that is needed no more. */
export function wipe({ vector, lines, codes }: Signature): void {
  for (const numbers of [vector, lines, codes]) numbers.fill(0);
}
