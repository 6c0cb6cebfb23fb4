// The fleet's one key that signs erasure receipts: in the directory, its private half sealed under the master key.
//
// Invariants:
// - of several ledgers that find none at once, one makes it, by compare-and-set, and all use that one;
// - the private half is in memory only, and nowhere in the clear.
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { signingKeyId } from "../records/index.js";
import { type Directory, directoryKey, type ReceiptKey } from "../wire/directory.js";
import { publicKeyToBase64 } from "../wire/ed25519.js";
import type { Keyring } from "../wire/keyring.js";
import type { Log } from "../wire/log.js";
import { aadOf, open, seal } from "../wire/seal.js";

export interface ReceiptKeys {
  /** The newest; undefined while there is none, or none that opens here. */
  newest(): KeyObject | undefined;
}

/** Makes the key when the fleet has none. One that cannot be written now is made when it is next asked for. */
export class FleetReceiptKey implements ReceiptKeys {
  readonly #directory: Pick<Directory, "receiptKeys" | "create" | "current">;
  readonly #keyring: Pick<Keyring, "busKey">;
  readonly #log: Log;
  readonly #opened = new Map<string, KeyObject>();
  #making: Promise<void> | undefined;

  constructor(
    directory: Pick<Directory, "receiptKeys" | "create" | "current">,
    keyring: Pick<Keyring, "busKey">,
    log: Log,
  ) {
    this.#directory = directory;
    this.#keyring = keyring;
    this.#log = log;
  }

  newest(): KeyObject | undefined {
    const newest = this.#directory.receiptKeys().at(-1);
    if (newest === undefined) void this.make();
    return newest && this.#open(newest);
  }

  /** Resolves when there is a key, or none could be made now. */
  make(): Promise<void> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #make(): Promise<void> {
    // What is not read up to its end may hold one already.
    if (this.#directory.receiptKeys().length > 0 || !this.#directory.current()) return;
    const { privateKey } = generateKeyPairSync("ed25519");
    const plain = privateKey.export({ type: "pkcs8", format: "der" });
    const keyId = signingKeyId(privateKey);
    const { nonce, ciphertext } = seal(this.#keyring.busKey("receipt", ""), aadOfKey(keyId), plain);
    plain.fill(0);
    const key: ReceiptKey = {
      keyId,
      publicKey: publicKeyToBase64(privateKey),
      sealed: { nonce: base64(nonce), ciphertext: base64(ciphertext) },
    };
    const written = await this.#directory.create(directoryKey.receiptKeys, [key]);
    if (written.ok) this.#log.info({ key: keyId }, "made the fleet's key for receipts");
    else if (written.code !== "CONFLICT")
      this.#log.warn({ code: written.code }, "no key for receipts could be made");
  }

  #open({ keyId, sealed }: ReceiptKey): KeyObject | undefined {
    const known = this.#opened.get(keyId);
    if (known !== undefined) return known;
    const bytes = (text: string) => Buffer.from(text, "base64");
    const box = { nonce: bytes(sealed.nonce), ciphertext: bytes(sealed.ciphertext) };
    const plain = open(this.#keyring.busKey("receipt", ""), aadOfKey(keyId), box);
    if (plain === undefined) {
      this.#log.error({ key: keyId }, "the fleet's key for receipts does not open: another master key");
      return undefined;
    }
    const key = createPrivateKey({ key: Buffer.from(plain), format: "der", type: "pkcs8" });
    plain.fill(0);
    this.#opened.set(keyId, key);
    return key;
  }
}

const aadOfKey = (keyId: string) => aadOf("palmgate-receipt-key", [keyId]);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
