// Sealing: AES-256-GCM under a member's own data key. Whoever destroys the key makes every copy noise.
//
// Invariants:
// - a nonce is 12 random bytes, fresh for each seal; the 16-byte tag stands at the end of the ciphertext;
// - the additional data binds what is sealed to its member, gallery, model and index: a template cannot be passed off
//   as another member's, nor as another one of the same member;
// - open() answers `undefined` for a wrong key, wrong place or changed byte; it never throws and never tells which.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { bus, decode, encode } from "../wire/codec.js";

export const DATA_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";
/** Of a float32 of the vector, and of a uint32 of line maps and codes. */
const WORD_BYTES = 4;
/** How far the length of a signature's vector may be from 1. */
const UNIT_NORM_TOLERANCE = 1e-3;

export interface SealedBytes {
  nonce: Uint8Array;
  /** With the tag at its end. */
  ciphertext: Uint8Array;
}

/** What a sealed value may lack when it comes from a decoded message. */
export type MaybeSealed = { nonce?: Uint8Array | null; ciphertext?: Uint8Array | null } | null | undefined;

export const newDataKey = (): Uint8Array => Uint8Array.from(randomBytes(DATA_KEY_BYTES));

/** @param key 32 bytes; throws on another length */
export function seal(key: Uint8Array, aad: Uint8Array, plain: Uint8Array): SealedBytes {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(aad);
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return { nonce, ciphertext };
}

/** The plain bytes, or `undefined`. The caller wipes them. @param key 32 bytes; throws on another length */
export function open(key: Uint8Array, aad: Uint8Array, sealed: MaybeSealed): Uint8Array | undefined {
  const { nonce, ciphertext } = sealed ?? {};
  if (nonce?.length !== NONCE_BYTES || !ciphertext || ciphertext.length < TAG_BYTES) return undefined;
  const tagAt = ciphertext.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, nonce).setAAD(aad).setAuthTag(ciphertext.subarray(tagAt));
  const plain = decipher.update(ciphertext.subarray(0, tagAt));
  try {
    decipher.final();
    return plain;
  } catch {
    // The tag does not fit: what update() gave is not to be trusted.
    plain.fill(0);
    return undefined;
  }
}

/** Length-prefixed parts: no two different lists give the same bytes. */
function aadOf(kind: string, parts: readonly Uint8Array[]): Uint8Array {
  const out: Uint8Array[] = [];
  for (const part of [Buffer.from(kind, "utf8"), ...parts]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    out.push(length, part);
  }
  return Buffer.concat(out);
}

export function templateAad(
  memberId: Uint8Array,
  gallery: string,
  modelId: string,
  index: number,
): Uint8Array {
  const place = Buffer.alloc(4);
  place.writeUInt32BE(index);
  return aadOf("palmgate-template", [memberId, Buffer.from(gallery), Buffer.from(modelId), place]);
}

export function instrumentAad(memberId: Uint8Array, gallery: string): Uint8Array {
  return aadOf("palmgate-instrument", [memberId, Buffer.from(gallery)]);
}

export function contactAad(memberId: Uint8Array, gallery: string): Uint8Array {
  return aadOf("palmgate-contact", [memberId, Buffer.from(gallery)]);
}

/** @param subject of the event that holds the wrapped data key */
export function dataKeyAad(subject: string): Uint8Array {
  return aadOf("palmgate-data-key", [Buffer.from(subject, "utf8")]);
}

export interface TemplatePlace {
  memberId: Uint8Array;
  gallery: string;
  modelId: string;
  /** 0, 1, .. within the member */
  index: number;
  /** 0 unknown, 1 right, 2 left */
  position: number;
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

/**
 * How long line maps and codes have to be is the gallery's affair: a matcher leaves out a template that does not fit.
 * @param signature that of a template, not of a probe; the caller wipes it. Throws on a vector that could never be
 * opened again; takes line maps and codes of any length.
 */
export function sealTemplate(key: Uint8Array, place: TemplatePlace, { vector, lines, codes }: Signature) {
  if (!isUnit(vector)) throw new Error("a signature's vector must be finite and of unit length");
  const { memberId, gallery, modelId, index, position } = place;
  const plain = Buffer.alloc((vector.length + lines.length + codes.length) * WORD_BYTES);
  const linesAt = vector.length * WORD_BYTES;
  const codesAt = linesAt + lines.length * WORD_BYTES;
  for (const [at, value] of vector.entries()) plain.writeFloatLE(value, at * WORD_BYTES);
  for (const [at, word] of lines.entries()) plain.writeUInt32LE(word, linesAt + at * WORD_BYTES);
  for (const [at, word] of codes.entries()) plain.writeUInt32LE(word, codesAt + at * WORD_BYTES);
  const sealed = seal(key, templateAad(memberId, gallery, modelId, index), plain);
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
  memberId: Uint8Array,
  gallery: string,
  template: bus.ITemplate,
  dimension: number,
  codeWords: number,
): Signature | undefined {
  const aad = templateAad(memberId, gallery, template.modelId ?? "", template.index ?? 0);
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

/** What a payment instrument holds; never a card number. */
export interface Instrument {
  processor: string;
  token: string;
  brand: string;
  last4: string;
}

export function sealInstrument(
  key: Uint8Array,
  memberId: Uint8Array,
  gallery: string,
  instrument: Instrument,
): SealedBytes {
  return seal(key, instrumentAad(memberId, gallery), encode(bus.Instrument, instrument));
}

export function openInstrument(
  key: Uint8Array,
  memberId: Uint8Array,
  gallery: string,
  sealed: MaybeSealed,
): Instrument | undefined {
  const plain = open(key, instrumentAad(memberId, gallery), sealed);
  const message = plain && decode(bus.Instrument, plain);
  if (!message) return undefined;
  const { processor, token, brand, last4 } = message;
  return { processor, token, brand, last4 };
}

/** How to reach a member. */
export interface Contact {
  /** E.164. */
  phone: string;
}

export function sealContact(
  key: Uint8Array,
  memberId: Uint8Array,
  gallery: string,
  contact: Contact,
): SealedBytes {
  return seal(key, contactAad(memberId, gallery), encode(bus.Contact, contact));
}

export function openContact(
  key: Uint8Array,
  memberId: Uint8Array,
  gallery: string,
  sealed: MaybeSealed,
): Contact | undefined {
  const plain = open(key, contactAad(memberId, gallery), sealed);
  const message = plain && decode(bus.Contact, plain);
  plain?.fill(0);
  return message && { phone: message.phone };
}
