// Sealing: AES-256-GCM. Whoever destroys the key makes every copy noise.
//
// Invariants:
// - a nonce is 12 random bytes, fresh for each seal; the 16-byte tag stands at the end of the ciphertext;
// - the additional data binds what is sealed to its place: it cannot be passed off as anything else;
// - open() answers `undefined` for a wrong key, wrong place or changed byte; it never throws for what comes from outside
//   and never tells which.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

export const SEAL_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

export interface SealedBytes {
  nonce: Uint8Array;
  /** With the tag at its end. */
  ciphertext: Uint8Array;
}

/** What a sealed value may lack when it comes from a decoded message. */
export type MaybeSealed = { nonce?: Uint8Array | null; ciphertext?: Uint8Array | null } | null | undefined;

/** 32 random bytes. */
export const newSealKey = (): Uint8Array => Uint8Array.from(randomBytes(SEAL_KEY_BYTES));

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

/** Additional data of length-prefixed parts: no two different lists give the same bytes. Text counts as its UTF-8. */
export function aadOf(kind: string, parts: readonly (Uint8Array | string)[]): Uint8Array {
  const out: Uint8Array[] = [];
  for (const part of [kind, ...parts]) {
    const bytes = typeof part === "string" ? Buffer.from(part, "utf8") : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    out.push(length, bytes);
  }
  return Buffer.concat(out);
}
