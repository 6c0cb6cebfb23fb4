// The keys above the members' own: one master key for the fleet, under it a key for each organisation, and under that
// every data key. Each wrap names the key that it is under, so that any of them can be rotated while serving.
//
// Invariants:
// - a key is wrapped under the newest key of its organisation, and unwrapped under whichever key the wrap names;
// - a wrap is bound to its place (aad) and organisation: moved elsewhere, it does not open;
// - a key that is not here, is of another organisation or lies under another master key opens nothing, and says no more;
// - bus keys differ by purpose and by organisation, and are the same in every process that has the master key.
import { createHash, hkdfSync, randomBytes } from "node:crypto";
import { z } from "zod";
import type { bus } from "./codec.js";
import type { Setting } from "./config.js";
import { aadOf, newSealKey, open, SEAL_KEY_BYTES, seal } from "./seal.js";

/** As the directory has it. */
export interface OrganisationKey {
  /** 16 hex digits */
  id: string;
  /** 16 hex digits: of the master key that it is under. */
  masterKeyId: string;
  /** base64, as is the ciphertext */
  nonce: string;
  ciphertext: string;
}

/** What a key for the bus is for. */
export type BusPurpose =
  | "facts"
  | "beat"
  | "passage"
  | "forget-me"
  | "pass-codes"
  | "receipt"
  | "requests"
  | "tries";

export interface Keyring {
  /**
   * Under the organisation's newest key. `undefined`: the organisation is unknown, or its key opens under no master key
   * here.
   * @param key 32 bytes
   */
  wrap(organisation: string, aad: Uint8Array, key: Uint8Array): bus.IWrapped | undefined;
  /** `undefined`: unknown key id, or does not open. The caller wipes. */
  unwrap(organisation: string, aad: Uint8Array, wrapped: MaybeWrapped): Uint8Array | undefined;
  /** 32 bytes, the keyring's own: not to be changed. @param organisation "" for the fleet */
  busKey(purpose: BusPurpose, organisation: string): Uint8Array;
}

type MaybeWrapped = bus.IWrapped | null | undefined;

const ID_BYTES = 8;
const MASTER_ID_PREFIX = "palmgate-master-key-id\0";

/** The setting that every process with members' keys takes. Its value is for the environment, not the command line. */
export const MASTER_KEY_SETTING = {
  option: "master-key",
  value: "HEX",
  help: "wraps the organisations' keys, and those every member's; the same for all processes of a fleet",
  schema: z
    .string({ error: "is needed: 64 hex digits, made once with 'openssl rand -hex 32' and kept safe" })
    .regex(/^\s*[0-9a-fA-F]{64}\s*$/, "must be 64 hex digits, made once with 'openssl rand -hex 32'")
    .transform(parseMasterKey),
} as const satisfies Setting;

/** The fleet's master key from its text. Throws when it is not 64 hex digits. */
export function parseMasterKey(text: string): Uint8Array {
  const hex = text.trim();
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) throw new Error("a master key is 32 bytes as 64 hex digits");
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

/** 16 hex digits that name a master key and tell nothing of it. */
export const masterKeyIdOf = (masterKey: Uint8Array): string =>
  createHash("sha256")
    .update(MASTER_ID_PREFIX)
    .update(masterKey)
    .digest("hex")
    .slice(0, 2 * ID_BYTES);

/** A fresh key for an organisation, under the master key: to be put at the end of its keys in the directory. */
export function newOrganisationKey(masterKey: Uint8Array, organisation: string): OrganisationKey {
  const id = randomBytes(ID_BYTES).toString("hex");
  const key = newSealKey();
  const { nonce, ciphertext } = seal(masterKey, organisationKeyAad(organisation, id), key);
  key.fill(0);
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return {
    id,
    masterKeyId: masterKeyIdOf(masterKey),
    nonce: base64(nonce),
    ciphertext: base64(ciphertext),
  };
}

/** @param organisationKeys as the directory has them now, newest last; asked at each use */
export function openKeyring(
  masterKey: Uint8Array,
  organisationKeys: (organisation: string) => readonly OrganisationKey[],
): Keyring {
  return new OpenKeyring(masterKey, organisationKeys);
}

class OpenKeyring implements Keyring {
  readonly #masterKey: Uint8Array;
  readonly #masterKeyId: string;
  readonly #organisationKeys: (organisation: string) => readonly OrganisationKey[];
  /** Opened keys by organisation and id. Ids are random: one never stands for two keys. */
  readonly #opened = new Map<string, Uint8Array>();
  readonly #busKeys = new Map<string, Uint8Array>();

  constructor(masterKey: Uint8Array, organisationKeys: (organisation: string) => readonly OrganisationKey[]) {
    this.#masterKey = masterKey;
    this.#masterKeyId = masterKeyIdOf(masterKey);
    this.#organisationKeys = organisationKeys;
  }

  wrap(organisation: string, aad: Uint8Array, key: Uint8Array): bus.IWrapped | undefined {
    const newest = this.#organisationKeys(organisation).at(-1);
    const under = newest && this.#open(organisation, newest);
    if (newest === undefined || under === undefined) return undefined;
    return { keyId: newest.id, sealed: seal(under, wrapAad(organisation, aad), key) };
  }

  unwrap(organisation: string, aad: Uint8Array, wrapped: MaybeWrapped): Uint8Array | undefined {
    const named = this.#organisationKeys(organisation).find(({ id }) => id === wrapped?.keyId);
    const under = named && this.#open(organisation, named);
    const key = under && open(under, wrapAad(organisation, aad), wrapped?.sealed);
    if (key === undefined || key.length === SEAL_KEY_BYTES) return key;
    key.fill(0);
    return undefined;
  }

  busKey(purpose: BusPurpose, organisation: string): Uint8Array {
    const info = `${purpose}\0${organisation}`;
    const known = this.#busKeys.get(info);
    if (known !== undefined) return known;
    const made = new Uint8Array(hkdfSync("sha256", this.#masterKey, new Uint8Array(), info, SEAL_KEY_BYTES));
    this.#busKeys.set(info, made);
    return made;
  }

  #open(organisation: string, key: OrganisationKey): Uint8Array | undefined {
    if (key.masterKeyId !== this.#masterKeyId) return undefined;
    const name = `${organisation}\0${key.id}`;
    const known = this.#opened.get(name);
    if (known !== undefined) return known;
    const bytes = (text: string) => Buffer.from(text, "base64");
    const sealed = { nonce: bytes(key.nonce), ciphertext: bytes(key.ciphertext) };
    const opened = open(this.#masterKey, organisationKeyAad(organisation, key.id), sealed);
    if (opened?.length !== SEAL_KEY_BYTES) return undefined;
    this.#opened.set(name, opened);
    return opened;
  }
}

const organisationKeyAad = (organisation: string, id: string) =>
  aadOf("palmgate-organisation-key", [organisation, id]);

const wrapAad = (organisation: string, place: Uint8Array) => aadOf("palmgate-wrap", [organisation, place]);
