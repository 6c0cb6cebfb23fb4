// What is sealed under a member's own data key: templates, and the profile.
//
// Invariants:
// - the additional data binds what is sealed to its member, organisation, gallery, model and index: a template cannot be
//   passed off as another member's, nor as another one of the same member;
// - what opens to something else than a unit vector and whole words is not opened.
import { bus, decode, encode } from "../wire/codec.js";
import { aadOf, type MaybeSealed, open, type SealedBytes, seal } from "../wire/seal.js";
import type { MemberPlace } from "../wire/subjects.js";

/** Of a float32 of the vector, and of a uint32 of line maps and codes. */
const WORD_BYTES = 4;
/** How far the length of a signature's vector may be from 1. */
const UNIT_NORM_TOLERANCE = 1e-3;

export interface TemplatePlace extends MemberPlace {
  modelId: string;
  /** 0, 1, .. within the member */
  index: number;
}

/** What is sealed of one capture. */
export interface Signature {
  /** Unit length. */
  vector: Float32Array;
  /** Line maps; empty where the model makes none. */
  lines: Uint32Array;
  /** Codes; empty where the model makes none. */
  codes: Uint32Array;
}

export function templateAad({ memberId, organisation, gallery, modelId, index }: TemplatePlace): Uint8Array {
  const place = Buffer.alloc(4);
  place.writeUInt32BE(index);
  return aadOf("palmgate-template", [memberId, organisation, gallery, modelId, place]);
}

export const profileAad = ({ memberId, organisation, gallery }: MemberPlace): Uint8Array =>
  aadOf("palmgate-profile", [memberId, organisation, gallery]);

/**
 * How long line maps and codes have to be is the gallery's affair: a matcher leaves out a template that does not fit.
 * @param place with the hand's position: 0 unknown, 1 right, 2 left
 * @param signature that of a template, not of a probe; the caller wipes it. Throws on a vector that could never be
 * opened again; takes line maps and codes of any length.
 */
export function sealTemplate(
  key: Uint8Array,
  place: TemplatePlace & { position: number },
  { vector, lines, codes }: Signature,
): bus.ITemplate {
  if (!isUnit(vector)) throw new Error("a signature's vector must be finite and of unit length");
  const { modelId, index, position } = place;
  const plain = Buffer.alloc((vector.length + lines.length + codes.length) * WORD_BYTES);
  const linesAt = vector.length * WORD_BYTES;
  const codesAt = linesAt + lines.length * WORD_BYTES;
  for (const [at, value] of vector.entries()) plain.writeFloatLE(value, at * WORD_BYTES);
  for (const [at, word] of lines.entries()) plain.writeUInt32LE(word, linesAt + at * WORD_BYTES);
  for (const [at, word] of codes.entries()) plain.writeUInt32LE(word, codesAt + at * WORD_BYTES);
  const sealed = seal(key, templateAad(place), plain);
  plain.fill(0);
  return { modelId, index, position, signature: sealed };
}

/**
 * The signature, which the caller wipes; or `undefined` for a wrong key or place, a changed byte, numbers that are no
 * unit vector, or a rest that is no whole number of words.
 * @param dimension numbers in the vector
 * @param codeWords words of the codes, at the end; what lies between are the line maps
 */
export function openTemplate(
  key: Uint8Array,
  place: MemberPlace,
  template: bus.ITemplate,
  dimension: number,
  codeWords: number,
): Signature | undefined {
  const aad = templateAad({ ...place, modelId: template.modelId ?? "", index: template.index ?? 0 });
  const plain = open(key, aad, template.signature);
  const signature = plain && signatureIn(plain, dimension, codeWords);
  plain?.fill(0);
  return signature;
}

function signatureIn(plain: Uint8Array, dimension: number, codeWords: number): Signature | undefined {
  const words = plain.length / WORD_BYTES;
  if (!Number.isInteger(words) || words < dimension + codeWords) return undefined;
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  const vector = new Float32Array(dimension);
  for (let at = 0; at < dimension; at++) vector[at] = view.getFloat32(at * WORD_BYTES, true);
  if (!isUnit(vector)) {
    vector.fill(0);
    return undefined;
  }
  const wordsOf = (first: number, count: number) =>
    Uint32Array.from({ length: count }, (_, at) => view.getUint32((first + at) * WORD_BYTES, true));
  const codesAt = words - codeWords;
  return { vector, lines: wordsOf(dimension, codesAt - dimension), codes: wordsOf(codesAt, codeWords) };
}

function isUnit(vector: Float32Array): boolean {
  let squares = 0;
  for (const value of vector) squares += value * value;
  // NaN and infinity fail this comparison too.
  return Math.abs(Math.sqrt(squares) - 1) <= UNIT_NORM_TOLERANCE;
}

/** All that is kept of a member beside templates. */
export function sealProfile(
  key: Uint8Array,
  place: MemberPlace,
  profile: bus.Profile.$Properties,
): SealedBytes {
  const plain = encode(bus.Profile, profile);
  const sealed = seal(key, profileAad(place), plain);
  plain.fill(0);
  return sealed;
}

/** `undefined` for a wrong key or place, or a changed byte. */
export function openProfile(
  key: Uint8Array,
  place: MemberPlace,
  sealed: MaybeSealed,
): bus.Profile | undefined {
  const plain = open(key, profileAad(place), sealed);
  return plain && decode(bus.Profile, plain);
}
