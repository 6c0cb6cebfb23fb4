// Public Ed25519 keys as people pass them on: base64 of the raw 32 bytes, in the file for `palmgate apply`, in answers, on command lines.
import { createPublicKey, type KeyObject } from "node:crypto";

const RAW_KEY_BYTES = 32;
/** DER in front of a raw Ed25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** @returns undefined when the text is not the base64 of 32 bytes */
export function publicKeyFromBase64(text: string): KeyObject | undefined {
  const raw = Buffer.from(text.trim(), "base64");
  if (raw.length !== RAW_KEY_BYTES) return undefined;
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
}

/** Base64 of the raw public half. @param privateKey Ed25519 */
export const publicKeyToBase64 = (privateKey: KeyObject): string =>
  rawPublicKey(createPublicKey(privateKey)).toString("base64");

/** The raw 32 bytes. @param publicKey Ed25519 */
export const rawPublicKey = (publicKey: KeyObject): Buffer =>
  publicKey.export({ type: "spki", format: "der" }).subarray(-RAW_KEY_BYTES);
