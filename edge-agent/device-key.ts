// The lane's identity: an Ed25519 key pair. The private half stays on the device (a PEM file that only its user reads),
// the public half goes into the gateway's device registry.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { UsageError } from "../wire/config.js";
import { publicKeyToBase64 } from "../wire/ed25519.js";

const OWNER_ONLY = 0o600;

export interface DeviceKeyPair {
  /** PKCS8 PEM. */
  privateKeyPem: string;
  /** Base64 of the raw 32 bytes, as the file for `palmgate apply` takes it. */
  publicKeyBase64: string;
}

export function makeDeviceKey(): DeviceKeyPair {
  const { privateKey } = generateKeyPairSync("ed25519");
  return {
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKeyBase64: publicKeyToBase64(privateKey),
  };
}

/**
 * Makes a key and writes it to a new file that only its owner reads; an existing file is never overwritten.
 * @returns the public key for the device registry, base64
 * @throws UsageError when the file exists or cannot be written
 */
export function writeNewDeviceKey(file: string): string {
  const { privateKeyPem, publicKeyBase64 } = makeDeviceKey();
  try {
    writeFileSync(file, privateKeyPem, { mode: OWNER_ONLY, flag: "wx" });
  } catch (error) {
    throw new UsageError(`the new key could not be written to a new file: ${(error as Error).message}`);
  }
  return publicKeyBase64;
}

/** @throws UsageError that says how to make a key when the file is missing or holds none */
export function loadDeviceKey(file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(file));
  } catch (error) {
    throw new UsageError(`no device key in ${file} (${(error as Error).message}). ${HOW_TO_MAKE}`);
  }
  if (key.asymmetricKeyType !== "ed25519") {
    throw new UsageError(`the key in ${file} is not an Ed25519 key. ${HOW_TO_MAKE}`);
  }
  return key;
}

const HOW_TO_MAKE = "Make one with 'palmgate edge --make-key FILE' and register its public key.";
