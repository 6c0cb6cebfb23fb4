// A member as the hot path sees one: place, consents, pseudonyms, and an instrument that is opened when asked for.
import { createHmac } from "node:crypto";
import { openContact, openInstrument } from "../../records/index.js";
import type { bus, edge } from "../../wire/codec.js";
import { toHex } from "../../wire/partition.js";
import type { Member } from "../seams.js";

const PAIRWISE_PREFIX = "pairwise\0";
const PAIRWISE_BYTES = 10;
const BASE32_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const BASE32_BITS = 5;
/** Of a phone number, what an operator sees: enough to ask "does it end with..?". */
const PHONE_ENDING_DIGITS = 2;

/**
 * A member's pseudonym at one site: base32 of the first 10 bytes of HMAC-SHA256(data key, "pairwise\0" | site).
 * It differs from site to site, and dies with the data key: nobody can say afterwards whose it was.
 * @param key the member's data key, 32 bytes
 * @returns 16 of [a-z2-7]
 */
export function pairwiseId(key: Uint8Array, site: string): string {
  const mac = createHmac("sha256", key).update(PAIRWISE_PREFIX).update(site).digest();
  let bits = BigInt(`0x${toHex(mac.subarray(0, PAIRWISE_BYTES))}`);
  let id = "";
  for (let left = (PAIRWISE_BYTES * 8) / BASE32_BITS; left > 0; left--) {
    id = (BASE32_ALPHABET[Number(bits & 31n)] ?? "") + id;
    bits >>= 5n;
  }
  return id;
}

export class KnownMember implements Member {
  readonly id: string;
  readonly gallery: string;
  readonly partition: number;
  readonly consents: ReadonlySet<edge.Purpose>;
  readonly enrolledAtUnixMs: number;
  readonly templates: readonly { modelId: string; position: number }[];
  readonly #key: Uint8Array;
  readonly #memberId: Uint8Array;
  readonly #sealed: bus.ISealed | undefined;
  readonly #contact: bus.ISealed | undefined;
  readonly #pairwiseIds = new Map<string, string>();

  /** @param row with an Enrolled body; @param key of this member, not copied */
  constructor(row: bus.MemberEvent, key: Uint8Array) {
    this.id = toHex(row.memberId);
    this.gallery = row.gallery;
    this.partition = row.partition;
    this.consents = new Set(row.enrolled?.consents ?? []);
    this.enrolledAtUnixMs = row.atUnixMs;
    this.templates = (row.enrolled?.templates ?? []).map(({ modelId, position }) => ({
      modelId: modelId ?? "",
      position: position ?? 0,
    }));
    this.#key = key;
    this.#memberId = row.memberId;
    this.#sealed = row.enrolled?.instrument ?? undefined;
    this.#contact = row.enrolled?.contact ?? undefined;
  }

  /** Opened at each use and kept nowhere: entry lanes never do, and an erased member leaves nothing behind. */
  get instrument(): Member["instrument"] {
    return this.#sealed && openInstrument(this.#key, this.#memberId, this.gallery, this.#sealed);
  }

  /** The last digits of the phone number; undefined when there is none. Opened at each use, as the instrument is. */
  get phoneEnding(): string | undefined {
    const contact = this.#contact && openContact(this.#key, this.#memberId, this.gallery, this.#contact);
    return contact?.phone.slice(-PHONE_ENDING_DIGITS);
  }

  pairwiseId(site: string): string {
    const known = this.#pairwiseIds.get(site);
    if (known) return known;
    const made = pairwiseId(this.#key, site);
    this.#pairwiseIds.set(site, made);
    return made;
  }
}
