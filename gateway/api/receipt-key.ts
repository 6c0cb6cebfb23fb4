// The key that signs erasure receipts: one file, made at first start, readable by its owner only.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { signingKeyId } from "../../records/index.js";
import { publicKeyToBase64 } from "../../wire/ed25519.js";

export interface ReceiptKey {
  privateKey: KeyObject;
  /** Raw public key, base64: what a receipt is checked with. */
  publicKeyBase64: string;
  /** As receipts name it. */
  keyId: string;
}

/** @throws when the file is there and not an Ed25519 key, or cannot be read or made */
export function openReceiptKey(path: string): ReceiptKey {
  const privateKey = createPrivateKey(readOrMake(path));
  if (privateKey.asymmetricKeyType !== "ed25519") throw new Error(`${path} is not an Ed25519 key`);
  return {
    privateKey,
    publicKeyBase64: publicKeyToBase64(privateKey),
    keyId: signingKeyId(privateKey),
  };
}

function readOrMake(path: string): string {
  try {
    // "wx" fails when the file is there: two gateways that start at once end up with one key.
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    writeFileSync(path, pem, { mode: 0o600, flag: "wx" });
    return pem;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return readFileSync(path, "utf8");
  }
}
